//! Transitions that come from other nodes.

use std::sync::Arc;
use std::time::Duration;

use super::Transitions;
use crate::clock::Moment;
use crate::engine::phase::Kind;
use crate::engine::time::When;
use crate::event::{Cause, Condition};
use crate::tally::Tally;

impl Transitions {
    /// The time that a trip would have now.
    pub(crate) fn next_interval(&self, now: Moment) -> Duration {
        let (phase, rules) = (self.phase(), self.recovery.rules());
        let when = When { epoch: phase.epoch(), at: self.at(now) };
        self.recovery.intervals.next(&rules.interval, when, phase.kind() != Kind::Probing)
    }

    /// Sends calls to the fallback for `left`; where they are already, only the deadline changes. False if a
    /// route is forced.
    pub(crate) fn enter(
        &self,
        now: Moment,
        left: Duration,
        tally: Tally,
        scope: Option<Arc<str>>,
    ) -> bool {
        loop {
            let (phase, at) = (self.settled(), self.at(now));
            match phase.kind() {
                Kind::ForcedPrimary | Kind::ForcedFallback | Kind::Retired => return false,
                Kind::Fallback if self.set_deadline(now, left) => return true,
                Kind::Fallback => continue,
                Kind::Primary | Kind::Probing | Kind::Ramping | Kind::Frozen => {}
            }
            let (condition, revert_after) = (Condition::FleetFailureRate, left);
            let cause = if self.options().dry_run() {
                Cause::WouldTrip { condition, tally, revert_after }
            } else {
                Cause::Tripped { condition, tally, revert_after }
            };
            let entered = phase.until(Kind::Fallback, at, left);
            if self.swap(phase, entered) {
                let rules = self.recovery.rules().interval;
                self.recovery.intervals.tripped(&rules, at, phase.kind() != Kind::Probing);
                self.announce_in(scope, phase, entered, cause);
                return true;
            }
        }
    }

    /// Ends the time on the fallback `left` from now, earlier or later than planned, without a transition:
    /// no call is counted there. False in other states.
    pub(crate) fn set_deadline(&self, now: Moment, left: Duration) -> bool {
        loop {
            let phase = self.settled();
            if phase.kind() != Kind::Fallback {
                return false;
            }
            if self.swap(phase, phase.with_deadline(self.at(now), left)) {
                // They look at the time again.
                self.waiters.wake_all();
                return true;
            }
        }
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::policy::{Policy, Probing};
    use crate::route::Route;
    use crate::state::State;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    fn enter(engine: &Engine, now: Moment, seconds: u32) -> bool {
        engine.transitions.enter(now, SECOND * seconds, Tally::default(), None)
    }

    #[test]
    fn the_fleet_sends_calls_to_the_fallback_from_each_state_that_no_operator_forced() {
        let policy = Policy::builder().probing(Probing::new(1)).build().unwrap();
        let engine = Engine::new(&policy, Moment::default(), 1);
        assert!(enter(&engine, at(0), 10));
        let epoch = engine.snapshot(at(0)).epoch;
        assert!(enter(&engine, at(1), 4));
        let again = engine.snapshot(at(1));
        assert_eq!((again.reverts_in, again.epoch), (Some(SECOND * 4), epoch));
        assert_eq!(engine.snapshot(at(5)).state, State::Probing);
        assert!(engine.admit(|| at(5)).is_ok());
        assert!(enter(&engine, at(5), 10));
        assert_eq!(engine.snapshot(at(5)).state, State::Fallback);
        for route in [Route::Primary, Route::Fallback] {
            engine.transitions.force(route);
            assert!(!enter(&engine, at(6), 10));
        }
    }

    #[test]
    fn a_deadline_moves_without_a_transition() {
        let engine = Engine::new(&Policy::default(), Moment::default(), 1);
        assert!(!engine.transitions.set_deadline(at(0), SECOND));
        enter(&engine, at(0), 10);
        let epoch = engine.snapshot(at(0)).epoch;
        assert!(engine.transitions.set_deadline(at(5), SECOND * 60));
        assert_eq!(engine.snapshot(at(60)).route, Route::Fallback);
        assert!(engine.transitions.set_deadline(at(60), Duration::ZERO));
        assert_eq!(engine.snapshot(at(60)).route, Route::Primary);
        assert_eq!(engine.snapshot(at(60)).epoch, epoch);
    }
}
