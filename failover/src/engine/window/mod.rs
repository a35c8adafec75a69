//! The rolling record of recent outcomes, and the counts read from it.
//!
//! There are two kinds: the calls of the last seconds ([`time`]) and the last calls ([`count`]).
//! [`flight`] counts the calls in flight, and [`dropped`] those that were dropped.
//!
//! # How the time window counts
//! Each thread owns a [`Shard`](shard::Shard) of every window and is its only writer. A call is one
//! load and one store in a cache line that no other thread writes: no lock, no allocation, and no
//! lost count. The owner empties an old bucket when it needs the slot.
//!
//! # How it is read
//! A reader adds up the shards without stopping their owners. It reads slow calls first, then
//! failures, then successes; a call is counted before it is counted as slow. All three only grow
//! while the window does not slide, so the counts never show a higher rate than there was at some
//! moment during the reading: no false trips.
//!
//! When a shard opens a bucket, its owner adds up the older buckets, which no longer change. A
//! reader therefore reads two numbers per shard and count, whatever the number of buckets. It reads
//! the buckets one by one only if the shard's current bucket is not the newest of all shards.
//!
//! An opening increments the shard's version before its other writes. A reader starts again if the
//! versions or the newest tick changed while it read. The tick is needed too, since a reading may
//! begin between an opening's first two writes.
//!
//! # One time for all threads
//! The window's time is the latest moment at which any thread has counted. A thread that opens a
//! bucket takes the newest tick, and closes the buckets that leave the window. So all threads count
//! in one window, even if the clock of one thread is ahead.
//!
//! # Epochs
//! Every bucket carries its epoch, and buckets of another epoch count as nothing. A transition
//! begins a new epoch, which empties the window.

mod count;
mod dropped;
mod flight;
mod packed;
mod ring;
mod shard;
mod shards;
mod slots;
mod span;
mod time;

pub(crate) use count::CountWindow;
pub(crate) use dropped::Dropped;
pub(crate) use flight::{Flights, Stalled};
pub(crate) use slots::Windows;
pub(crate) use span::Span;
pub(crate) use time::TimeWindow;

use crate::tally::Tally;
use std::collections::BTreeMap;

use crate::engine::time::{Elapsed, Epoch, When};
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
        Tally { successes: 1 - failures, failures, slow, dropped: 0 }
    }
}

/// The counts of a window, for an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) tally: Tally,
    /// The failures that all threads together may still count without an evaluation.
    pub(crate) allowance: u64,
    /// The number of threads that have counted.
    pub(crate) threads: u64,
}

/// The contents of a window, without its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The counts of each bucket, by the moment at which it began; negative if that was before the
    /// monitor's origin.
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

/// A window of either kind.
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

    /// For a policy, with room for any other policy of its kind.
    fn roomy(policy: &Policy) -> Self {
        match policy.last_calls() {
            Some(_) => Self::Count(CountWindow::new(Policy::MOST_LAST_CALLS)),
            None => Self::Time(TimeWindow::new(Span::new(policy), 1)),
        }
    }

    /// Counts one call that ended. True if the window has to be evaluated: it may have slid, or the call
    /// is slow, or a failure beyond the allowance. `is_current` says whether an epoch still runs.
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

    /// Counts a call that is not slow, if that is one addition: in a time window, with this thread's
    /// bucket open. `None` if it is not counted.
    #[inline]
    pub(crate) fn try_count(&self, thread: usize, when: When, failed: bool) -> Option<bool> {
        match self {
            Self::Time(window) => window.try_count(thread, when, failed),
            Self::Count(_) => None,
        }
    }

    /// The counts in the window that ends with the latest counted call: one at `when`, or a later one.
    pub(crate) fn latest(&self, when: When) -> Reading {
        match self {
            Self::Time(window) => window.latest(when),
            // One word: an evaluation costs less than an allowance.
            Self::Count(window) => {
                Reading { tally: window.tally(when.epoch), allowance: 0, threads: 1 }
            }
        }
    }

    /// The failures that this thread may still count in `epoch` without an evaluation. `None` if the
    /// window grants no allowance.
    pub(crate) fn own_allowance(&self, thread: usize, epoch: Epoch) -> Option<u64> {
        match self {
            Self::Time(window) => Some(window.own_allowance(thread, epoch)),
            Self::Count(_) => None,
        }
    }

    /// Lets this thread count `failures` more failures of `epoch` in the current bucket without an
    /// evaluation. The caller evaluates again.
    pub(crate) fn grant(&self, thread: usize, epoch: Epoch, failures: u64) {
        if let Self::Time(window) = self {
            window.grant(thread, epoch, failures);
        }
    }

    /// Counts that show no higher rate than there was. [`latest`](Self::latest) of a time window
    /// already does not.
    pub(crate) fn confirm(&self, epoch: Epoch, latest: Tally) -> Tally {
        match self {
            Self::Time(_) => latest,
            Self::Count(window) => window.confirm(epoch),
        }
    }

    /// The counts of an epoch in the window that ends at a moment.
    pub(crate) fn tally(&self, when: When) -> Tally {
        match self {
            Self::Time(window) => window.tally(when),
            Self::Count(window) => window.tally(when.epoch),
        }
    }

    /// How far the window has slid at a moment: that moment, or the number of calls that have ended.
    pub(crate) fn position(&self, at: Elapsed) -> Elapsed {
        match self {
            Self::Time(_) => at,
            Self::Count(window) => Elapsed::from_nanos(window.position()),
        }
    }

    /// The contents of an epoch in the window that ends at a moment.
    pub(crate) fn kept(&self, when: When) -> Kept {
        match self {
            Self::Time(window) => Kept::Buckets(window.kept(when)),
            Self::Count(window) => Kept::Calls(window.kept(when.epoch)),
        }
    }

    /// Puts contents of the same kind into an epoch that has not begun.
    pub(crate) fn seed(&self, thread: usize, when: When, kept: &Kept) {
        match (self, kept) {
            (Self::Time(window), Kept::Buckets(buckets)) => window.seed(thread, when, buckets),
            (Self::Count(window), Kept::Calls(calls)) => {
                window.begin(when.epoch);
                for &sample in calls {
                    window.count(when.epoch, sample, |running| running == when.epoch);
                }
            }
            // Of another kind: the window begins empty at that moment.
            (Self::Time(window), Kept::Calls(_)) => window.seed(thread, when, &BTreeMap::new()),
            (Self::Count(_), Kept::Buckets(_)) => {}
        }
    }

    /// Makes it the window of another policy that it has room for. The caller begins a new epoch before
    /// and after this.
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

    /// Erases the counts of all epochs.
    pub(crate) fn erase(&self) {
        match self {
            Self::Time(window) => window.erase(),
            Self::Count(window) => window.erase(),
        }
    }

    /// The allocated memory in bytes, without `self`.
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
    fn a_policy_without_slow_calls_takes_over_none() {
        let (slow, fast) = ([true, false], [false, false]);
        let calls =
            |slow: [bool; 2]| Kept::Calls(slow.map(|slow| Sample { failed: true, slow }).into());
        assert_eq!(calls(slow).without_slow(), calls(fast));
        let buckets = |slow| {
            Kept::Buckets([(7, Tally { successes: 2, failures: 1, slow, dropped: 0 })].into())
        };
        assert_eq!(buckets(3).without_slow(), buckets(0));
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
