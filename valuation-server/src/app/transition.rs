//! Changes of the route, in words.

use std::time::Duration;

use failover::{Cause, Condition, Event, State, Tally};
use humantime::format_duration;

use super::switch::provider;
use crate::domain::Provider;

/// A change of how calls are routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Who is asked first from now on; SuperCar while calls return to it gradually.
    pub to: Provider,
    /// How calls are routed from now on.
    pub state: State,
    /// Why, in words.
    pub because: String,
}

impl From<&Event> for Transition {
    fn from(event: &Event) -> Self {
        let because = match &event.cause {
            Cause::Tripped { condition, tally, revert_after } => {
                tripped(*condition, *tally, *revert_after)
            }
            Cause::Probing => {
                "the time on the fallback is over; the others stay with Premium".into()
            }
            Cause::ProbesFailed { revert_after } => {
                format!("a probe failed; back in {}", format_duration(*revert_after))
            }
            Cause::Returning { over } => {
                let (over, until) = (format_duration(*over), over_now(event.from));
                format!("{until}; all calls in {over}; counts start from zero")
            }
            Cause::Reverted => format!("{}; counts start from zero", over_now(event.from)),
            Cause::Forced => "forced by an operator".into(),
            Cause::Released => "released by an operator; counts start from zero".into(),
            Cause::Restored => "as it was before the restart".into(),
            _ => "the route changed".into(),
        };
        Self { to: provider(event.route), state: event.to, because }
    }
}

/// The condition that held, and for how long calls go to the fallback.
fn tripped(condition: Condition, tally: Tally, revert_after: Duration) -> String {
    let (calls, back) = (tally.calls(), format_duration(revert_after));
    let held = match condition {
        Condition::FailureRate => format!("{} of its last {calls} calls failed", tally.failures),
        Condition::SlowCalls => format!("{} of its last {calls} calls were slow", tally.slow),
        // No setting asks for another one.
        other => format!("{other:?} held"),
    };
    format!("{held}; back in {back}")
}

/// What is over when calls go to SuperCar, by what was before.
fn over_now(before: State) -> &'static str {
    match before {
        State::Probing => "its probes succeeded",
        State::Returning => "the gradual return is over",
        _ => "the time on the fallback is over",
    }
}

/// Writes a change into the log: as a warning where it is for the worse.
pub(super) fn log(transition: &Transition) {
    let Transition { to, state, because } = transition;
    match (state, to) {
        (State::Probing, _) => {
            tracing::info!("probing: a few calls at once go to SuperCar: {because}");
        }
        (State::Returning, _) => {
            tracing::info!("return: a growing share of calls goes to SuperCar: {because}");
        }
        (_, Provider::SuperCar) => tracing::info!("revert: SuperCar is asked first: {because}"),
        (_, Provider::Premium) => {
            tracing::warn!("failover: Premium is asked instead of SuperCar: {because}");
        }
    }
}
