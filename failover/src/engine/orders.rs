//! The commands of operators: snapshots, and forced routes.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Kind, Phase};
use crate::event::Cause;
use crate::route::Route;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::tally::Tally;

impl Engine {
    /// Sends all calls to one route until it is released. Returns whether that changed anything.
    pub(crate) fn force(&self, route: Route) -> bool {
        let kind = match route {
            Route::Primary => Kind::ForcedPrimary,
            Route::Fallback => Kind::ForcedFallback,
        };
        self.transition(Cause::Forced, |phase| (phase.kind() != kind).then(|| phase.next(kind)))
    }

    /// Ends a forced route. Returns whether there was one.
    pub(crate) fn release(&self, now: Moment) -> bool {
        let released = self.transition(Cause::Released, |phase| {
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
        self.transition(Cause::Released, |phase| Some(phase.next(Kind::Primary)));
    }

    fn transition(&self, cause: Cause, step: impl Fn(Phase) -> Option<Phase>) -> bool {
        loop {
            let phase = self.settled();
            let Some(next) = step(phase) else { return false };
            if self.swap(phase, next) {
                self.announce(phase, next, cause);
                return true;
            }
        }
    }

    pub(crate) fn snapshot(&self, now: Moment) -> Snapshot {
        loop {
            let (phase, at, options) = (self.settled(), self.at(now), self.options());
            let (due, state) = self.state(phase, at);
            let (route, epoch) = (self.route(phase), phase.epoch());
            let counting = route == Route::Primary && !due;
            let tally = if counting {
                self.windows.at(options.slot()).tally(epoch, at, options.slow())
            } else {
                Tally::default()
            };
            let stalled = self.flights().filter(|_| counting).map(|f| f.stalled(epoch, at));
            let streak =
                if counting && options.consecutive() { self.streak.length(epoch) } else { 0 };
            // The counts belong to this phase only if it has not changed meanwhile.
            if self.phase().with_armed(false) == phase.with_armed(false) {
                return Snapshot {
                    route: if due { state.route() } else { route },
                    advised: if due { state.route() } else { phase.route() },
                    state,
                    forced: state.is_forced(),
                    dry_run: options.dry_run(),
                    tally,
                    consecutive_failures: streak,
                    stalled_calls: stalled.map_or(0, |stalled| stalled.calls),
                    reverts_in: phase.reverts_in(at).filter(|_| !due),
                    epoch: epoch.number(),
                };
            }
        }
    }

    /// Whether the phase's deadline has passed, and its state; after the deadline, the state that
    /// the next admission brings about.
    fn state(&self, phase: Phase, at: u64) -> (bool, State) {
        let (rules, kind) = (self.recovery.rules(), phase.kind());
        let due = phase.is_due(at);
        let state = match kind {
            Kind::Fallback if due && self.options().dry_run() => State::Primary,
            Kind::Fallback if due && rules.probing.is_some() => State::Probing,
            Kind::Fallback if due && rules.ramp.is_some() => State::Ramping,
            Kind::Fallback | Kind::Ramping if due => State::Primary,
            _ => kind.state(),
        };
        (due, state)
    }
}
