//! Calls that were dropped before their outcome was known: counted for display.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::time::{Epoch, When};
use crate::tally::Tally;

impl Engine {
    /// A call of `epoch` that was not a probe was dropped, and is neutral. Returns how many were dropped
    /// in a row, if that is to be reported.
    pub(crate) fn count_dropped(&self, epoch: Epoch, now: Moment) -> Option<u64> {
        let epoch = self.transitions.counting(epoch)?;
        let (window, when) = (self.window(), When { epoch, at: self.transitions.at(now) });
        let position = When { at: window.position(when.at), ..when };
        // Only `tracing` reports it.
        let any_ended = || !cfg!(feature = "tracing") || window.tally(when).calls() > 0;
        self.dropped.add(position, || self.transitions.counts(epoch), any_ended)
    }

    /// A call of `epoch` that was not a probe ended, and is ignored.
    pub(crate) fn note_ignored(&self, epoch: Epoch) {
        if self.transitions.counting(epoch).is_some() {
            self.dropped.ends_row();
        }
    }

    /// The window's counts, with the calls that were dropped.
    pub(super) fn with_dropped(&self, tally: Tally, when: When) -> Tally {
        let position = When { at: self.window().position(when.at), ..when };
        Tally { dropped: self.dropped.count(position), ..tally }
    }
}
