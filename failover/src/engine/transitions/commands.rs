//! The commands of operators.

use std::time::Duration;

use super::Transitions;
use crate::clock::{Moment, nanos};
use crate::engine::phase::{Kind, Phase};
use crate::engine::sync::Ordering;
use crate::engine::time::Elapsed;
use crate::event::Cause;
use crate::route::Route;

impl Transitions {
    /// Ends the time on the fallback before its deadline, if there is one and its epoch is `epoch`
    /// or `epoch` is `None`. Returns whether it did.
    pub(crate) fn revert_now(&self, epoch: Option<u32>, cause: Option<Cause>, now: Moment) -> bool {
        loop {
            let phase = self.settled();
            let is_meant = epoch.is_none_or(|number| phase.epoch().number() == number);
            if !is_meant || !matches!(phase.kind(), Kind::Fallback | Kind::Probing) {
                return false;
            }
            if self.come_back(phase, self.at(now), cause) {
                return true;
            }
        }
    }

    /// Sends all calls to one route until it is released. Returns whether that changed anything.
    pub(crate) fn force(&self, route: Route) -> bool {
        let kind = match route {
            Route::Primary => Kind::ForcedPrimary,
            Route::Fallback => Kind::ForcedFallback,
        };
        self.command(Cause::Forced, |phase| (phase.kind() != kind).then(|| phase.next(kind)))
    }

    /// Ends a forced route. Returns whether there was one.
    pub(crate) fn release(&self, now: Moment) -> bool {
        let released = self.command(Cause::Released, |phase| {
            let forced = matches!(phase.kind(), Kind::ForcedPrimary | Kind::ForcedFallback);
            forced.then(|| phase.next(Kind::Primary))
        });
        if released {
            self.recovery.intervals.reverted(self.at(now));
        }
        released
    }

    /// Returns to the primary with an empty window from any phase, and resets the backoff.
    pub(crate) fn reset(&self) {
        self.recovery.intervals.forget();
        self.command(Cause::Released, |phase| Some(phase.next(Kind::Primary)));
    }

    /// Moves the time on, at most to the latest millisecond that a phase can hold. Rounded up to a
    /// millisecond as deadlines are, so that one at this distance has passed. Nothing else changes:
    /// the next call, or one that waits, makes the transitions that are due.
    pub(crate) fn advance(&self, elapsed: Duration, now: Moment) {
        let earlier = |origin: u64| {
            let at = Elapsed::between(origin, now);
            let to = Elapsed::from_millis(at.plus(elapsed).millis_up()).min(Elapsed::LAST);
            let by = to.since(at);
            Some(origin.wrapping_sub(nanos(by)))
        };
        // Ordering: Relaxed. A thread that this one synchronises with reads the new origin.
        let _ = self.origin.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
        self.waiters.wake_all();
    }

    fn command(&self, cause: Cause, next: impl Fn(Phase) -> Option<Phase>) -> bool {
        loop {
            let phase = self.settled();
            let Some(next) = next(phase) else { return false };
            if self.step(phase, next, cause) {
                return true;
            }
        }
    }
}
