//! The shard of one thread in a window.

use crate::tally::Tally;
use std::collections::BTreeMap;

use super::Sample;
use super::ring::{Bucket, Counts, Ring, Which};
use super::span::{Span, Stamp, Tick, Ticks};
use crate::engine::sync::{AtomicU64, Ordering, Setting, fence};
use crate::engine::time::{Epoch, When};

/// A ring of buckets that one thread, its owner, writes and any thread reads.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Shard {
    /// The epoch and the tick of the current bucket.
    stamp: AtomicU64,
    /// When the current bucket ends, in nanoseconds since the monitor's origin. 0 if there is none, or
    /// another thread has closed it.
    end: Setting,
    /// The slot of the current bucket.
    slot: Setting,
    /// The version: how many buckets were opened so far.
    opened: AtomicU64,
    ring: Ring,
    /// The calls in the window's buckets before the current one.
    earlier: Counts,
    /// The failures of the current bucket that need no evaluation: see `evaluate`.
    allowance: AtomicU64,
}

impl Shard {
    pub(super) fn new(buckets: usize) -> Self {
        Self {
            stamp: AtomicU64::new(Stamp::NONE.0),
            end: Setting::new(0),
            slot: Setting::new(0),
            opened: AtomicU64::new(0),
            ring: Ring::new(buckets),
            earlier: Counts::new(),
            allowance: AtomicU64::new(0),
        }
    }

    /// For the owner: whether a call belongs to the current bucket, or the clock went back.
    #[inline]
    pub(super) fn is_open(&self, when: When) -> bool {
        // Ordering: Relaxed throughout: the owner reads its own writes.
        when.at.nanos() < self.end.load(Ordering::Relaxed)
            && Stamp(self.stamp.load(Ordering::Relaxed)).is_of(when.epoch)
    }

    /// For the owner: counts one call in the current bucket. True if the window has to be evaluated:
    /// the call was slow, or a failure beyond the allowance.
    pub(super) fn count(&self, sample: Sample) -> bool {
        self.running().is_some_and(|bucket| self.count_in(bucket, sample))
    }

    /// For the owner: counts a call that is not slow in one of the initial buckets. `None` if it is not
    /// counted.
    #[inline]
    pub(super) fn try_count(&self, failed: bool) -> Option<bool> {
        let bucket = self.ring.first(self.slot.load(Ordering::Relaxed))?;
        Some(self.count_in(bucket, Sample { failed, slow: false }))
    }

    #[inline]
    fn count_in(&self, Bucket { counts, .. }: &Bucket, sample: Sample) -> bool {
        let counter = if sample.failed { &counts.failures } else { &counts.successes };
        let calls = counter.load(Ordering::Relaxed) + 1;
        // Ordering: Release. A reader that sees this failure also sees the successes before it, and
        // one that sees a slow call sees the call: see `window` on reading.
        counter.store(calls, Ordering::Release);
        if sample.slow {
            counts.slow.store(counts.slow.load(Ordering::Relaxed) + 1, Ordering::Release);
        }
        sample.slow || sample.failed && calls > self.allowance.load(Ordering::Relaxed)
    }

    /// For the owner: the current bucket.
    fn running(&self) -> Option<&Bucket> {
        self.ring.get(self.slot.load(Ordering::Relaxed))
    }

    /// For the owner: the rest of its allowance in `epoch`.
    pub(super) fn own_allowance(&self, epoch: Epoch) -> u64 {
        self.failures_in(epoch)
            .map_or(0, |failures| self.allowance.load(Ordering::Relaxed).saturating_sub(failures))
    }

    /// For the owner: lets `failures` more failures of the current bucket pass without an evaluation, if
    /// it is of `epoch`. The caller evaluates again.
    pub(super) fn grant(&self, epoch: Epoch, failures: u64) {
        if let Some(so_far) = self.failures_in(epoch) {
            // Ordering: Release suffices with the fence that follows in `evaluate`.
            self.allowance.store(so_far.saturating_add(failures), Ordering::Release);
        }
    }

    fn failures_in(&self, epoch: Epoch) -> Option<u64> {
        let is_running = Stamp(self.stamp.load(Ordering::Relaxed)).is_of(epoch);
        let running = if is_running { self.running() } else { None };
        running.map(|bucket| bucket.counts.failures.load(Ordering::Relaxed))
    }

    /// The failures of a window that the owner may still count without an evaluation.
    #[inline]
    pub(super) fn allowance(&self, epoch: Epoch, ticks: Ticks) -> u64 {
        // Ordering: Acquire pairs with the fence in `turn_to`.
        let allowance = self.allowance.load(Ordering::Acquire);
        if allowance == 0 {
            return 0;
        }
        match self.newest(epoch).filter(|tick| *tick >= ticks.oldest) {
            None => 0,
            // If this is another bucket by now, the reading starts again.
            Some(tick) => self.ring.get(ticks.slot_of(tick)).map_or(allowance, |bucket| {
                allowance.saturating_sub(bucket.counts.failures.load(Ordering::Acquire))
            }),
        }
    }

    /// For the owner: adds the counts of a bucket to an epoch that has not begun. The oldest bucket
    /// first; [`open`](Self::open) follows.
    pub(super) fn seed(&self, span: &Span, epoch: Epoch, tick: Tick, tally: &Tally) {
        self.turn_to(span, epoch, tick, false);
        if let Some(Bucket { counts, .. }) = self.running() {
            // Ordering: Relaxed: the epoch's beginning publishes them.
            let add = |counter: &AtomicU64, calls| {
                counter.store(counter.load(Ordering::Relaxed) + calls, Ordering::Relaxed);
            };
            add(&counts.successes, tally.successes);
            add(&counts.failures, tally.failures);
            add(&counts.slow, tally.slow);
        }
    }

    /// For the owner: opens a bucket.
    pub(super) fn open(&self, span: &Span, epoch: Epoch, tick: Tick) {
        self.turn_to(span, epoch, tick, true);
    }

    /// `sums`: whether to add up the earlier buckets, which a reader needs.
    fn turn_to(&self, span: &Span, epoch: Epoch, tick: Tick, sums: bool) {
        let last = Stamp(self.stamp.load(Ordering::Relaxed));
        // If the clock went back, the open bucket stays open.
        let tick = tick.max(last.tick_in(epoch).unwrap_or_default());
        let stamp = Stamp::new(epoch, tick);
        let Ticks { oldest, slot, .. } = Ticks::new(tick, span);
        // The version first: a reader that sees any of the writes below sees it too, by the fence,
        // and reads again.
        self.opened.store(self.opened.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.stamp.store(stamp.0, Ordering::Relaxed);
        self.end.store(span.end(tick), Ordering::Relaxed);
        self.slot.store(slot, Ordering::Relaxed);
        // Another policy may have more buckets.
        self.ring.grow(span.buckets as usize);
        let Some(bucket) = self.ring.get(slot) else { return };
        let was = bucket.stamp.load(Ordering::Relaxed);
        bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
        // Ordering: a thread that sees any write below sees the version and the stamps above.
        fence(Ordering::Release);
        // An opening is evaluated, which may grant a new allowance.
        if self.allowance.load(Ordering::Relaxed) != 0 {
            self.allowance.store(0, Ordering::Relaxed);
        }
        if sums {
            self.earlier.set(&self.sum_of(epoch, oldest, tick));
        }
        if was != stamp.0 {
            bucket.counts.set(&Tally::default());
        }
        // Ordering: a thread that sees the new stamp sees the zeros and the sums.
        bucket.stamp.store(stamp.0, Ordering::Release);
    }

    /// For the owner: the counts of the buckets from `oldest` to `newest`.
    fn sum_of(&self, epoch: Epoch, oldest: Tick, newest: Tick) -> Tally {
        let mut tally = Tally::default();
        for Bucket { counts, .. } in self.within(epoch, oldest, newest) {
            tally.add(&counts.own());
        }
        tally
    }

    /// The version.
    #[inline]
    pub(super) fn opened(&self) -> u64 {
        // Ordering: Acquire: later reads are not older. The Acquire of earlier reads pairs with the
        // fence in `turn_to`.
        self.opened.load(Ordering::Acquire)
    }

    /// The tick of the current bucket, if it is of `epoch`.
    #[inline]
    pub(super) fn newest(&self, epoch: Epoch) -> Option<Tick> {
        // Ordering: Acquire pairs with the fence in `turn_to` through the counters read before.
        Stamp(self.stamp.load(Ordering::Acquire)).tick_in(epoch)
    }

    /// For other threads: closes the current bucket if it is older than `oldest`, so that the owner opens
    /// the newest one for its next call. Returns the tick of the current bucket.
    pub(super) fn leave_behind(&self, epoch: Epoch, oldest: Tick) -> Option<Tick> {
        let tick = self.newest(epoch)?;
        if tick < oldest && self.end.load(Ordering::Relaxed) != 0 {
            // Ordering: Relaxed. If this closes a bucket that the owner has just opened, the owner
            // opens it again.
            self.end.store(0, Ordering::Relaxed);
        }
        Some(tick)
    }

    /// One of the counts in a window.
    ///
    /// If the current bucket is the newest, this is its own count plus that of the earlier buckets, which
    /// was added up when it was opened.
    #[inline]
    pub(super) fn sum(&self, epoch: Epoch, ticks: Ticks, of: Which) -> u64 {
        let Some(tick) = self.newest(epoch) else { return 0 };
        if tick == ticks.newest
            && let Some(bucket) = self.ring.get(ticks.slot)
            // Ordering: Acquire pairs with the last store in `turn_to`.
            && Stamp(bucket.stamp.load(Ordering::Acquire)) == Stamp::new(epoch, tick)
        {
            // Ordering: Acquire pairs with the fence in `turn_to` and the Release store in `count`.
            let earlier = self.earlier.of(of).load(Ordering::Acquire);
            earlier + bucket.counts.of(of).load(Ordering::Acquire)
        } else if tick >= ticks.oldest {
            self.sum_slow(epoch, ticks, of)
        } else {
            // All buckets of the shard are too old.
            0
        }
    }

    #[cold]
    #[inline(never)]
    fn sum_slow(&self, epoch: Epoch, ticks: Ticks, of: Which) -> u64 {
        // Ordering: Acquire pairs with the Release store in `count`; a thread that sees a zero of an
        // emptied bucket sees the shard's new version.
        let counts = |bucket: &Bucket| bucket.counts.of(of).load(Ordering::Acquire);
        self.within(epoch, ticks.oldest, ticks.newest).map(counts).sum()
    }

    /// Adds the counts of each bucket from `oldest` on, of an epoch that is over.
    pub(super) fn add_buckets(&self, all: &mut BTreeMap<Tick, Tally>, epoch: Epoch, oldest: Tick) {
        for bucket in self.within(epoch, oldest, Tick(u64::MAX)) {
            let stamp = Stamp(bucket.stamp.load(Ordering::Acquire));
            let Some(tick) = stamp.tick_in(epoch) else { continue };
            let tally = all.entry(tick).or_default();
            // Ordering: Acquire, as above. Slow calls first: see `window` on reading.
            tally.slow += bucket.counts.slow.load(Ordering::Acquire);
            tally.failures += bucket.counts.failures.load(Ordering::Acquire);
            tally.successes += bucket.counts.successes.load(Ordering::Acquire);
        }
    }

    fn within(&self, epoch: Epoch, oldest: Tick, newest: Tick) -> impl Iterator<Item = &Bucket> {
        self.ring.iter().filter(move |bucket| {
            // Ordering: Acquire pairs with the Release store of the stamp: no older count is seen.
            let stamp = Stamp(bucket.stamp.load(Ordering::Acquire));
            stamp.tick_in(epoch).is_some_and(|tick| (oldest..=newest).contains(&tick))
        })
    }

    /// Erases the counts of all epochs, when no other thread uses the window.
    pub(super) fn erase(&self) {
        // Ordering: Relaxed: a lock orders it before the next use.
        self.end.store(0, Ordering::Relaxed);
        self.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
        self.ring.iter().for_each(|bucket| bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed));
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self) + self.ring.bytes()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::policy::Policy;

    const EPOCH: Epoch = Epoch::from_number(5);
    const SUCCESS: Sample = Sample { failed: false, slow: false };
    const FAILURE: Sample = Sample { failed: true, slow: false };

    /// Ten buckets of six seconds.
    fn span() -> Span {
        Span::new(&Policy::default())
    }

    #[test]
    fn a_tick_has_its_slot_in_the_ring() {
        let ticks = Ticks::new(Tick(27), &span());
        assert_eq!([18, 20, 26, 27].map(|tick| ticks.slot_of(Tick(tick))), [8, 0, 6, 7]);
    }

    #[test]
    fn failures_within_the_allowance_of_their_bucket_need_no_evaluation() {
        let shard = Shard::new(10);
        let (now, later) = (Ticks::new(Tick(12), &span()), Ticks::new(Tick(22), &span()));
        let own = || shard.own_allowance(EPOCH);
        shard.open(&span(), EPOCH, Tick(12));
        assert!(!shard.count(SUCCESS) && shard.count(FAILURE));
        assert_eq!((own(), shard.allowance(EPOCH, now)), (0, 0));
        shard.grant(Epoch::from_number(4), 9);
        assert_eq!(own(), 0);
        shard.grant(EPOCH, 2);
        assert_eq!((own(), shard.allowance(EPOCH, now)), (2, 2));
        assert_eq!(
            (shard.own_allowance(Epoch::from_number(4)), shard.allowance(EPOCH, later)),
            (0, 0)
        );
        // Also if another thread has opened a bucket already.
        assert_eq!(shard.allowance(EPOCH, Ticks::new(Tick(21), &span())), 2);
        assert!(shard.count(Sample { failed: false, slow: true }));
        assert!(!shard.count(FAILURE) && !shard.count(SUCCESS));
        assert_eq!((own(), shard.allowance(EPOCH, now)), (1, 1));
        assert!(!shard.count(FAILURE) && shard.count(FAILURE));
        assert_eq!((own(), shard.allowance(EPOCH, now)), (0, 0));
        // It ends with its bucket.
        shard.grant(EPOCH, 2);
        shard.open(&span(), EPOCH, Tick(13));
        assert_eq!((own(), shard.allowance(EPOCH, Ticks::new(Tick(13), &span()))), (0, 0));
    }

    #[test]
    fn each_opening_changes_the_version() {
        let shard = Shard::new(10);
        for opened in 0..3 {
            assert_eq!(shard.opened(), opened);
            shard.open(&span(), EPOCH, Tick(12 + opened));
        }
    }
}
