//! The buckets of one shard.

use crate::tally::Tally;
use std::iter;
use std::sync::OnceLock;

use super::span::Stamp;
use crate::engine::sync::{AtomicU64, Ordering};

/// Counts of calls. Written only by the shard's owner.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) successes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) slow: AtomicU64,
}

/// Selects one of the counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Successes,
    Failures,
    Slow,
}

impl Counts {
    #[inline]
    pub(super) fn of(&self, which: Which) -> &AtomicU64 {
        match which {
            Which::Successes => &self.successes,
            Which::Failures => &self.failures,
            Which::Slow => &self.slow,
        }
    }

    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { successes: zero(), failures: zero(), slow: zero() }
    }

    /// The owner's own counts.
    pub(super) fn own(&self) -> Tally {
        let own = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Tally {
            successes: own(&self.successes),
            failures: own(&self.failures),
            slow: own(&self.slow),
            dropped: 0,
        }
    }

    /// Replaces the owner's counts. The caller publishes them.
    pub(super) fn set(&self, tally: &Tally) {
        self.successes.store(tally.successes, Ordering::Relaxed);
        self.failures.store(tally.failures, Ordering::Relaxed);
        self.slow.store(tally.slow, Ordering::Relaxed);
    }
}

/// The counts of one bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) stamp: AtomicU64,
    pub(super) counts: Counts,
}

/// Two buckets fill a cache line, so no line has two writers.
#[derive(Debug)]
#[repr(align(64))]
struct Pair([Bucket; 2]);

/// The buckets of one shard. Grows if a new policy has more buckets, and never shrinks.
#[derive(Debug)]
pub(super) struct Ring {
    pairs: Box<[Pair]>,
    /// Buckets added since.
    more: OnceLock<Box<Ring>>,
}

impl Ring {
    pub(super) fn new(buckets: usize) -> Self {
        let bucket = || Bucket { stamp: AtomicU64::new(Stamp::NONE.0), counts: Counts::new() };
        let pairs = (0..buckets.div_ceil(2)).map(|_| Pair([bucket(), bucket()])).collect();
        Self { pairs, more: OnceLock::new() }
    }

    #[inline]
    pub(super) fn get(&self, slot: u64) -> Option<&Bucket> {
        self.first(slot).or_else(|| self.get_slow(slot))
    }

    /// One of the initial buckets.
    #[inline]
    pub(super) fn first(&self, slot: u64) -> Option<&Bucket> {
        let slot = usize::try_from(slot).ok()?;
        self.pairs.get(slot / 2)?.0.get(slot % 2)
    }

    #[cold]
    #[inline(never)]
    fn get_slow(&self, mut slot: u64) -> Option<&Bucket> {
        for part in self.parts() {
            let bucket = part.first(slot);
            if bucket.is_some() {
                return bucket;
            }
            slot -= 2 * part.pairs.len() as u64;
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.parts().flat_map(|part| &part.pairs).flat_map(|pair| &pair.0)
    }

    fn parts(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |part| part.more.get().map(Box::as_ref))
    }

    /// Grows to at least `buckets` buckets in total.
    pub(super) fn grow(&self, buckets: usize) {
        let mut room = 0;
        for part in self.parts() {
            room += 2 * part.pairs.len();
            if room < buckets {
                // The first thread adds it; the loop then continues with the added part.
                part.more.get_or_init(|| Box::new(Self::new(buckets - room)));
            }
        }
    }

    /// The allocated memory in bytes, without `self`.
    pub(super) fn bytes(&self) -> usize {
        let parts = self.parts().map(|part| size_of_val(&*part.pairs)).sum::<usize>();
        parts + (self.parts().count() - 1) * size_of::<Self>()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_the_missing_buckets_and_moves_none() {
        let ring = Ring::new(3);
        let first = std::ptr::from_ref(ring.get(3).unwrap());
        assert!(ring.get(4).is_none());
        ring.grow(4);
        assert!(ring.get(4).is_none());
        ring.grow(9);
        ring.grow(5);
        assert_eq!((ring.iter().count(), ring.get(9).is_some()), (10, true));
        assert!(ring.get(10).is_none());
        ring.grow(11);
        assert_eq!(ring.iter().count(), 12);
        assert!(std::ptr::eq(first, ring.get(3).unwrap()));
        assert_eq!(ring.bytes(), 6 * 64 + 2 * size_of::<Ring>());
    }
}
