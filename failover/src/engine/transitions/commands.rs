//! The commands of operators.

use std::time::Duration;

use super::Transitions;
use super::advanced::Advanced;
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

    /// Moves the time on, at most to the latest millisecond that a phase can hold. Nothing else
    /// changes: the next call, or one that waits, makes the transitions that are due.
    ///
    /// The caller has `advanced` for itself, so no advance is lost, and wakes the waiting tasks.
    pub(crate) fn advance(&self, advanced: &mut Advanced, elapsed: Duration, now: Moment) {
        // Ordering: Relaxed. A thread that this one synchronises with reads the new origin.
        let origin = self.origin.load(Ordering::Relaxed);
        let at = Elapsed::between(origin, now);
        let by = advanced.moment(self.phase().epoch(), at, elapsed).since(at);
        self.origin.store(origin.wrapping_sub(nanos(by)), Ordering::Relaxed);
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
