//! Consecutive failures across all threads.
//!
//! Calls are ordered by their end: a success that began before the failures and ends after them
//! ends the streak. Ignored and dropped calls leave it unchanged.
//!
//! A success only reads the word while the length is zero, so a healthy primary's calls never write
//! the shared line.

use crate::engine::sync::{AtomicU64, Ordering};
use crate::engine::time::Epoch;

/// The current streak, on its own cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Streak(AtomicU64);

/// From the lowest bit, 44 bits of length and 20 of epoch.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    const EPOCH_AT: u32 = 64 - Epoch::BITS;
    const LONGEST: u64 = (1 << Self::EPOCH_AT) - 1;

    fn new(epoch: Epoch, length: u64) -> Self {
        Self(epoch.tag() << Self::EPOCH_AT | length.min(Self::LONGEST))
    }

    fn length_in(self, epoch: Epoch) -> Option<u64> {
        let same = self.0 >> Self::EPOCH_AT == epoch.tag();
        same.then_some(self.0 & Self::LONGEST)
    }
}

impl Streak {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts a failure of `epoch` and returns the streak's length, or 0 if the epoch is over.
    /// `is_current` says whether it is the current one.
    pub(crate) fn extend(&self, epoch: Epoch, is_current: impl Fn() -> bool) -> u64 {
        // Ordering: Acquire here and in the exchange. A thread that sees a later epoch's streak
        // also sees in the phase that its own is over.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let before = match Word(word).length_in(epoch) {
                Some(length) => length,
                None if is_current() => 0,
                None => return 0,
            };
            let next = Word::new(epoch, before + 1);
            // Ordering: AcqRel, the other half of that pair.
            match self.0.compare_exchange(word, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return before + 1,
                Err(found) => word = found,
            }
        }
    }

    /// Counts a success of `epoch`, which ends the streak. Writes nothing if the length is zero.
    #[inline]
    pub(crate) fn end(&self, epoch: Epoch) {
        // Ordering: Relaxed. A success that does not see a failure counts as ended before it.
        let mut word = self.0.load(Ordering::Relaxed);
        while Word(word).length_in(epoch).is_some_and(|length| length > 0) {
            let none = Word::new(epoch, 0);
            // Ordering: AcqRel, part of the happens-before chain of `extend`.
            match self.0.compare_exchange(word, none.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
    }

    /// Continues the streak of `from`, which is over, in `to`, which has not begun. Returns its
    /// length.
    pub(crate) fn carry(&self, from: Epoch, to: Epoch) -> u64 {
        let length = self.length(from);
        self.begin(to, length);
        length
    }

    /// Begins `epoch` with a streak of this length.
    pub(crate) fn begin(&self, epoch: Epoch, length: u64) {
        // Ordering: Release. A thread that sees this word, or whose exchange fails on it, sees that
        // the old epoch is over.
        self.0.store(Word::new(epoch, length).0, Ordering::Release);
    }

    /// The length of the streak in `epoch`.
    pub(crate) fn length(&self, epoch: Epoch) -> u64 {
        Word(self.0.load(Ordering::Acquire)).length_in(epoch).unwrap_or(0)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_an_earlier_epoch_leaves_the_streak_unchanged() {
        let (old, current) = (Epoch::from_number(4), Epoch::from_number(5));
        let streak = Streak::new();
        assert_eq!((streak.extend(current, || true), streak.extend(current, || true)), (1, 2));
        assert_eq!(streak.extend(old, || false), 0);
        assert_eq!((streak.length(current), streak.length(old)), (2, 0));
    }

    #[test]
    fn the_longest_streak_and_the_last_epoch_do_not_overlap() {
        let last = Epoch::from_number(u64::MAX);
        let streak = Streak::new();
        streak.begin(last, u64::MAX);
        assert_eq!(streak.length(last), (1 << 44) - 1);
        streak.end(last);
        assert_eq!((streak.length(last), streak.extend(last, || true)), (0, 1));
    }
}
