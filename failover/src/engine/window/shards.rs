//! One shard per counting thread.

use std::fmt;
use std::sync::OnceLock;

use crate::engine::sync::{AtomicU64, Ordering};

/// One shard per thread, by the thread's id (see `thread_id`). The first threads have theirs from the
/// start; others are allocated with a thread's first call.
pub(super) struct Shards<S> {
    first: Box<[S]>,
    /// Part `i` has 2^i groups, and is allocated when a thread needs one of them. Behind one pointer,
    /// since few monitors have any.
    more: OnceLock<Box<Parts<S>>>,
    /// The number of parts in `more` that may be in use.
    parts: AtomicU64,
    /// The highest id of a thread that has counted, plus one: a reader looks no further.
    counting: AtomicU64,
}

/// 24 doublings are more threads than a process can have.
type Parts<S> = [OnceLock<Box<[Group<S>]>>; 24];

/// The number of threads in a group.
const GROUP: usize = 64;

/// A reader skips a group in which no bucket was opened lately, so threads that ended cost it little.
struct Group<S> {
    /// The latest end of a bucket opened in it, in nanoseconds since the monitor's origin.
    latest: AtomicU64,
    shards: [OnceLock<Box<S>>; GROUP],
}

impl<S> Shards<S> {
    /// `threads`: how many threads have a shard from the start, rounded up to a power of two.
    pub(super) fn new(threads: usize, shard: impl FnMut() -> S) -> Self {
        Self {
            first: make(threads.next_power_of_two(), shard),
            more: OnceLock::new(),
            parts: AtomicU64::new(0),
            counting: AtomicU64::new(0),
        }
    }

    /// The thread opens a bucket that ends at `end`, and then counts in it.
    pub(super) fn begin(&self, thread: usize, end: u64) {
        let counting = thread as u64 + 1;
        // Ordering: Release, here and below, pairs with `few` and `since`. A reader that does not see
        // this sees none of the thread's counts in the bucket either, as if it had read before them.
        if self.counting.load(Ordering::Relaxed) < counting {
            self.counting.fetch_max(counting, Ordering::Release);
        }
        if thread >= self.first.len() {
            self.group(thread).latest.fetch_max(end, Ordering::Release);
        }
    }

    /// The thread's shard, if it was there from the start.
    #[inline]
    pub(super) fn first(&self, thread: usize) -> Option<&S> {
        self.first.get(thread)
    }

    /// The thread's shard; `shard` makes a missing one.
    #[inline]
    pub(super) fn of(&self, thread: usize, shard: impl FnMut() -> S) -> &S {
        self.first.get(thread).unwrap_or_else(|| self.of_slow(thread, shard))
    }

    #[cold]
    fn of_slow(&self, thread: usize, mut shard: impl FnMut() -> S) -> &S {
        self.group(thread).shards[thread % GROUP].get_or_init(|| Box::new(shard()))
    }

    /// The group of a thread that has no shard from the start.
    fn group(&self, thread: usize) -> &Group<S> {
        let none = || Box::new(std::array::from_fn(|_| OnceLock::new()));
        let more: &Parts<S> = self.more.get_or_init(none);
        // Part i holds the groups from 2^i − 1 to 2^(i+1) − 2.
        let number = thread / GROUP + 1;
        let part = (number.ilog2() as usize).min(more.len() - 1);
        // Ordering: AcqRel, so that a reader that sees the new number also sees the part.
        self.parts.fetch_max(part as u64 + 1, Ordering::AcqRel);
        let empty = || Group {
            latest: AtomicU64::new(0),
            shards: std::array::from_fn(|_| OnceLock::new()),
        };
        let groups = more[part].get_or_init(|| make(1 << part, empty));
        &groups[number % groups.len()]
    }

    /// The shards of all threads that have counted, if all were there from the start.
    #[inline]
    pub(super) fn few(&self) -> Option<&[S]> {
        // Ordering: Acquire pairs with `begin`.
        let counting = self.counting.load(Ordering::Acquire);
        self.first.get(..usize::try_from(counting).ok()?)
    }

    /// The allocated memory in bytes, without the shards.
    pub(super) fn bytes(&self) -> usize {
        let groups = self.groups().count() * size_of::<Group<S>>();
        self.more.get().map_or(0, |more| size_of_val(&**more)) + groups
    }

    /// All shards.
    pub(super) fn iter(&self) -> impl Iterator<Item = &S> + Clone {
        self.since(None)
    }

    /// At least the shards with a bucket that ends after `moment`.
    pub(super) fn since(&self, moment: Option<u64>) -> impl Iterator<Item = &S> + Clone {
        let groups = self.groups().filter(move |group| {
            // Ordering: Acquire pairs with `begin`.
            moment.is_none_or(|moment| group.latest.load(Ordering::Acquire) > moment)
        });
        let shards = groups.flat_map(|group| group.shards.iter().filter_map(OnceLock::get));
        self.first.iter().chain(shards.map(Box::as_ref))
    }

    fn groups(&self) -> impl Iterator<Item = &Group<S>> + Clone {
        // Ordering: Acquire pairs with `group`.
        let parts = usize::try_from(self.parts.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        let more = self.more.get().into_iter().flat_map(|more| more.iter());
        more.take(parts).filter_map(OnceLock::get).flat_map(|groups| groups.iter())
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
    fn each_thread_has_its_own_shard_which_is_allocated_when_it_is_needed() {
        let shards = Shards::new(2, || 0_u64);
        let of = |thread| std::ptr::from_ref(shards.of(thread, || 0)) as usize;
        assert_eq!((shards.iter().count(), shards.bytes()), (2, 0));
        for (thread, all) in [(1, 2), (2, 3), (3, 4), (2, 4), (63, 5), (64, 6), (200, 7)] {
            of(thread);
            assert_eq!(shards.iter().count(), all, "{thread}");
        }
        // Group 0, 1 with 2, and 3 to 6.
        let groups = (1 + 2 + 4) * size_of::<Group<u64>>();
        assert_eq!(shards.bytes(), size_of::<Parts<u64>>() + groups);
        let addresses: BTreeSet<_> = (0..256).map(of).collect();
        assert_eq!((addresses.len(), shards.iter().count()), (256, 256));
        assert!((0..256).all(|thread| addresses.contains(&of(thread))));
        let listed = shards.iter().map(|shard| std::ptr::from_ref(shard) as usize);
        assert_eq!(listed.collect::<BTreeSet<_>>(), addresses);
    }

    #[test]
    fn groups_that_opened_no_bucket_since_a_moment_are_skipped() {
        let shards = Shards::new(4, || 0_u64);
        for thread in 0..2_000 {
            shards.begin(thread, 100);
            shards.of(thread, || 0);
        }
        let since = |moment| shards.since(Some(moment)).count();
        assert_eq!((since(99), since(100)), (2_000, 4));
        shards.begin(1_999, 200);
        shards.begin(1_998, 150);
        // 1,984 to 1,999.
        assert_eq!((since(100), since(199), since(200)), (4 + 16, 4 + 16, 4));
        assert_eq!(shards.iter().count(), 2_000);
    }

    #[test]
    fn few_are_the_shards_of_all_threads_that_counted_unless_one_was_added_later() {
        let shards = Shards::new(2, || 0_u64);
        let few = || shards.few().map(<[_]>::len);
        assert_eq!(few(), Some(0));
        shards.begin(1, 0);
        shards.begin(0, 0);
        assert_eq!(few(), Some(2));
        shards.begin(2, 0);
        assert_eq!(few(), None);
    }
}
