//! The rolling record of recent outcomes, and the counts read from it.
//!
//! # How it counts
//! Each counting thread owns a [`Shard`](shard::Shard) of every window and is its only writer: a
//! call is one load and one store in a cache line that no other thread writes. Nothing is locked,
//! nothing is allocated, and no count can be lost, since no two threads ever add to one number.
//! A bucket that is too old is emptied by its owner, when it needs the place.
//!
//! # How it is read
//! A reader adds up the shards without stopping their owners. It reads all failures first and the
//! successes afterwards. Both only grow while the window stands still, so the counts never show a
//! higher failure rate than there was at the moment between the two passes: no false trips. When
//! the window slid meanwhile, the reader starts again.
//!
//! # Epochs
//! Every bucket carries the epoch it was filled in. A transition begins a new epoch, and with that
//! alone the window is empty: buckets of another epoch count as nothing.

mod shard;
mod time;

pub(crate) use time::{Span, TimeWindow};

use crate::Ratio;

/// Counts read from a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
}

impl Tally {
    /// All calls that count: successes and failures.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// Whether the share of failures is strictly greater than `ratio`.
    #[must_use]
    pub const fn exceeds(&self, ratio: Ratio) -> bool {
        ratio.is_exceeded_by(self.failures, self.calls())
    }

    /// The share of failures, from 0 to 1; `None` without calls. For showing: decisions are made
    /// in integers, by [`exceeds`](Self::exceeds).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    pub fn failure_rate(&self) -> Option<f64> {
        (self.calls() > 0).then(|| self.failures as f64 / self.calls() as f64)
    }
}
