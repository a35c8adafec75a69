//! A shard for each thread that counts.

use std::fmt;
use std::sync::OnceLock;

use crate::sync::{AtomicU64, Ordering};

/// One shard a thread, by the thread's number (see `slot`). Those of the first threads are there
/// from the start, those of further threads are made when they come.
pub(super) struct Shards<S> {
    first: Box<[S]>,
    /// Part `i` doubles the number so far, when a thread needs it. Behind one pointer, since hardly
    /// a failover has any.
    more: OnceLock<Box<Parts<S>>>,
    /// How many of the parts in `more` may be in use.
    parts: AtomicU64,
    /// One more than the highest number of a thread that has counted: a reader looks no further.
    counting: AtomicU64,
}

/// 24 doublings are more threads than a process can have.
type Parts<S> = [OnceLock<Box<[S]>>; 24];

impl<S> Shards<S> {
    /// `threads`: how many threads have their shard from the start; rounded up to a power of two.
    pub(super) fn new(threads: usize, shard: impl FnMut() -> S) -> Self {
        Self {
            first: make(threads.next_power_of_two(), shard),
            more: OnceLock::new(),
            parts: AtomicU64::new(0),
            counting: AtomicU64::new(0),
        }
    }

    /// The thread with that number begins to count.
    pub(super) fn begin(&self, slot: usize) {
        let counting = slot as u64 + 1;
        if self.counting.load(Ordering::Relaxed) < counting {
            // Ordering: Release pairs with `few`. A reader that does not see it, sees none of the
            // thread's counts either: it reads as if it had come before them.
            self.counting.fetch_max(counting, Ordering::Release);
        }
    }

    /// The shard of the thread with that number, if it was there from the start.
    #[inline]
    pub(super) fn first(&self, slot: usize) -> Option<&S> {
        self.first.get(slot)
    }

    /// The shard of the thread with that number. `shard` makes the ones that are missing.
    #[inline]
    pub(super) fn of(&self, slot: usize, shard: impl FnMut() -> S) -> &S {
        self.first.get(slot).unwrap_or_else(|| self.further(slot, shard))
    }

    #[cold]
    fn further(&self, slot: usize, shard: impl FnMut() -> S) -> &S {
        let none = || Box::new(std::array::from_fn(|_| OnceLock::new()));
        let more: &Parts<S> = self.more.get_or_init(none);
        // Part i holds the slots from first × 2^i to first × 2^(i+1) − 1.
        let part = (slot / self.first.len()).ilog2() as usize;
        let part = part.min(more.len() - 1);
        let before = self.first.len() << part;
        // Ordering: AcqRel, so that a reader that sees the new number also sees the part.
        self.parts.fetch_max(part as u64 + 1, Ordering::AcqRel);
        let shards = more[part].get_or_init(|| make(before, shard));
        &shards[slot % before]
    }

    /// Those of all threads that have counted, if all had theirs from the start.
    #[inline]
    pub(super) fn few(&self) -> Option<&[S]> {
        // Ordering: Acquire pairs with `begin`.
        let counting = self.counting.load(Ordering::Acquire);
        self.first.get(..usize::try_from(counting).ok()?)
    }

    /// The memory behind it, in bytes, that of the shards not included.
    pub(super) fn bytes(&self) -> usize {
        self.more.get().map_or(0, |more| size_of_val(&**more))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &S> + Clone {
        // Ordering: Acquire pairs with `further`.
        let parts = usize::try_from(self.parts.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        let more = self.more.get().into_iter().flat_map(|more| more.iter());
        let more = more.take(parts).filter_map(OnceLock::get);
        self.first.iter().chain(more.flat_map(|part| part.iter()))
    }
}

fn make<S>(number: usize, mut shard: impl FnMut() -> S) -> Box<[S]> {
    (0..number).map(|_| shard()).collect()
}

impl<S> fmt::Debug for Shards<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shards({})", self.iter().count())
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_thread_has_a_shard_of_its_own_and_parts_double_as_they_are_needed() {
        let shards = Shards::new(2, || 0_u64);
        let of = |slot| std::ptr::from_ref(shards.of(slot, || 0)) as usize;
        assert_eq!((shards.iter().count(), shards.bytes()), (2, 0));
        for (slot, all) in [(1, 2), (2, 4), (3, 4), (4, 8), (7, 8), (8, 16), (33, 48)] {
            of(slot);
            assert_eq!(shards.iter().count(), all, "{slot}");
        }
        assert_eq!(shards.bytes(), size_of::<Parts<u64>>());
        let addresses: BTreeSet<_> = (0..64).map(of).collect();
        assert_eq!((addresses.len(), shards.iter().count()), (64, 64));
        assert!((0..64).all(|slot| addresses.contains(&of(slot))));
        let listed = shards.iter().map(|shard| std::ptr::from_ref(shard) as usize);
        assert_eq!(listed.collect::<BTreeSet<_>>(), addresses);
    }

    #[test]
    fn few_are_those_of_all_threads_that_counted_and_none_if_one_came_later() {
        let shards = Shards::new(2, || 0_u64);
        let few = || shards.few().map(<[_]>::len);
        assert_eq!(few(), Some(0));
        shards.begin(1);
        shards.begin(0);
        assert_eq!(few(), Some(2));
        shards.begin(2);
        assert_eq!(few(), None);
    }
}
