//! How far an operator's command moves the time on.

use std::time::Duration;

use crate::engine::time::{Elapsed, Epoch};

/// By how many nanoseconds more than asked for the time was advanced in an epoch: below a millisecond.
#[derive(Debug, Default)]
pub(crate) struct Advanced {
    epoch: u32,
    rounding: u32,
}

impl Advanced {
    /// The moment `elapsed` after `at`, or up to a millisecond later.
    ///
    /// A deadline of this epoch, at the distance of all advances since it was set, was rounded up to a
    /// millisecond. So that it has passed, the sum of the advances is rounded up as well, not each of
    /// them. A new epoch has new deadlines, so it forgets the rounding.
    pub(super) fn moment(&mut self, epoch: Epoch, at: Elapsed, elapsed: Duration) -> Elapsed {
        if self.epoch != epoch.number() {
            *self = Self { epoch: epoch.number(), rounding: 0 };
        }
        if elapsed.is_zero() {
            return at;
        }
        let least = at.plus(elapsed);
        let exact = Elapsed::from_nanos(least.nanos().saturating_sub(self.rounding.into()));
        let rounded = Elapsed::from_millis(exact.millis_up());
        let moment = least.max(rounded).min(Elapsed::LAST);
        self.rounding = moment.since(exact).subsec_nanos();
        moment
    }
}
