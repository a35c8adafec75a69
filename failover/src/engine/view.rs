//! Snapshots.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Kind, Phase};
use crate::engine::time::{Elapsed, When};
use crate::route::Route;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::tally::Tally;

impl Engine {
    pub(crate) fn snapshot(&self, now: Moment) -> Snapshot {
        let transitions = &self.transitions;
        loop {
            let (phase, at) = (transitions.settled(), transitions.at(now));
            let options = transitions.options();
            let (due, state) = self.state(phase, at);
            let (route, epoch) = (transitions.route(phase), phase.epoch());
            let (counting, when) = (route == Route::Primary && !due, When { epoch, at });
            let tally =
                if counting { self.evidence.window(options).tally(when) } else { Tally::default() };
            let tally = if counting { self.with_dropped(tally, when) } else { tally };
            let stalled =
                self.evidence.flights(options).filter(|_| counting).map(|f| f.stalled(when));
            let streak = if counting { self.evidence.streak(options, epoch) } else { 0 };
            // The counts belong to this phase only if it has not changed meanwhile.
            if transitions.phase().with_armed(false) == phase.with_armed(false) {
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
    fn state(&self, phase: Phase, at: Elapsed) -> (bool, State) {
        let (rules, kind) = (self.transitions.recovery.rules(), phase.kind());
        let due = phase.is_due(at);
        let state = match kind {
            Kind::Fallback if due && self.transitions.options().dry_run() => State::Primary,
            Kind::Fallback if due && rules.probing.is_some() => State::Probing,
            Kind::Fallback if due && rules.ramp.is_some() => State::Ramping,
            Kind::Fallback | Kind::Ramping if due => State::Primary,
            _ => kind.state(),
        };
        (due, state)
    }
}
