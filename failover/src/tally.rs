//! Counts read from a window.

use crate::ratio::Ratio;

/// Counts read from a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct Tally {
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Successes and failures that were slow. 0 unless the policy sets
    /// [`slow_calls`](crate::policy::PolicyBuilder::slow_calls).
    pub slow: u64,
    /// Calls that were dropped before their outcome was known, as by a time-out *outside* the layer, and
    /// so were counted as nothing: they are not among [`calls`](Self::calls), and no condition reads them.
    /// A call that failed by [`dropped_after`](crate::policy::PolicyBuilder::dropped_after) is a failure
    /// instead.
    ///
    /// In a window of more than 16 buckets it covers the window to within a sixteenth. In a window of
    /// [last calls](crate::policy::PolicyBuilder::last_calls) these are the calls that were dropped while
    /// the calls of the window ended, to within a sixteenth of them. 0 where the counts come from a
    /// [saved state](crate::monitor::Saved) or from other nodes.
    pub dropped: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.successes = self.successes.saturating_add(other.successes);
        self.failures = self.failures.saturating_add(other.failures);
        self.slow = self.slow.saturating_add(other.slow);
        self.dropped = self.dropped.saturating_add(other.dropped);
    }

    /// Successes and failures.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// Whether the share of failures is strictly greater than `ratio`.
    #[must_use]
    pub const fn exceeds(&self, ratio: Ratio) -> bool {
        ratio.is_exceeded_by(self.failures, self.calls())
    }

    /// The share of failures, from 0 to 1; `None` without calls. For display: decisions use
    /// [`exceeds`](Self::exceeds), in integers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub fn failure_rate(&self) -> Option<f64> {
        (self.calls() > 0).then(|| self.failures as f64 / self.calls() as f64)
    }

    /// The share of slow calls, from 0 to 1; `None` without calls. For display.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    pub fn slow_rate(&self) -> Option<f64> {
        (self.calls() > 0).then(|| self.slow as f64 / self.calls() as f64)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn rates_are_shares_of_all_calls_and_absent_without_calls() {
        let tally = Tally { successes: 6, failures: 2, slow: 4, dropped: 9 };
        assert_eq!(
            (tally.calls(), tally.failure_rate(), tally.slow_rate()),
            (8, Some(0.25), Some(0.5))
        );
        let quarter = Ratio::new(1, 4).unwrap();
        assert!(!tally.exceeds(quarter));
        assert!(Tally { failures: 3, ..tally }.exceeds(quarter));
        let none = Tally::default();
        assert_eq!((none.calls(), none.failure_rate(), none.slow_rate()), (0, None, None));
    }
}
