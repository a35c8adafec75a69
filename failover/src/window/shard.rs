//! One thread's part of a window.

use super::{Sample, Span, Tally};
use crate::phase::Epoch;
use crate::sync::{AtomicU64, Ordering, fence};

/// Which stretch of time a bucket is for: an epoch and a tick, in one word.
///
/// Ticks number the buckets since the window's origin. 44 bits of ticks of at least 1 ms last 557
/// years; the epoch's 20 bits come round after a million transitions, by when a bucket filled in
/// the epoch of the same name has left the window by its tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u64);

impl Stamp {
    const TICK_BITS: u32 = 64 - Epoch::BITS;
    const TICKS: u64 = (1 << Self::TICK_BITS) - 1;
    /// No stretch of time at all: the last tick of the last epoch is never reached.
    pub(super) const NONE: Self = Self(u64::MAX);

    pub(super) fn new(epoch: Epoch, tick: u64) -> Self {
        Self((u64::from(epoch.number()) << Self::TICK_BITS) | (tick & Self::TICKS))
    }

    /// The tick, if the stamp is of that epoch.
    pub(super) fn tick_in(self, epoch: Epoch) -> Option<u64> {
        let same = self.0 >> Self::TICK_BITS == u64::from(epoch.number());
        (same && self != Self::NONE).then_some(self.0 & Self::TICKS)
    }
}

/// The counts of one bucket. Written by the shard's owner alone.
#[derive(Debug)]
struct Bucket {
    stamp: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
    slow: AtomicU64,
}

/// Two buckets fill a cache line, and no line has two owners.
#[derive(Debug)]
#[repr(align(64))]
struct Pair([Bucket; 2]);

/// One thread's part of a window: a ring of buckets. One thread at a time may call
/// [`count`](Self::count), any thread may read.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Shard {
    /// The running bucket.
    stamp: AtomicU64,
    /// When it ends, in nanoseconds since the window's origin.
    end: AtomicU64,
    /// Where in the ring it is.
    place: AtomicU64,
    ring: Box<[Pair]>,
}

impl Shard {
    pub(super) fn new(buckets: usize) -> Self {
        let bucket = || Bucket {
            stamp: AtomicU64::new(Stamp::NONE.0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        };
        Self {
            stamp: AtomicU64::new(Stamp::NONE.0),
            end: AtomicU64::new(0),
            place: AtomicU64::new(0),
            ring: (0..buckets.div_ceil(2)).map(|_| Pair([bucket(), bucket()])).collect(),
        }
    }

    /// Counts one call that ended at `at`. True if it opened a new bucket: then the window may
    /// have slid since it was last judged.
    ///
    /// For the shard's owner alone. `span` says how the window is cut, when that is needed.
    #[inline]
    pub(super) fn count(
        &self,
        span: impl FnOnce() -> Span,
        epoch: Epoch,
        at: u64,
        sample: Sample,
    ) -> bool {
        // Ordering: Relaxed throughout for what the owner alone writes and now reads back.
        let stamp = Stamp(self.stamp.load(Ordering::Relaxed));
        let opened = at >= self.end.load(Ordering::Relaxed) || stamp.tick_in(epoch).is_none();
        if opened {
            self.open(&span(), epoch, at, stamp);
        }
        let place = self.place.load(Ordering::Relaxed);
        if let Some(bucket) = self.bucket(place) {
            let counter = if sample.failed { &bucket.failures } else { &bucket.successes };
            // Ordering: Release, so that who reads this failure also sees the successes that came
            // before it, and who reads that it was slow sees that it was: see `window` on reading.
            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
            if sample.slow {
                bucket.slow.store(bucket.slow.load(Ordering::Relaxed) + 1, Ordering::Release);
            }
        }
        opened
    }

    #[inline]
    fn bucket(&self, place: u64) -> Option<&Bucket> {
        let place = usize::try_from(place).ok()?;
        self.ring.get(place / 2)?.0.get(place % 2)
    }

    #[cold]
    fn open(&self, span: &Span, epoch: Epoch, at: u64, last: Stamp) {
        // Where the clock went back, the bucket that is open stays open.
        let tick = span.tick(at).max(last.tick_in(epoch).unwrap_or(0));
        let stamp = Stamp::new(epoch, tick);
        let place = tick % u64::from(span.buckets());
        // The shard's stamp first: a reader that meets the emptied bucket sees it too, by the
        // fence below, and knows that the window slid.
        self.stamp.store(stamp.0, Ordering::Relaxed);
        self.end.store(span.end(tick), Ordering::Relaxed);
        self.place.store(place, Ordering::Relaxed);
        let Some(bucket) = self.bucket(place) else { return };
        if bucket.stamp.load(Ordering::Relaxed) != stamp.0 {
            bucket.stamp.store(Stamp::NONE.0, Ordering::Relaxed);
            // Ordering: the two stamps above are seen by whoever sees one of the zeros below.
            fence(Ordering::Release);
            bucket.successes.store(0, Ordering::Relaxed);
            bucket.failures.store(0, Ordering::Relaxed);
            bucket.slow.store(0, Ordering::Relaxed);
            // Ordering: whoever sees the new stamp sees the zeros.
            bucket.stamp.store(stamp.0, Ordering::Release);
        }
    }

    /// The tick of the running bucket, if it is of that epoch.
    pub(super) fn newest(&self, epoch: Epoch) -> Option<u64> {
        // Ordering: Acquire pairs with the fence in `open` through the counters read before.
        Stamp(self.stamp.load(Ordering::Acquire)).tick_in(epoch)
    }

    /// Adds the slow calls in the ticks from `oldest` to `newest`.
    pub(super) fn add_slow(&self, tally: &mut Tally, epoch: Epoch, oldest: u64, newest: u64) {
        for bucket in self.within(epoch, oldest, newest) {
            // Ordering: Acquire pairs with the Release store in `count`.
            tally.slow += bucket.slow.load(Ordering::Acquire);
        }
    }

    /// Adds the failures in the ticks from `oldest` to `newest`.
    pub(super) fn add_failures(&self, tally: &mut Tally, epoch: Epoch, oldest: u64, newest: u64) {
        for bucket in self.within(epoch, oldest, newest) {
            // Ordering: Acquire pairs with the Release store in `count`.
            tally.failures += bucket.failures.load(Ordering::Acquire);
        }
    }

    /// Adds the successes in the ticks from `oldest` to `newest`.
    pub(super) fn add_successes(&self, tally: &mut Tally, epoch: Epoch, oldest: u64, newest: u64) {
        for bucket in self.within(epoch, oldest, newest) {
            // Ordering: Acquire, so that a zero of an emptied bucket brings the shard's new stamp.
            tally.successes += bucket.successes.load(Ordering::Acquire);
        }
    }

    fn within(&self, epoch: Epoch, oldest: u64, newest: u64) -> impl Iterator<Item = &Bucket> {
        self.ring.iter().flat_map(|pair| &pair.0).filter(move |bucket| {
            // Ordering: Acquire pairs with the Release store of the stamp: no older count is seen.
            let stamp = Stamp(bucket.stamp.load(Ordering::Acquire));
            stamp.tick_in(epoch).is_some_and(|tick| (oldest..=newest).contains(&tick))
        })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self) + size_of_val(&*self.ring)
    }
}
