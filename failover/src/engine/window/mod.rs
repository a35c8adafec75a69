//! The rolling record of recent outcomes, and the counts read from it.
//!
//! Two kinds: the calls of the last so many seconds ([`time`]), and the last so many calls
//! ([`count`]). Beside them, [`flight`] counts the calls that are under way.
//!
//! # How the time window counts
//! Each counting thread owns a [`Shard`](shard::Shard) of every window and is its only writer: a
//! call is one load and one store in a cache line that no other thread writes. Nothing is locked,
//! nothing is allocated, and no count can be lost, since no two threads ever add to one number.
//! A bucket that is too old is emptied by its owner, when it needs the slot.
//!
//! # How it is read
//! A reader adds up the shards without stopping their owners. It reads all slow calls first, then
//! all failures, and the successes last; a call is counted before it is counted as slow. All three
//! only grow while the window stands still, so the counts never show a higher rate of slow calls
//! or of failures than there was at a moment during the reading: no false trips.
//!
//! It does not look at each bucket: when a shard opens one, its owner adds up what the older ones
//! of the window hold, which changes no more. So a shard is read by two numbers of a kind, and the
//! price of a failure does not depend on the number of buckets. Where a shard's running bucket is
//! not the newest of all, its buckets are read one by one.
//!
//! Each opening counts up a version before anything else of the shard is written. A reader that
//! finds other versions, or another newest tick, after its reading than before starts again; one that
//! finds the same has read one window, whatever the clock and late results did meanwhile. The tick
//! counts beside the version, since a reading may begin between an opening's first write and its
//! second.
//!
//! # One time for all threads
//! The latest reading of the clock that any thread has counted at is the window's time. A thread that
//! opens a bucket takes the newest one, and closes those that have left the window with it: so what
//! all threads count is in one window, even if the clock of one of them reads ahead of the others'.
//!
//! # Epochs
//! Every bucket carries the epoch it was filled in. A transition begins a new epoch, and with that
//! alone the window is empty: buckets of another epoch count as nothing.

mod count;
mod flight;
mod ring;
mod shard;
mod shards;
mod slots;
mod span;
mod time;

pub(crate) use count::CountWindow;
pub(crate) use flight::{Flights, Stalled};
pub(crate) use slots::Windows;
pub(crate) use span::Span;
pub(crate) use time::TimeWindow;

use crate::tally::Tally;
use std::collections::BTreeMap;

use crate::engine::time::{Epoch, When};
use crate::policy::Policy;

/// What a window keeps of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) failed: bool,
    /// Only where the policy asks for it.
    pub(crate) slow: bool,
}

impl Sample {
    /// The counts of one call.
    pub(crate) fn tally(self) -> Tally {
        let (failures, slow) = (u64::from(self.failed), u64::from(self.slow));
        Tally { successes: 1 - failures, failures, slow }
    }
}

/// What a window says to whoever evaluates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) tally: Tally,
    /// How many more failures all threads together may count without evaluating them.
    pub(crate) allowance: u64,
    /// How many threads have counted.
    pub(crate) threads: u64,
}

/// What a window holds, apart from its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The counts of each bucket, by the moment at which it began: below zero, if that was before
    /// the monitor's time.
    Buckets(BTreeMap<i128, Tally>),
    /// Each call, the oldest first.
    Calls(Vec<Sample>),
}

impl Kept {
    /// For a policy that does not count slow calls.
    pub(crate) fn without_slow(self) -> Self {
        match self {
            Self::Buckets(mut buckets) => {
                buckets.values_mut().for_each(|tally| tally.slow = 0);
                Self::Buckets(buckets)
            }
            Self::Calls(mut calls) => {
                calls.iter_mut().for_each(|call| call.slow = false);
                Self::Calls(calls)
            }
        }
    }
}

/// A window of either kind. Which one it is stands beside what a call reads of it anyway.
#[derive(Debug)]
pub(crate) enum Window {
    Time(TimeWindow),
    Count(CountWindow),
}

impl Window {
    /// `threads`: how many threads can count before more memory is needed.
    pub(crate) fn new(policy: &Policy, threads: usize) -> Self {
        match policy.last_calls() {
            Some(calls) => Self::Count(CountWindow::new(calls)),
            None => Self::Time(TimeWindow::new(Span::new(policy), threads)),
        }
    }

    /// For a policy, with room for any other of its kind.
    fn roomy(policy: &Policy) -> Self {
        match policy.last_calls() {
            Some(_) => Self::Count(CountWindow::new(Policy::MOST_LAST_CALLS)),
            None => Self::Time(TimeWindow::new(Span::new(policy), 1)),
        }
    }

    /// Counts one call that ended at `at`. True if it has to be evaluated: the window may have lost
    /// calls since it was evaluated last, or the call is slow, or a failure that no allowance covers.
    /// `is_current` says whether an epoch still runs.
    pub(crate) fn count(
        &self,
        thread: usize,
        when: When,
        sample: Sample,
        is_current: impl Fn(Epoch) -> bool,
    ) -> bool {
        match self {
            Self::Time(window) => window.count(thread, when, sample),
            Self::Count(window) => {
                window.count(when.epoch, sample, is_current);
                sample.failed || sample.slow
            }
        }
    }

    /// The same of a call that is not slow, if it takes no more than an addition: to a window of time
    /// with this thread's bucket open. None, and nothing counted, if it takes more.
    #[inline]
    pub(crate) fn try_count(&self, thread: usize, when: When, failed: bool) -> Option<bool> {
        match self {
            Self::Time(window) => window.try_count(thread, when, failed),
            Self::Count(_) => None,
        }
    }

    /// What is read of one epoch when the latest call was counted: one at `at`, or a later one.
    pub(crate) fn latest(&self, when: When) -> Reading {
        match self {
            Self::Time(window) => window.latest(when),
            // All of it is one word: to evaluate a failure costs less than to have allowance.
            Self::Count(window) => {
                Reading { tally: window.tally(when.epoch), allowance: 0, threads: 1 }
            }
        }
    }

    /// How many more failures this thread may count in that epoch without evaluating them. None where
    /// there is no allowance to be had.
    pub(crate) fn own_allowance(&self, thread: usize, epoch: Epoch) -> Option<u64> {
        match self {
            Self::Time(window) => Some(window.own_allowance(thread, epoch)),
            Self::Count(_) => None,
        }
    }

    /// Lets this thread count that many more failures in that epoch without evaluating them, in the
    /// running bucket. Whoever calls this evaluates once more.
    pub(crate) fn grant(&self, thread: usize, epoch: Epoch, failures: u64) {
        if let Self::Time(window) = self {
            window.grant(thread, epoch, failures);
        }
    }

    /// Counts that show no higher rate than there was. What [`latest`](Self::latest) says of a
    /// time window is that already.
    pub(crate) fn confirm(&self, epoch: Epoch, latest: Tally) -> Tally {
        match self {
            Self::Time(_) => latest,
            Self::Count(window) => window.confirm(epoch),
        }
    }

    /// The counts of one epoch at `at`.
    pub(crate) fn tally(&self, when: When) -> Tally {
        match self {
            Self::Time(window) => window.tally(when),
            Self::Count(window) => window.tally(when.epoch),
        }
    }

    /// What it holds of an epoch at `at`.
    pub(crate) fn kept(&self, when: When) -> Kept {
        match self {
            Self::Time(window) => Kept::Buckets(window.kept(when)),
            Self::Count(window) => Kept::Calls(window.kept(when.epoch)),
        }
    }

    /// Puts what a window held into an epoch that has not begun, if it is of this kind.
    pub(crate) fn seed(&self, thread: usize, when: When, kept: &Kept) {
        match (self, kept) {
            (Self::Time(window), Kept::Buckets(buckets)) => window.seed(thread, when, buckets),
            (Self::Count(window), Kept::Calls(calls)) => {
                window.begin(when.epoch);
                for &sample in calls {
                    window.count(when.epoch, sample, |running| running == when.epoch);
                }
            }
            // Of another kind: it begins empty, at that moment and not before it.
            (Self::Time(window), Kept::Calls(_)) => window.seed(thread, when, &BTreeMap::new()),
            (Self::Count(_), Kept::Buckets(_)) => {}
        }
    }

    /// Makes it the window of another policy that it has room for. Whoever calls this begins a new
    /// epoch before and after it.
    pub(crate) fn cut(&self, policy: &Policy) {
        match (self, policy.last_calls()) {
            (Self::Time(window), _) => window.cut(Span::new(policy)),
            (Self::Count(window), Some(calls)) => window.cut(calls),
            (Self::Count(_), None) => {}
        }
    }

    /// Whether it can be a policy's window.
    pub(crate) fn can_be(&self, policy: &Policy) -> bool {
        match (self, policy.last_calls()) {
            (Self::Time(_), None) => true,
            (Self::Count(window), Some(calls)) => window.has_room_for(calls),
            _ => false,
        }
    }

    /// Erases what was counted in any epoch.
    pub(crate) fn erase(&self) {
        match self {
            Self::Time(window) => window.erase(),
            Self::Count(window) => window.erase(),
        }
    }

    /// The memory that it holds, in bytes, itself not included.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Time(window) => window.bytes(),
            Self::Count(window) => window.bytes(),
        }
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::engine::time::Elapsed;
    use std::time::Duration;

    #[test]
    fn a_window_can_be_a_policys_if_it_is_of_its_kind_and_has_room() {
        let time = |n| Policy::builder().window(Duration::from_secs(60), n).build().unwrap();
        let calls = |n| Policy::builder().last_calls(n).build().unwrap();
        let (of_time, of_calls) = (Window::new(&time(10), 1), Window::new(&calls(100), 1));
        assert_eq!([4, 10, 3_600].map(|n| of_time.can_be(&time(n))), [true; 3]);
        assert_eq!([64, 128, 129].map(|n| of_calls.can_be(&calls(n))), [true, true, false]);
        assert!(!of_time.can_be(&calls(100)) && !of_calls.can_be(&time(10)));
    }

    #[test]
    fn only_a_window_of_time_has_allowance() {
        let calls = Policy::builder().last_calls(100).build().unwrap();
        let (of_time, of_calls) = (Window::new(&Policy::default(), 1), Window::new(&calls, 1));
        let epoch = Epoch::from_number(5);
        let when = When { epoch, at: Elapsed::default() };
        for window in [&of_time, &of_calls] {
            window.count(0, when, Sample { failed: false, slow: false }, |_| true);
            window.grant(0, epoch, 3);
        }
        assert_eq!(
            (of_time.own_allowance(0, epoch), of_calls.own_allowance(0, epoch)),
            (Some(3), None)
        );
        assert_eq!((of_time.latest(when).allowance, of_calls.latest(when).allowance), (3, 0));
    }
}
