//! One thread's part of a window.

use crate::tally::Tally;
use std::collections::BTreeMap;

use super::Sample;
use super::ring::{Bucket, Counts, Ring, Which};
use super::span::{Span, Stamp, Ticks};
use crate::engine::sync::{AtomicU64, Ordering, Setting, fence};
use crate::engine::time::{Epoch, When};

/// One thread's part of a window: a ring of buckets. One thread at a time may call
/// [`count`](Self::count), any thread may read.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Shard {
    /// The running bucket.
    stamp: AtomicU64,
    /// When it ends, in nanoseconds since the window's origin. 0 as long as there is none, and when
    /// another thread has closed it.
    end: Setting,
    /// Where in the ring it is.
    slot: Setting,
    /// How many buckets were opened so far.
    opened: AtomicU64,
    ring: Ring,
    /// The calls in the buckets of the window that are older than the running one.
    earlier: Counts,
    /// So many failures of the running bucket need not be evaluated: see `evaluate`.
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

    /// Whether a call of that epoch that ended at `at` belongs to the running bucket, or the clock
    /// went back. For the shard's owner alone, like the two below.
    #[inline]
    pub(super) fn is_open(&self, when: When) -> bool {
        // Ordering: Relaxed throughout for what the owner alone writes and now reads back.
        when.at.nanos() < self.end.load(Ordering::Relaxed)
            && Stamp(self.stamp.load(Ordering::Relaxed)).is_of(when.epoch)
    }

    /// Counts one call in the running bucket. True if it has to be evaluated: it was slow, or a failure
    /// beyond the allowance.
    pub(super) fn count(&self, sample: Sample) -> bool {
        self.running().is_some_and(|bucket| self.count_in(bucket, sample))
    }

    /// The same of a call that is not slow, where the bucket was there from the start. None, and
    /// nothing counted, if not.
    #[inline]
    pub(super) fn try_count(&self, failed: bool) -> Option<bool> {
        let bucket = self.ring.first(self.slot.load(Ordering::Relaxed))?;
        Some(self.count_in(bucket, Sample { failed, slow: false }))
    }

    #[inline]
    fn count_in(&self, Bucket { counts, .. }: &Bucket, sample: Sample) -> bool {
        let counter = if sample.failed { &counts.failures } else { &counts.successes };
        let calls = counter.load(Ordering::Relaxed) + 1;
        // Ordering: Release, so that who reads this failure also sees the successes that came
        // before it, and who reads that it was slow sees that it was: see `window` on reading.
        counter.store(calls, Ordering::Release);
        if sample.slow {
            counts.slow.store(counts.slow.load(Ordering::Relaxed) + 1, Ordering::Release);
        }
        sample.slow || sample.failed && calls > self.allowance.load(Ordering::Relaxed)
    }

    /// For the owner: the bucket that is counted in.
    fn running(&self) -> Option<&Bucket> {
        self.ring.get(self.slot.load(Ordering::Relaxed))
    }

    /// For the owner: how much is left of its allowance in that epoch.
    pub(super) fn own_allowance(&self, epoch: Epoch) -> u64 {
        self.failures_in(epoch)
            .map_or(0, |failures| self.allowance.load(Ordering::Relaxed).saturating_sub(failures))
    }

    /// For the owner: that many more failures of the running bucket need not be evaluated, if it is of
    /// that epoch. Whoever calls this evaluates once more.
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

    /// How many more failures of a window its owner may count without evaluating them.
    #[inline]
    pub(super) fn allowance(&self, epoch: Epoch, ticks: Ticks) -> u64 {
        // Ordering: Acquire pairs with the fence in `turn_to`.
        let allowance = self.allowance.load(Ordering::Acquire);
        if allowance == 0 {
            return 0;
        }
        match self.newest(epoch).filter(|tick| *tick >= ticks.oldest) {
            None => 0,
            // A count that is of another bucket by now makes the reading start again.
            Some(tick) => self.ring.get(ticks.slot_of(tick)).map_or(allowance, |bucket| {
                allowance.saturating_sub(bucket.counts.failures.load(Ordering::Acquire))
            }),
        }
    }

    /// Adds the counts of a bucket to an epoch that nobody reads before another one is opened, the
    /// oldest first.
    pub(super) fn seed(&self, span: &Span, epoch: Epoch, tick: u64, tally: &Tally) {
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

    /// Makes a bucket the running one. For the shard's owner alone.
    pub(super) fn open(&self, span: &Span, epoch: Epoch, tick: u64) {
        self.turn_to(span, epoch, tick, true);
    }

    /// `sums`: whether somebody reads before the next bucket is opened, so that what the earlier
    /// ones hold has to be added up.
    fn turn_to(&self, span: &Span, epoch: Epoch, tick: u64, sums: bool) {
        let last = Stamp(self.stamp.load(Ordering::Relaxed));
        // Where the clock went back, the bucket that is open stays open.
        let tick = tick.max(last.tick_in(epoch).unwrap_or(0));
        let stamp = Stamp::new(epoch, tick);
        let slot = tick % u64::from(span.buckets);
        // The version first: a reader that meets anything of what follows sees it too, by the
        // fence below, and reads again.
        self.opened.store(self.opened.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.stamp.store(stamp.0, Ordering::Relaxed);
        self.end.store(span.end(tick), Ordering::Relaxed);
        self.slot.store(slot, Ordering::Relaxed);
        // Where the window was cut anew there may be more of them.
        self.ring.grow(span.buckets as usize);
        let Some(bucket) = self.ring.get(slot) else { return };
        let was = bucket.stamp.load(Ordering::Relaxed);
        bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
        // Ordering: version and stamps above are seen by whoever sees anything of what is below.
        fence(Ordering::Release);
        // Whoever opens a bucket evaluates, and may get another one then.
        if self.allowance.load(Ordering::Relaxed) != 0 {
            self.allowance.store(0, Ordering::Relaxed);
        }
        if sums {
            self.earlier.set(&self.sum_before(epoch, tick, span));
        }
        if was != stamp.0 {
            bucket.counts.set(&Tally::default());
        }
        // Ordering: whoever sees the new stamp sees the zeros, and what came earlier.
        bucket.stamp.store(stamp.0, Ordering::Release);
    }

    /// What the buckets of the window before that one hold.
    fn sum_before(&self, epoch: Epoch, tick: u64, span: &Span) -> Tally {
        let oldest = tick.saturating_sub(u64::from(span.buckets) - 1);
        let mut tally = Tally::default();
        for Bucket { counts, .. } in self.within(epoch, oldest, tick) {
            tally.add(&counts.own());
        }
        tally
    }

    /// How often a bucket was opened. A reader that finds it the same before and after has read
    /// one window.
    #[inline]
    pub(super) fn opened(&self) -> u64 {
        // Ordering: Acquire: what is read afterwards is at least as young. Before it, Acquire in
        // the other readings pairs with the fence in `open`.
        self.opened.load(Ordering::Acquire)
    }

    /// The tick of the running bucket, if it is of that epoch.
    #[inline]
    pub(super) fn newest(&self, epoch: Epoch) -> Option<u64> {
        // Ordering: Acquire pairs with the fence in `open` through the counters read before.
        Stamp(self.stamp.load(Ordering::Acquire)).tick_in(epoch)
    }

    /// For other threads: closes the running bucket if it is older than that tick, so that the owner
    /// opens the newest one for its next call. Returns the tick of the running bucket.
    pub(super) fn leave_behind(&self, epoch: Epoch, oldest: u64) -> Option<u64> {
        let tick = self.newest(epoch)?;
        if tick < oldest && self.end.load(Ordering::Relaxed) != 0 {
            // Ordering: Relaxed. If this closes a bucket that the owner has just opened, the owner
            // opens it once more.
            self.end.store(0, Ordering::Relaxed);
        }
        Some(tick)
    }

    /// The calls of a kind in the ticks of a window.
    ///
    /// Where the running bucket is the newest, these are its own and those of the earlier ones,
    /// which were added up when it was opened. So a reader need not look at each bucket.
    #[inline]
    pub(super) fn sum(&self, epoch: Epoch, ticks: Ticks, of: Which) -> u64 {
        let Some(tick) = self.newest(epoch) else { return 0 };
        if tick == ticks.newest
            && let Some(bucket) = self.ring.get(ticks.slot)
            // Ordering: Acquire pairs with the last store in `open`.
            && Stamp(bucket.stamp.load(Ordering::Acquire)) == Stamp::new(epoch, tick)
        {
            // Ordering: Acquire pairs with the fence in `open` and the Release store in `count`.
            let earlier = self.earlier.of(of).load(Ordering::Acquire);
            earlier + bucket.counts.of(of).load(Ordering::Acquire)
        } else if tick >= ticks.oldest {
            self.sum_slow(epoch, ticks, of)
        } else {
            // A shard whose last bucket is too old has no younger one.
            0
        }
    }

    #[cold]
    #[inline(never)]
    fn sum_slow(&self, epoch: Epoch, ticks: Ticks, of: Which) -> u64 {
        // Ordering: Acquire pairs with the Release store in `count`; and a zero of an emptied
        // bucket brings the shard's new version.
        let counts = |bucket: &Bucket| bucket.counts.of(of).load(Ordering::Acquire);
        self.within(epoch, ticks.oldest, ticks.newest).map(counts).sum()
    }

    /// Adds the counts of each bucket from the tick `oldest` on, of an epoch that is over.
    pub(super) fn add_buckets(&self, all: &mut BTreeMap<u64, Tally>, epoch: Epoch, oldest: u64) {
        for bucket in self.within(epoch, oldest, u64::MAX) {
            let stamp = Stamp(bucket.stamp.load(Ordering::Acquire));
            let Some(tick) = stamp.tick_in(epoch) else { continue };
            let tally = all.entry(tick).or_default();
            // Ordering: Acquire, as above. Slow calls are read before the calls that they are of.
            tally.slow += bucket.counts.slow.load(Ordering::Acquire);
            tally.failures += bucket.counts.failures.load(Ordering::Acquire);
            tally.successes += bucket.counts.successes.load(Ordering::Acquire);
        }
    }

    fn within(&self, epoch: Epoch, oldest: u64, newest: u64) -> impl Iterator<Item = &Bucket> {
        self.ring.iter().filter(move |bucket| {
            // Ordering: Acquire pairs with the Release store of the stamp: no older count is seen.
            let stamp = Stamp(bucket.stamp.load(Ordering::Acquire));
            stamp.tick_in(epoch).is_some_and(|tick| (oldest..=newest).contains(&tick))
        })
    }

    /// Erases what was counted in any epoch: nobody counts in a running one.
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
    fn a_tick_has_its_place_in_the_ring() {
        let ticks = Ticks::new(27, &span());
        assert_eq!([18, 20, 26, 27].map(|tick| ticks.slot_of(tick)), [8, 0, 6, 7]);
    }

    #[test]
    fn failures_within_the_allowance_of_their_bucket_need_not_be_judged() {
        let shard = Shard::new(10);
        let (now, later) = (Ticks::new(12, &span()), Ticks::new(22, &span()));
        let own = || shard.own_allowance(EPOCH);
        shard.open(&span(), EPOCH, 12);
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
        // Also where another thread has opened a bucket already.
        assert_eq!(shard.allowance(EPOCH, Ticks::new(21, &span())), 2);
        assert!(shard.count(Sample { failed: false, slow: true }));
        assert!(!shard.count(FAILURE) && !shard.count(SUCCESS));
        assert_eq!((own(), shard.allowance(EPOCH, now)), (1, 1));
        assert!(!shard.count(FAILURE) && shard.count(FAILURE));
        assert_eq!((own(), shard.allowance(EPOCH, now)), (0, 0));
        // It ends with its bucket.
        shard.grant(EPOCH, 2);
        shard.open(&span(), EPOCH, 13);
        assert_eq!((own(), shard.allowance(EPOCH, Ticks::new(13, &span()))), (0, 0));
    }

    #[test]
    fn it_has_another_version_after_each_bucket_that_was_opened() {
        let shard = Shard::new(10);
        for opened in 0..3 {
            assert_eq!(shard.opened(), opened);
            shard.open(&span(), EPOCH, 12 + opened);
        }
    }
}
