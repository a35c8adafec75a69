//! Consecutive failures: how many calls in a row have failed, across all threads.
//!
//! In a row means in the order in which the calls ended, not in which they began: a success that
//! began before the failures and ends after them ends the run. Ignored and dropped calls say
//! nothing and leave it as it is.
//!
//! One word, the epoch and the length of the run. A success only reads it while it is zero, so a
//! healthy primary's calls share it without writing it. Failures write it, and the first success
//! after them does.

use crate::engine::phase::Epoch;
use crate::engine::sync::{AtomicU64, Ordering};

/// The running number of consecutive failures, on a line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Streak(AtomicU64);

/// From the lowest bit, 44 bits of length and 20 of epoch. A run of another epoch has no length.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    const EPOCH_AT: u32 = 64 - Epoch::BITS;
    const LONGEST: u64 = (1 << Self::EPOCH_AT) - 1;

    fn new(epoch: Epoch, length: u64) -> Self {
        Self(u64::from(epoch.number()) << Self::EPOCH_AT | length.min(Self::LONGEST))
    }

    fn length_in(self, epoch: Epoch) -> Option<u64> {
        let same = self.0 >> Self::EPOCH_AT == u64::from(epoch.number());
        same.then_some(self.0 & Self::LONGEST)
    }
}

impl Streak {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts a failure of that epoch: how many there are in a row now. 0 if the epoch is over;
    /// `is_current` says whether it is not.
    pub(crate) fn extend(&self, epoch: Epoch, is_current: impl Fn() -> bool) -> u64 {
        // Ordering: Acquire here and in the exchange: whoever sees the run of a later epoch then
        // sees in the phase that this one is over, and leaves the run alone.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let before = match Word(word).length_in(epoch) {
                Some(length) => length,
                None if is_current() => 0,
                None => return 0,
            };
            let next = Word::new(epoch, before + 1);
            // Ordering: AcqRel, for the same reason from the other side.
            match self.0.compare_exchange(word, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return before + 1,
                Err(found) => word = found,
            }
        }
    }

    /// Counts a success of that epoch: the run is over. Writes nothing if there was none.
    #[inline]
    pub(crate) fn end(&self, epoch: Epoch) {
        // Ordering: Relaxed: a success that does not see a failure ended before it.
        let mut word = self.0.load(Ordering::Relaxed);
        while Word(word).length_in(epoch).is_some_and(|length| length > 0) {
            let none = Word::new(epoch, 0);
            // Ordering: AcqRel keeps the chain of `extend` whole.
            match self.0.compare_exchange(word, none.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
    }

    /// Goes on in another epoch, which has not begun, with the run of one that is over: its length.
    pub(crate) fn carry(&self, from: Epoch, to: Epoch) -> u64 {
        let length = self.length(from);
        self.begin(to, length);
        length
    }

    /// Begins an epoch with a run of that length.
    pub(crate) fn begin(&self, epoch: Epoch, length: u64) {
        // Ordering: Release: who sees it sees that the old epoch is over. One that is late exchanges
        // a word that is no longer there, and then sees that too.
        self.0.store(Word::new(epoch, length).0, Ordering::Release);
    }

    /// How many calls in a row have failed in that epoch.
    pub(crate) fn length(&self, epoch: Epoch) -> u64 {
        Word(self.0.load(Ordering::Acquire)).length_in(epoch).unwrap_or(0)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_an_epoch_that_is_over_leaves_the_run_alone() {
        let (old, running) = (Epoch::from_number(4), Epoch::from_number(5));
        let run = Streak::new();
        assert_eq!((run.extend(running, || true), run.extend(running, || true)), (1, 2));
        assert_eq!(run.extend(old, || false), 0);
        assert_eq!((run.length(running), run.length(old)), (2, 0));
    }

    #[test]
    fn the_longest_run_and_the_last_epoch_do_not_touch() {
        let last = Epoch::from_number(u64::MAX);
        let run = Streak::new();
        run.begin(last, u64::MAX);
        assert_eq!(run.length(last), (1 << 44) - 1);
        run.end(last);
        assert_eq!((run.length(last), run.extend(last, || true)), (0, 1));
    }
}
