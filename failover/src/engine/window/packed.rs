//! The packed words of the count window: a call in a cell of the ring, and the counts.

use super::Sample;
use crate::engine::time::Epoch;
use crate::tally::Tally;

/// A call in the ring: from the lowest bit, 3 bits of marks, 20 of epoch, 41 of position.
///
/// Positions are compared, modulo 2^41, only within one cell, which every round writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u64);

impl Entry {
    pub(super) const EMPTY: Self = Self(0);
    const TAKEN: u64 = 0b001;
    pub(super) const FAILED: u64 = 0b010;
    pub(super) const SLOW: u64 = 0b100;
    const EPOCH_AT: u32 = 3;
    const POSITION_AT: u32 = Self::EPOCH_AT + Epoch::BITS;
    const POSITIONS: u64 = 1 << (64 - Self::POSITION_AT);

    pub(super) fn new(position: u64, epoch: Epoch, sample: Sample) -> Self {
        let failed = if sample.failed { Self::FAILED } else { 0 };
        let slow = if sample.slow { Self::SLOW } else { 0 };
        let marks = Self::TAKEN | failed | slow;
        Self(position << Self::POSITION_AT | epoch.tag() << Self::EPOCH_AT | marks)
    }

    /// The epoch of the call, unless the cell is empty.
    pub(super) fn epoch(self) -> Option<Epoch> {
        (self != Self::EMPTY).then(|| Epoch::from_number(self.0 >> Self::EPOCH_AT))
    }

    /// How many positions after `position` the call is, modulo all.
    pub(super) fn positions_after(self, position: u64) -> u64 {
        (self.0 >> Self::POSITION_AT).wrapping_sub(position) % Self::POSITIONS
    }

    /// Whether it is the call at `position` or a later one.
    pub(super) fn is_later_than(self, position: u64) -> bool {
        self != Self::EMPTY && self.positions_after(position) < Self::POSITIONS / 2
    }

    /// Its part of the counts.
    pub(super) fn counts(self) -> u64 {
        let mark = |mark: u64, one: u64| if self.0 & mark != 0 { one } else { 0 };
        mark(Self::TAKEN, Counts::CALL)
            + mark(Self::FAILED, Counts::FAILURE)
            + mark(Self::SLOW, Counts::SLOW)
    }
}

/// The counts of one epoch: from the lowest bit, 14 bits each of slow calls, failures and calls,
/// then 20 of epoch.
///
/// They are added to as one number. While two threads exchange one cell, a count may be below zero
/// for a moment and borrow from the next one, so each is read as a signed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts(pub(super) u64);

impl Counts {
    const BITS: u32 = 14;
    const SLOW: u64 = 1;
    const FAILURE: u64 = 1 << Self::BITS;
    pub(super) const CALL: u64 = 1 << (2 * Self::BITS);
    const EPOCH_AT: u32 = 3 * Self::BITS;
    const ALL: u64 = (1 << Self::EPOCH_AT) - 1;

    pub(super) fn is_of(self, epoch: Epoch) -> bool {
        Epoch::from_number(self.0 >> Self::EPOCH_AT) == epoch
    }

    /// The counts in `epoch` after a cell changed.
    pub(super) fn changed(self, epoch: Epoch, from: u64, to: u64) -> Self {
        let before = if self.is_of(epoch) { self.0 } else { 0 };
        let counts = before.wrapping_add(to).wrapping_sub(from) & Self::ALL;
        Self(counts | epoch.tag() << Self::EPOCH_AT)
    }

    pub(super) fn tally(self) -> Tally {
        // The rest without the lower counts, borrowed or not.
        let mut rest = (self.0 & Self::ALL).cast_signed();
        let mut next = || {
            let sign = 1 << (Self::BITS - 1);
            let low = ((rest & (2 * sign - 1)) ^ sign) - sign;
            rest = (rest - low) >> Self::BITS;
            u64::try_from(low).unwrap_or(0)
        };
        let (slow, failures, calls) = (next(), next(), next());
        Tally {
            successes: calls.saturating_sub(failures),
            failures: failures.min(calls),
            slow: slow.min(calls),
            dropped: 0,
        }
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_below_zero_for_a_moment_do_not_touch_their_neighbours() {
        let epoch = Epoch::from_number(5);
        let failure = Counts::CALL | Counts::FAILURE;
        let five = (0..5).fold(Counts(0), |counts, _| counts.changed(epoch, 0, failure));
        // Two slow calls leave before they were counted as such.
        let early = five.changed(epoch, 2 * Counts::SLOW, 0);
        let tally = early.tally();
        assert_eq!((tally.failures, tally.successes, tally.slow), (5, 0, 0));
        let tally = early.changed(epoch, 0, 3 * Counts::SLOW).tally();
        assert_eq!((tally.failures, tally.successes, tally.slow), (5, 0, 1));
        assert!(early.is_of(epoch));
    }

    #[test]
    fn a_call_that_was_overtaken_by_a_whole_round_is_not_put_back() {
        let epoch = Epoch::from_number(0);
        let old = Entry::new(3, epoch, Sample { failed: true, slow: false });
        assert!(old.is_later_than(3) && old.is_later_than(1) && !old.is_later_than(4));
        let last = Entry::new(Entry::POSITIONS - 1, epoch, Sample { failed: true, slow: false });
        assert!(!last.is_later_than(Entry::POSITIONS));
        // Half of all positions after is also half of them before.
        let half = Entry::new(Entry::POSITIONS / 2, epoch, Sample { failed: true, slow: false });
        assert!(!half.is_later_than(0) && half.is_later_than(1));
        assert!(!Entry::EMPTY.is_later_than(0));
    }
}
