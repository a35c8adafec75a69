//! Stalled calls: how many are still in flight after a given time `d`.
//!
//! No call has a timer. Time is divided into buckets of `d / 4`. Admissions and ends are counted, an
//! end in the bucket of its *admission*: the difference is the calls still in flight.
//!
//! # When a call is stalled
//! In bucket `t`, a call is stalled if it was admitted in bucket `t − 5` or earlier and has not ended.
//! So it has run for longer than `d`, and it is found after at most 5/4 `d`, if there is an admission
//! then. It counts until it ends, or a transition begins a new epoch.
//!
//! For a share, the calls admitted in the four buckets from `t − 8` to `t − 5`, a stretch of length
//! `d`, are compared: those still in flight with all of them.
//!
//! # Which calls look
//! The first admission of each thread in each bucket. So a trip needs no call to end, but one to
//! begin.
//!
//! # How it is counted and read
//! Each thread is the only writer of its shard, as in the time window: an admission and an end are
//! two loads and two stores each. A reader must never see more calls in flight than there are, so it
//! reads admissions before ends. Old admissions are all admissions minus the young ones, of which it
//! reads all first; old ends are all ends minus the young ones, of which it reads all last. The
//! writers write in the opposite order.

use super::shards::Shards;
use super::span::{Stamp, Tick};
use crate::engine::sync::{AtomicU64, Ordering, Setting, fence};
use crate::engine::time::{Elapsed, Epoch, When};

/// The number of buckets in the time `d`.
const PARTS: u64 = 4;
/// All calls of a bucket that is this much older than the current one are stalled.
const OLD: u64 = PARTS + 1;
/// One bucket more than a reader reads: the young ones and those of the share.
const RING: usize = 10;
const _: () = assert!(RING as u64 > OLD + PARTS);

/// Calls in flight for longer than the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalled {
    /// All stalled calls.
    pub(crate) calls: u64,
    /// The stalled calls of the stretch that a share compares.
    pub(crate) recent: u64,
    /// All calls that were admitted in that stretch.
    pub(crate) admitted: u64,
}

/// The admissions of one bucket, and how many of them ended. Only the shard's owner writes it.
#[derive(Debug)]
#[repr(align(32))]
struct Bucket {
    stamp: AtomicU64,
    admitted: AtomicU64,
    ended: AtomicU64,
}

/// The counts of one thread.
#[derive(Debug)]
#[repr(align(64))]
struct Shard {
    /// The epoch of the counts, and the newest tick that the shard knows.
    stamp: AtomicU64,
    /// All admissions of the epoch, and all ends.
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

    /// The newest tick that the shard knows, if it is of `epoch`.
    fn newest(&self, epoch: Epoch) -> Option<Tick> {
        // Ordering: Acquire pairs with the fences in `open` and `bucket`.
        Stamp(self.stamp.load(Ordering::Acquire)).tick_in(epoch)
    }

    /// For the owner: raises the newest tick to `tick`.
    fn open(&self, epoch: Epoch, tick: Tick) {
        let stamp = Stamp::new(epoch, tick).0;
        if self.newest(epoch).is_some() {
            // A maximum, since other threads raise it too; in one epoch a later tick is a greater
            // stamp. Ordering: Relaxed: the fence in `bucket` follows before a bucket is emptied.
            self.stamp.fetch_max(stamp, Ordering::Relaxed);
            return;
        }
        self.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
        // Ordering: a thread that sees a zero sees that the stamp is gone.
        fence(Ordering::Release);
        self.admitted.store(0, Ordering::Relaxed);
        self.ended.store(0, Ordering::Relaxed);
        // Ordering: a thread that sees the new stamp sees the zeros.
        self.stamp.store(stamp, Ordering::Release);
    }

    /// For other threads: raises the newest tick to `tick`, if a call admitted in the known one would
    /// already be stalled.
    fn bring_up_to(&self, epoch: Epoch, tick: Tick) {
        let known = Stamp(self.stamp.load(Ordering::Acquire));
        if known.tick_in(epoch).is_some_and(|known| known.0 + OLD <= tick.0) {
            let new = Stamp::new(epoch, tick).0;
            // Ordering: Relaxed: the zeros of the epoch were seen with the known stamp. If the exchange
            // fails, the owner has raised the tick.
            let _ = self.stamp.compare_exchange(known.0, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// For the owner: the bucket of a tick, emptied if it was another tick's. `None` if a later tick has
    /// the slot.
    #[expect(clippy::cast_possible_truncation, reason = "below the ring's length")]
    fn bucket(&self, epoch: Epoch, tick: Tick) -> Option<&Bucket> {
        let bucket = &self.ring[(tick.0 % RING as u64) as usize];
        let stamp = Stamp(bucket.stamp.load(Ordering::Relaxed));
        if stamp != Stamp::new(epoch, tick) {
            if stamp.tick_in(epoch).is_some_and(|other| other > tick) {
                return None;
            }
            bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
            // Ordering: a thread that sees a zero sees the stamps of the shard and the bucket.
            fence(Ordering::Release);
            bucket.admitted.store(0, Ordering::Relaxed);
            bucket.ended.store(0, Ordering::Relaxed);
            // Ordering: a thread that sees the new stamp sees the zeros.
            bucket.stamp.store(Stamp::new(epoch, tick).0, Ordering::Release);
        }
        Some(bucket)
    }

    fn admit(&self, epoch: Epoch, tick: Tick) {
        // Ordering: Release: the bucket first, then the sum.
        if let Some(bucket) = self.bucket(epoch, tick) {
            add(&bucket.admitted);
        }
        add(&self.admitted);
    }

    fn end(&self, epoch: Epoch, tick: Tick) {
        // Ordering: Release: the sum first, then the bucket.
        add(&self.ended);
        if let Some(bucket) = self.bucket(epoch, tick) {
            add(&bucket.ended);
        }
    }

    /// One of the counts in the buckets from `oldest` to `newest`.
    fn sum(
        &self,
        epoch: Epoch,
        (oldest, newest): (Tick, Tick),
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
    // Ordering: Release: see the module's documentation on the order of writes.
    number.store(number.load(Ordering::Relaxed) + 1, Ordering::Release);
}

/// The calls in flight, by the time of their admission.
#[derive(Debug)]
pub(crate) struct Flights {
    /// The width of a bucket in nanoseconds. Atomic, since it is reused for other policies.
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

    /// Sets another time. The caller begins a new epoch before and after this.
    pub(crate) fn cut(&self, after: u64) {
        // Ordering: Release, as in the time window.
        self.width.store(after.div_ceil(PARTS).max(1), Ordering::Release);
    }

    fn width(&self) -> u64 {
        self.width.load(Ordering::Acquire)
    }

    fn tick_of(&self, at: Elapsed) -> Tick {
        Tick(at.nanos() / self.width())
    }

    /// Tells this thread's shard the time. True if a new bucket begins: more calls may be stalled.
    #[inline]
    pub(crate) fn tick(&self, thread: usize, when: When) -> bool {
        self.open(self.shard(thread), when.epoch, self.tick_of(when.at))
    }

    fn shard(&self, thread: usize) -> &Shard {
        self.shards.of(thread, Shard::new)
    }

    /// Raises the newest tick of a thread's own shard. True if it was older.
    #[inline]
    fn open(&self, shard: &Shard, epoch: Epoch, tick: Tick) -> bool {
        let opens = shard.newest(epoch).is_none_or(|newest| newest < tick);
        if opens {
            self.open_slow(shard, epoch, tick);
        }
        opens
    }

    /// Takes the newest tick that any thread knows, so that no call seems to have begun too early if
    /// another thread's clock is ahead.
    #[cold]
    fn open_slow(&self, shard: &Shard, epoch: Epoch, mut tick: Tick) {
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

    /// Counts an admission. Returns the moment for [`end`](Self::end): if the clock went back, the
    /// beginning of the bucket that stays open.
    #[inline]
    pub(crate) fn admit(&self, thread: usize, When { epoch, at }: When) -> Elapsed {
        let (shard, tick) = (self.shard(thread), self.tick_of(at));
        self.open(shard, epoch, tick);
        let open = shard.newest(epoch).unwrap_or(tick);
        shard.admit(epoch, open);
        at.max(Elapsed::from_nanos(open.0 * self.width()))
    }

    /// Counts the end of a call that was admitted at `at`.
    #[inline]
    pub(crate) fn end(&self, thread: usize, When { epoch, at }: When) {
        let (shard, tick) = (self.shard(thread), self.tick_of(at));
        self.open(shard, epoch, tick);
        shard.end(epoch, tick);
    }

    /// The stalled calls at `at`, or in the newest bucket, whichever is later.
    pub(crate) fn stalled(&self, When { epoch, at }: When) -> Stalled {
        let mut newest = self.newest(epoch, self.tick_of(at));
        loop {
            let stalled = self.read(epoch, newest);
            let now = self.newest(epoch, newest);
            if now == newest {
                return stalled;
            }
            // A bucket began during the reading, which happens once per width, so this loop ends.
            newest = now;
        }
    }

    fn read(&self, epoch: Epoch, newest: Tick) -> Stalled {
        let Some(limit) = newest.0.checked_sub(OLD) else { return Stalled::default() };
        let young = (Tick(limit + 1), Tick(u64::MAX));
        let recent = (Tick(limit.saturating_sub(PARTS - 1)), Tick(limit));
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

    fn newest(&self, epoch: Epoch, at_least: Tick) -> Tick {
        self.shards.iter().filter_map(|shard| shard.newest(epoch)).fold(at_least, Tick::max)
    }

    /// Erases the counts of all epochs, when no other thread uses the engine.
    pub(crate) fn erase(&self) {
        for shard in self.shards.iter() {
            // Ordering: Relaxed: a lock orders it before the next use.
            shard.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
            let buckets = shard.ring.iter();
            buckets.for_each(|bucket| bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed));
        }
    }

    /// The beginning of the next bucket in which more calls may be stalled, or a greater share. Without
    /// calls in flight it is the first one in which a call that is admitted from now on can be: no
    /// waiting call is woken by an admission.
    pub(crate) fn next_look(&self, When { epoch, at }: When) -> Elapsed {
        let Tick(now) = self.newest(epoch, self.tick_of(at));
        // The oldest bucket that a share compares in the next one.
        let oldest = now.saturating_sub(OLD + PARTS - 2);
        let held = (oldest..=now).find(|&tick| self.holds_calls(epoch, Tick(tick)));
        let next = held.unwrap_or(now).saturating_add(OLD).max(now.saturating_add(1));
        Elapsed::from_nanos(next.saturating_mul(self.width()))
    }

    /// Whether a call of the bucket is in flight.
    fn holds_calls(&self, epoch: Epoch, tick: Tick) -> bool {
        let shards = || self.shards.iter().filter(|shard| shard.newest(epoch).is_some());
        // Ends first: a call that ends meanwhile counts as in flight.
        let ended: u64 = shards().map(|s| s.sum(epoch, (tick, tick), |b| &b.ended)).sum();
        let admitted: u64 = shards().map(|s| s.sum(epoch, (tick, tick), |b| &b.admitted)).sum();
        admitted > ended
    }

    /// The memory in bytes.
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
    fn its_memory_is_that_of_its_shards() {
        let flights = Flights::new(40, 2);
        let own = size_of::<Flights>();
        assert_eq!(flights.bytes(), own + 2 * size_of::<Shard>());
        // A thread beyond those with a shard from the start adds its own.
        flights.tick(2, when(Epoch::from_number(5), 0));
        assert_eq!(flights.bytes(), own + 3 * size_of::<Shard>() + flights.shards.bytes());
    }
}
