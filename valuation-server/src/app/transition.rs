//! Changes of the route, as log lines and journal entries.

use std::time::Duration;

use failover::event::{Cause, Condition};
use failover::monitor::Tally;
use failover::{Event, Route, State};
use humantime::format_duration;

use super::orders::Current;
use crate::admin::{Journal, Kind};
use crate::domain::Provider;

/// A change of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The provider that is asked first from now on; SuperCar during a ramp.
    pub to: Provider,
    /// How calls are routed from now on.
    pub state: State,
    /// Why, in words.
    pub because: String,
}

impl Transition {
    /// The change that an event reports; `None` for a new policy that leaves the state as it was.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        Self::among(event, None)
    }

    /// The same, with the number of nodes if the fleet decided.
    pub(super) fn among(event: &Event, nodes: Option<usize>) -> Option<Self> {
        let held = |condition, tally| match condition {
            Condition::FleetFailureRate => of_the_fleet(tally, event.scope.as_deref(), nodes),
            condition => held(condition, tally),
        };
        let because = match &event.cause {
            Cause::PolicySwapped if event.from == event.to => return None,
            Cause::Tripped { condition, tally, revert_after } => {
                let back = format_duration(rounded(*revert_after));
                format!("{}; back in {back}", held(*condition, *tally))
            }
            Cause::Probing => {
                "the time on the fallback is over; the others stay with Premium".into()
            }
            Cause::ProbesFailed { revert_after } => {
                format!("a probe failed; back in {}", format_duration(rounded(*revert_after)))
            }
            Cause::FallbackFailing { condition, tally } => {
                let held = held(*condition, *tally);
                format!(
                    "Premium is failing too ({held}), before its time is over; counts start from zero"
                )
            }
            Cause::FleetRecovered => {
                "probes of another node of the fleet succeeded; counts start from zero".into()
            }
            Cause::Ramping { over } => {
                let (over, until) = (format_duration(*over), over_now(event.from));
                format!("{until}; all calls in {over}; counts start from zero")
            }
            Cause::Reverted => format!("{}; counts start from zero", over_now(event.from)),
            Cause::Forced => "forced by an operator".into(),
            Cause::Released => "released by an operator; counts start from zero".into(),
            Cause::PolicySwapped => "by another policy".into(),
            Cause::Restored => "as it was before".into(),
            _ => "the route changed".into(),
        };
        Some(Self { to: provider(event.route), state: event.to, because })
    }
}

/// Whether the fleet made a trip.
pub(super) fn by_fleet(event: &Event) -> bool {
    let condition = Condition::FleetFailureRate;
    matches!(event.cause, Cause::Tripped { condition: c, .. } | Cause::WouldTrip { condition: c, .. }
        if c == condition)
}

/// The provider that a route names.
#[must_use]
pub fn provider(route: Route) -> Provider {
    match route {
        Route::Primary => Provider::SuperCar,
        Route::Fallback => Provider::Premium,
    }
}

/// The condition that a provider met, with its counts.
fn held(condition: Condition, tally: Tally) -> String {
    let calls = tally.calls();
    match condition {
        Condition::FailureRate => format!("{} of its last {calls} calls failed", tally.failures),
        Condition::SlowCalls => format!("{} of its last {calls} calls were slow", tally.slow),
        Condition::StalledCalls { stalled, admitted: Some(admitted) } => {
            format!("{stalled} of {admitted} calls were stalled")
        }
        Condition::StalledCalls { stalled, admitted: None } => {
            format!("{stalled} calls were stalled")
        }
        // No setting leads to another condition.
        other => format!("{other:?} held"),
    }
}

/// The calls of the fleet, or of those of its nodes that have a label.
fn of_the_fleet(tally: Tally, scope: Option<&str>, nodes: Option<usize>) -> String {
    let whose = match (nodes, scope) {
        (None, None) => "the fleet".to_owned(),
        (Some(1), None) => "the fleet's 1 node".to_owned(),
        (Some(nodes), None) => format!("the fleet's {nodes} nodes"),
        (None, Some(label)) => format!("the nodes with {label}"),
        (Some(1), Some(label)) => format!("the 1 node with {label}"),
        (Some(nodes), Some(label)) => format!("the {nodes} nodes with {label}"),
    };
    match tally.calls() {
        // This node did not see them: it started, or was cut off.
        0 => format!("others of {whose} are with Premium, and this one follows"),
        calls => format!("{} of the last {calls} calls of {whose} failed", tally.failures),
    }
}

/// What has ended when calls go to SuperCar, by the previous state.
fn over_now(before: State) -> &'static str {
    match before {
        State::Probing => "its probes succeeded",
        State::Ramping => "the ramp is over",
        _ => "the time on the fallback is over",
    }
}

/// Logs an event, as a warning if it is a trip, and records it in the journal. `current` is who
/// decides on the route, for the words about a forced one; `nodes` how many did, if the fleet decided.
pub(super) fn report(events: &Journal, event: &Event, current: &Current, nodes: Option<usize>) {
    let message = message(event, current, nodes);
    let is_worse = event.route == Route::Fallback && event.from != event.to;
    if is_worse || matches!(event.cause, Cause::FallbackFailing { .. }) {
        tracing::warn!("{message}");
    } else {
        tracing::info!("{message}");
    }
    let kind = Kind::Transition {
        from: event.from.as_str(),
        to: event.to.as_str(),
        route: event.route.as_str(),
        cause: event.cause.as_str(),
        epoch: event.epoch,
        scope: by_fleet(event).then(|| event.scope.as_deref().unwrap_or("fleet").to_owned()),
    };
    events.note(kind, message);
}

/// What happened, what it means and what to do.
fn message(event: &Event, current: &Current, nodes: Option<usize>) -> String {
    let Some(Transition { to, state, because }) = Transition::among(event, nodes) else {
        return "policy: another one is in force".to_owned();
    };
    if event.cause == Cause::Restored {
        return format!("restart: {} is asked first, {because}", to.name());
    }
    match (state, event.route) {
        (State::Probing, _) => {
            format!("probing: a few calls at once go to SuperCar: {because}")
        }
        (State::Ramping, _) => {
            format!("return: a growing share of calls goes to SuperCar: {because}")
        }
        (State::ForcedFallback, _) => {
            format!("forced: Premium is asked instead of SuperCar: {because}. {}", stays(current))
        }
        (State::ForcedPrimary, _) => format!(
            "forced: SuperCar is asked first, however often it fails: {because}. {}",
            stays(current)
        ),
        (_, Route::Primary) if event.cause == Cause::Released => {
            let because = match current {
                Current::Ending(_) => "the forced route ended as planned; counts start from zero",
                _ => &because,
            };
            format!("revert: SuperCar is asked first: {because}")
        }
        (_, Route::Primary) => format!("revert: SuperCar is asked first: {because}"),
        (_, Route::Fallback) => format!(
            "failover: Premium is asked instead of SuperCar: {because}. Customers still get \
             valuations, at Premium's price; nothing has to be done here. Why SuperCar failed is \
             in its lines {}",
            if by_fleet(event) { "above, or in the logs of the other nodes" } else { "above" }
        ),
    }
}

/// How long a forced route stays, and why it is forced.
fn stays(current: &Current) -> String {
    let order = current.order();
    let reason = order.and_then(|order| order.reason.as_ref());
    let reason = reason.map_or(String::new(), |reason| format!(". The reason: {reason}"));
    match order {
        Some(order) if order.until.is_some() => {
            format!("It stays so {}, unless it is released before (AUTO){reason}", order.end())
        }
        _ => format!("It stays so until it is released (AUTO){reason}"),
    }
}

/// Of a long time only the seconds: those of a fleet differ by the milliseconds that a message takes.
fn rounded(time: Duration) -> Duration {
    if time < Duration::from_secs(10) { time } else { Duration::from_secs(time.as_secs()) }
}
