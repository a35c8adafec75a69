//! Which earlier epochs still count in the current one.

use crate::engine::sync::{AtomicU64, Ordering};
use crate::engine::time::Epoch;

/// The earlier epochs that still count, since only swaps of the policy lie between: from the lowest
/// bit, 20 bits of the first and 20 of the current epoch; none if the two are equal.
#[derive(Debug, Default)]
pub(crate) struct Carried(AtomicU64);

impl Carried {
    pub(crate) fn bounds(&self) -> (Epoch, Epoch) {
        // Ordering: Acquire pairs with `extend`: the phase is written later, so a thread that sees
        // the epoch there also sees it here.
        let word = self.0.load(Ordering::Acquire);
        (Epoch::from_number(word), Epoch::from_number(word >> Epoch::BITS))
    }

    /// Lets `from`, and the epochs that count in it, count in `to`, which has not begun.
    pub(crate) fn extend(&self, from: Epoch, to: Epoch) {
        let (first, last) = self.bounds();
        let first = if last == from { first } else { from };
        let word = first.tag() | to.tag() << Epoch::BITS;
        self.0.store(word, Ordering::Release);
    }

    /// Lets no earlier epoch count.
    pub(crate) fn forget(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Whether `epoch` still counts in `current`.
    pub(crate) fn counts_in(&self, epoch: Epoch, current: Epoch) -> bool {
        let (first, last) = self.bounds();
        last == current && epoch.epochs_after(first) < last.epochs_after(first)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn carried_epochs_count_until_they_are_forgotten() {
        let epoch = Epoch::from_number;
        let carried = Carried::default();
        assert!(!carried.counts_in(epoch(0), epoch(0)));
        carried.extend(epoch(5), epoch(7));
        carried.extend(epoch(7), epoch(9));
        let counts_in = |number| carried.counts_in(epoch(number), epoch(9));
        assert_eq!([4, 5, 7, 9].map(counts_in), [false, true, true, false]);
        assert!(!carried.counts_in(epoch(5), epoch(7)));
        carried.forget();
        assert!(!carried.counts_in(epoch(5), epoch(9)));
    }
}
