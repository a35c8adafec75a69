//! The rolling time window.

use std::sync::OnceLock;

use super::Tally;
use super::shard::Shard;
use crate::Policy;
use crate::phase::Epoch;
use crate::sync::{AtomicU64, Ordering};

/// How a window is cut into buckets: its length in nanoseconds and their number.
///
/// Bucket `k` is the stretch of time `t` with `floor(t × buckets / length) = k`: exact for any
/// pair of the two, since nothing is rounded but `t` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    nanos: u64,
    buckets: u32,
}

impl Span {
    pub(crate) fn new(policy: &Policy) -> Self {
        // A policy's window is at most 366 days, which is far below 2^64 ns.
        let nanos = u64::try_from(policy.window().as_nanos()).unwrap_or(u64::MAX);
        Self { nanos, buckets: policy.buckets() }
    }

    pub(super) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// The number of the bucket that a moment falls into.
    pub(crate) fn tick(&self, at: u64) -> u64 {
        let tick = u128::from(at) * u128::from(self.buckets) / u128::from(self.nanos);
        // A bucket is at least a nanosecond wide, so there are no more ticks than nanoseconds.
        u64::try_from(tick).unwrap_or(u64::MAX)
    }

    /// The first moment after a bucket.
    pub(super) fn end(&self, tick: u64) -> u64 {
        let end = (u128::from(tick) + 1) * u128::from(self.nanos);
        u64::try_from(end.div_ceil(u128::from(self.buckets))).unwrap_or(u64::MAX)
    }
}

/// A window over the calls of the last so many seconds, sliding by a bucket at a time.
///
/// Its memory is fixed by the number of buckets and the greatest number of threads that counted
/// at once; neither the rate of calls nor time adds to it.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    /// How the window is cut. Atomics, because a window is used again for other policies: see
    /// `pool`. A reader that sees a mixture is of an epoch that has passed, and changes nothing.
    nanos: AtomicU64,
    buckets: AtomicU64,
    ring: usize,
    /// The shards of the first threads, made at once.
    first: Box<[Shard]>,
    /// Those of further threads: part `i` doubles the number so far, when a thread needs it.
    more: [OnceLock<Box<[Shard]>>; 24],
    /// How many of the parts in `more` may be in use.
    parts: AtomicU64,
}

impl TimeWindow {
    /// `threads`: how many threads have their shard from the start; rounded up to a power of two.
    pub(crate) fn new(span: Span, threads: usize) -> Self {
        let ring = usize::try_from(span.buckets).unwrap_or(usize::MAX);
        let shards = threads.next_power_of_two();
        Self {
            nanos: AtomicU64::new(span.nanos),
            buckets: AtomicU64::new(u64::from(span.buckets)),
            ring,
            first: (0..shards).map(|_| Shard::new(ring)).collect(),
            more: std::array::from_fn(|_| OnceLock::new()),
            parts: AtomicU64::new(0),
        }
    }

    /// How many buckets there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.ring
    }

    /// Cuts the window anew. Whoever calls this begins a new epoch before and after it.
    pub(crate) fn cut(&self, span: Span) {
        // Ordering: Release pairs with the Acquire in `span`: whoever sees the new cut also sees
        // that the old epoch is over.
        self.nanos.store(span.nanos, Ordering::Release);
        self.buckets.store(u64::from(span.buckets), Ordering::Release);
    }

    fn span(&self) -> Span {
        // Ordering: Acquire, see `cut`.
        let nanos = self.nanos.load(Ordering::Acquire);
        let buckets = self.buckets.load(Ordering::Acquire);
        Span { nanos, buckets: u32::try_from(buckets).unwrap_or(u32::MAX) }
    }

    /// Counts one call that ended at `at` nanoseconds after the origin, in this thread's shard,
    /// whose number is `slot`. True if it opened a bucket.
    #[inline]
    pub(crate) fn count(&self, slot: usize, epoch: Epoch, at: u64, failed: bool) -> bool {
        let shard = self.first.get(slot).unwrap_or_else(|| self.further(slot));
        shard.count(|| self.span(), epoch, at, failed)
    }

    #[cold]
    fn further(&self, slot: usize) -> &Shard {
        // Part i holds the slots from first × 2^i to first × 2^(i+1) − 1. 24 doublings are more
        // threads than a process can have.
        let part = (slot / self.first.len()).ilog2() as usize;
        let part = part.min(self.more.len() - 1);
        let before = self.first.len() << part;
        // Ordering: AcqRel, so that a reader that sees the new number also sees the part.
        self.parts.fetch_max(part as u64 + 1, Ordering::AcqRel);
        let shards =
            self.more[part].get_or_init(|| (0..before).map(|_| Shard::new(self.ring)).collect());
        &shards[(slot - before) % before]
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        // Ordering: Acquire pairs with `further`.
        let parts = usize::try_from(self.parts.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        let more = self.more.iter().take(parts).filter_map(OnceLock::get);
        self.first.iter().chain(more.flat_map(|part| part.iter()))
    }

    /// The counts of one epoch in the window that ends at `at`, or at the latest call that was
    /// counted, if that is later.
    pub(crate) fn tally(&self, epoch: Epoch, at: u64) -> Tally {
        self.read(epoch, self.span().tick(at))
    }

    /// The counts of one epoch in the window that ends at the latest call that was counted.
    pub(crate) fn latest(&self, epoch: Epoch) -> Tally {
        self.read(epoch, 0)
    }

    fn read(&self, epoch: Epoch, at_least: u64) -> Tally {
        let before = u64::from(self.span().buckets) - 1;
        let mut newest = self.newest(epoch, at_least);
        loop {
            let oldest = newest.saturating_sub(before);
            let mut tally = Tally::default();
            // A shard whose last bucket is too old has no younger one.
            let counting =
                || self.shards().filter(|s| s.newest(epoch).is_some_and(|newest| newest >= oldest));
            for shard in counting() {
                shard.add_failures(&mut tally, epoch, oldest, newest);
            }
            for shard in counting() {
                shard.add_successes(&mut tally, epoch, oldest, newest);
            }
            let now = self.newest(epoch, newest);
            if now == newest {
                return tally;
            }
            // The window slid under the reading. It can do so once a bucket's width, so this ends.
            newest = now;
        }
    }

    fn newest(&self, epoch: Epoch, at_least: u64) -> u64 {
        self.shards().filter_map(|shard| shard.newest(epoch)).fold(at_least, u64::max)
    }

    /// The memory that it holds, in bytes, itself not included.
    pub(crate) fn bytes(&self) -> usize {
        self.shards().map(Shard::bytes).sum()
    }
}
