//! Calls that hang: how many are still under way after a given time.
//!
//! No call has a timer. Time is cut into buckets of a quarter of the given time `d`, and admissions
//! and ends are counted, an end in the bucket of its *admission*. What was admitted up to a bucket,
//! less what ended of it, is still under way.
//!
//! # What "in flight for longer than `d`" means
//! In bucket `t` a call counts as stalled if it was admitted in bucket `t − 5` or earlier and has
//! not ended. So a call is not seen as stalled before it has run for longer than `d`, and is seen
//! as soon as it has run for 5/4 `d`, if there is an admission then. However long it hangs, it goes
//! on counting, until it ends or a transition begins a new epoch.
//!
//! For a share, the calls admitted in the four buckets from `t − 8` to `t − 5` are looked at, which
//! is a stretch of length `d`: those of them still in flight are compared to all of them.
//!
//! # Who looks
//! The first admission of each thread in each bucket. So nothing has to end for a trip, but a call
//! has to come; while none comes, there is none to divert.
//!
//! # How it is counted and read
//! Each thread is the only writer of its shard, as in the time window: an admission and an end are
//! two loads and two stores each. The reader must never see more calls in flight than there are. It
//! reads admissions first and ends afterwards; the admissions up to a bucket are all admissions
//! less those in the younger buckets, of which it reads all first, and the ends up to it are all
//! ends less the younger ones', of which it reads all last. The writers write the other way round.

use super::shards::Shards;
use super::span::Stamp;
use crate::engine::sync::{AtomicU64, Ordering, Setting, fence};
use crate::engine::time::{Elapsed, Epoch, When};

/// How many buckets the time is cut into.
const PARTS: u64 = 4;
/// A bucket that is this much older than the running one has none but stalled calls.
const OLD: u64 = PARTS + 1;
/// One bucket more than a reader looks at, which are the young ones and those of the share.
const RING: usize = 10;
const _: () = assert!(RING as u64 > OLD + PARTS);

/// Calls still in flight after the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalled {
    /// All of them.
    pub(crate) calls: u64,
    /// Those admitted in the stretch of time that a share is of.
    pub(crate) recent: u64,
    /// All calls admitted in that stretch.
    pub(crate) admitted: u64,
}

/// The admissions of one bucket, and how many of them ended. Written by the shard's owner alone.
#[derive(Debug)]
#[repr(align(32))]
struct Bucket {
    stamp: AtomicU64,
    admitted: AtomicU64,
    ended: AtomicU64,
}

/// One thread's part.
#[derive(Debug)]
#[repr(align(64))]
struct Shard {
    /// The youngest bucket that it knows, and the epoch of all that follows.
    stamp: AtomicU64,
    /// All admissions and ends of the epoch.
    admitted: AtomicU64,
    ended: AtomicU64,
    ring: [Bucket; RING],
}

impl Shard {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let none = || AtomicU64::new(Stamp::NONE.0);
        let bucket = |_| Bucket { stamp: none(), admitted: zero(), ended: zero() };
        Self { stamp: none(), admitted: zero(), ended: zero(), ring: std::array::from_fn(bucket) }
    }

    /// The youngest tick that it knows, if it is of that epoch.
    fn newest(&self, epoch: Epoch) -> Option<u64> {
        // Ordering: Acquire pairs with the fences in `open` and `bucket`.
        Stamp(self.stamp.load(Ordering::Acquire)).tick_in(epoch)
    }

    /// For the owner: makes that tick known, unless it knows a younger one.
    fn open(&self, epoch: Epoch, tick: u64) {
        let stamp = Stamp::new(epoch, tick).0;
        if self.newest(epoch).is_some() {
            // A maximum, since other threads raise it as well: of one epoch, the later tick is the
            // greater stamp. Ordering: Relaxed, as the fence in `bucket` follows before anything is
            // emptied.
            self.stamp.fetch_max(stamp, Ordering::Relaxed);
            return;
        }
        self.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
        // Ordering: who sees a zero sees that the stamp was taken away.
        fence(Ordering::Release);
        self.admitted.store(0, Ordering::Relaxed);
        self.ended.store(0, Ordering::Relaxed);
        // Ordering: whoever sees the new stamp sees the zeros.
        self.stamp.store(stamp, Ordering::Release);
    }

    /// For other threads: makes that tick known, if the youngest one that it knows is so much older
    /// that a call which is admitted in it would be stalled.
    fn bring_up_to(&self, epoch: Epoch, tick: u64) {
        let known = Stamp(self.stamp.load(Ordering::Acquire));
        if known.tick_in(epoch).is_some_and(|known| known + OLD <= tick) {
            let new = Stamp::new(epoch, tick).0;
            // Ordering: Relaxed: the zeros of the epoch were seen with the stamp before. If the owner
            // was first, it knows a younger tick.
            let _ = self.stamp.compare_exchange(known.0, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// For the owner: the bucket of a tick, emptied if it was another's; none if the tick is so old
    /// that its slot was taken.
    #[expect(clippy::cast_possible_truncation, reason = "below the ring's length")]
    fn bucket(&self, epoch: Epoch, tick: u64) -> Option<&Bucket> {
        let bucket = &self.ring[(tick % RING as u64) as usize];
        let stamp = Stamp(bucket.stamp.load(Ordering::Relaxed));
        if stamp != Stamp::new(epoch, tick) {
            if stamp.tick_in(epoch).is_some_and(|other| other > tick) {
                return None;
            }
            bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
            // Ordering: who sees a zero sees the shard's stamp and the bucket's.
            fence(Ordering::Release);
            bucket.admitted.store(0, Ordering::Relaxed);
            bucket.ended.store(0, Ordering::Relaxed);
            // Ordering: whoever sees the new stamp sees the zeros.
            bucket.stamp.store(Stamp::new(epoch, tick).0, Ordering::Release);
        }
        Some(bucket)
    }

    fn admit(&self, epoch: Epoch, tick: u64) {
        // Ordering: Release: the bucket first, then the sum.
        if let Some(bucket) = self.bucket(epoch, tick) {
            add(&bucket.admitted);
        }
        add(&self.admitted);
    }

    fn end(&self, epoch: Epoch, tick: u64) {
        // Ordering: Release: the sum first, then the bucket.
        add(&self.ended);
        if let Some(bucket) = self.bucket(epoch, tick) {
            add(&bucket.ended);
        }
    }

    /// What the buckets from `oldest` to `newest` hold.
    fn sum(
        &self,
        epoch: Epoch,
        (oldest, newest): (u64, u64),
        count: impl Fn(&Bucket) -> &AtomicU64,
    ) -> u64 {
        let within = |bucket: &&Bucket| {
            // Ordering: Acquire pairs with the Release store of the stamp: no older count is seen.
            let stamp = Stamp(bucket.stamp.load(Ordering::Acquire));
            stamp.tick_in(epoch).is_some_and(|tick| (oldest..=newest).contains(&tick))
        };
        // Ordering: Acquire pairs with `add`.
        self.ring.iter().filter(within).map(|b| count(b).load(Ordering::Acquire)).sum()
    }
}

/// For the only writer of a number.
fn add(number: &AtomicU64) {
    // Ordering: Release: see the module's documentation on who is written first.
    number.store(number.load(Ordering::Relaxed) + 1, Ordering::Release);
}

/// The calls in flight, by the time of their admission.
#[derive(Debug)]
pub(crate) struct Flights {
    /// The width of a bucket in nanoseconds. Atomic, because it is used again for other policies.
    width: Setting,
    shards: Shards<Shard>,
}

impl Flights {
    /// `after`: the time in nanoseconds.
    pub(crate) fn new(after: u64, threads: usize) -> Self {
        let flights = Self { width: Setting::new(1), shards: Shards::new(threads, Shard::new) };
        flights.cut(after);
        flights
    }

    /// Another time. Whoever calls this begins a new epoch before and after it.
    pub(crate) fn cut(&self, after: u64) {
        // Ordering: Release, as in the time window.
        self.width.store(after.div_ceil(PARTS).max(1), Ordering::Release);
    }

    fn width(&self) -> u64 {
        self.width.load(Ordering::Acquire)
    }

    /// Tells this thread's shard the time. True if it is in a bucket that it did not know: then
    /// calls may be stalled that were not.
    #[inline]
    pub(crate) fn tick(&self, thread: usize, when: When) -> bool {
        self.open(self.shard(thread), when.epoch, when.at.nanos() / self.width())
    }

    fn shard(&self, thread: usize) -> &Shard {
        self.shards.of(thread, Shard::new)
    }

    /// Makes that tick known to a thread's own shard. True if it did not know it.
    #[inline]
    fn open(&self, shard: &Shard, epoch: Epoch, tick: u64) -> bool {
        let opens = shard.newest(epoch).is_none_or(|newest| newest < tick);
        if opens {
            self.open_slow(shard, epoch, tick);
        }
        opens
    }

    /// The same where the shard does not know it: takes the newest tick that any thread knows, so
    /// that no call seems to have begun earlier than it did because the clock of another thread reads
    /// ahead.
    #[cold]
    fn open_slow(&self, shard: &Shard, epoch: Epoch, mut tick: u64) {
        loop {
            tick = self.newest(epoch, tick);
            shard.open(epoch, tick);
            // Ordering: SeqCst. Of two threads that do this at the same time at least one sees the
            // other's tick.
            fence(Ordering::SeqCst);
            self.shards.iter().for_each(|other| other.bring_up_to(epoch, tick));
            if self.newest(epoch, tick) == tick {
                return;
            }
        }
    }

    /// Counts an admission. What it returns is for [`end`](Self::end): the moment, or where the
    /// clock went back, the beginning of the bucket that stays open.
    #[inline]
    pub(crate) fn admit(&self, thread: usize, When { epoch, at }: When) -> Elapsed {
        let (shard, width) = (self.shard(thread), self.width());
        let tick = at.nanos() / width;
        self.open(shard, epoch, tick);
        let open = shard.newest(epoch).unwrap_or(tick);
        shard.admit(epoch, open);
        at.max(Elapsed::from_nanos(open * width))
    }

    /// Counts the end of a call that was admitted at that moment.
    #[inline]
    pub(crate) fn end(&self, thread: usize, When { epoch, at }: When) {
        let (shard, tick) = (self.shard(thread), at.nanos() / self.width());
        self.open(shard, epoch, tick);
        shard.end(epoch, tick);
    }

    /// What is stalled at `at`, or in the latest bucket that is known, if that is later.
    pub(crate) fn stalled(&self, When { epoch, at }: When) -> Stalled {
        let mut newest = self.newest(epoch, at.nanos() / self.width());
        loop {
            let stalled = self.read(epoch, newest);
            let now = self.newest(epoch, newest);
            if now == newest {
                return stalled;
            }
            // Time went on under the reading. It does so once a bucket's width, so this ends.
            newest = now;
        }
    }

    fn read(&self, epoch: Epoch, newest: u64) -> Stalled {
        let Some(limit) = newest.checked_sub(OLD) else { return Stalled::default() };
        let (young, recent) = ((limit + 1, u64::MAX), (limit.saturating_sub(PARTS - 1), limit));
        let shards = || self.shards.iter().filter(|shard| shard.newest(epoch).is_some());
        // Ordering: Acquire pairs with `add`; the order of the lines is the module's.
        let all: u64 = shards().map(|s| s.admitted.load(Ordering::Acquire)).sum();
        let admitted =
            |range| -> u64 { shards().map(|s| s.sum(epoch, range, |b| &b.admitted)).sum() };
        let old = all.saturating_sub(admitted(young));
        let recently = admitted(recent);
        let ended = |range| -> u64 { shards().map(|s| s.sum(epoch, range, |b| &b.ended)).sum() };
        let recently_ended = ended(recent);
        let young_ended = ended(young);
        let all_ended: u64 = shards().map(|s| s.ended.load(Ordering::Acquire)).sum();
        let recent = recently.saturating_sub(recently_ended);
        Stalled {
            calls: old.saturating_sub(all_ended.saturating_sub(young_ended)),
            recent,
            admitted: recently,
        }
    }

    fn newest(&self, epoch: Epoch, at_least: u64) -> u64 {
        self.shards.iter().filter_map(|shard| shard.newest(epoch)).fold(at_least, u64::max)
    }

    /// Erases what was counted in any epoch: no call of a running one is in flight.
    pub(crate) fn erase(&self) {
        for shard in self.shards.iter() {
            // Ordering: Relaxed: a lock orders it before the next use.
            shard.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
            let buckets = shard.ring.iter();
            buckets.for_each(|bucket| bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed));
        }
    }

    /// When the next bucket begins, in which other calls may be stalled.
    pub(crate) fn next_bucket(&self, at: Elapsed) -> Elapsed {
        let next = (at.nanos() / self.width()).saturating_add(1);
        Elapsed::from_nanos(next.saturating_mul(self.width()))
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.shards.iter().map(size_of_val).sum::<usize>() + self.shards.bytes()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    fn when(epoch: Epoch, nanos: u64) -> When {
        When { epoch, at: Elapsed::from_nanos(nanos) }
    }

    #[test]
    fn a_thread_looks_once_in_each_bucket() {
        let (flights, epoch) = (Flights::new(40, 2), Epoch::from_number(5));
        let looks = [0, 9, 10, 19, 5, 35].map(|at| flights.tick(0, when(epoch, at)));
        assert_eq!(looks, [true, false, true, false, false, true]);
        assert!(flights.tick(0, when(Epoch::from_number(6), 35)));
    }

    #[test]
    fn its_memory_is_that_of_each_threads_part() {
        let flights = Flights::new(40, 2);
        let own = size_of::<Flights>();
        assert_eq!(flights.bytes(), own + 2 * size_of::<Shard>());
        // A thread beyond those that there was room for brings a part of its own.
        flights.tick(2, when(Epoch::from_number(5), 0));
        assert_eq!(flights.bytes(), own + 3 * size_of::<Shard>() + flights.shards.bytes());
    }
}
