//! Feature `tracing`: transitions as log events.

use std::time::Duration;

use crate::event::{Cause, Condition, Event, Observe};

/// Logs transitions with the target `failover`: at WARN if calls go, stay or would go to the
/// fallback, otherwise at INFO.
///
/// | field | value |
/// |---|---|
/// | `name` | the failover's [name](Event::name); absent without one |
/// | `from`, `to` | the states' [`State::as_str`](crate::state::State::as_str) |
/// | `cause` | [`Cause::as_str`] |
/// | `epoch` | the number of the epoch that begins |
/// | `scope` | the [nodes](Event::scope) that leave the primary together; absent without one |
/// | `condition` | the condition that was met, by [`Condition::as_str`]; for a trip, and for a fallback that is failing too |
/// | `failures`, `calls` | the window's counts; with `condition` |
/// | `streak` | the failures in a row; with the condition `consecutive_failures` |
/// | `stalled`, `admitted` | the calls that hang, and with a limit on their share, of how many; with the condition `stalled_calls` |
/// | `revert_after_ms` | the time on the fallback in milliseconds; only at WARN |
///
/// Costs nothing per call: only transitions are logged.
///
/// One warning needs no observer, and has the target `failover` too: once for each failover and policy,
/// when 100 calls in a row were dropped before they ended, so that nothing is known about the primary. A
/// time-out outside the layer does that: put it inside, around the primary, or set
/// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after). So do readers that leave an endless
/// stream, which is no mistake. In a window of time, the row begins anew after a window without a dropped
/// call. Its fields are `name`, `dropped` and `service`, whose calls were dropped: `primary`, `fallback`
/// for a [watched](crate::service::watched) one, or `primary of a key`. All keys of a
/// [`KeyedMonitors`](crate::monitor::KeyedMonitors) together are warned of once: the first one's dropped
/// calls are told, and not which key it is.
///
/// ```
/// use failover::{FailoverLayer, Policy};
/// use failover::trace::TracingObserver;
/// # use tower::service_fn;
/// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
///
/// let layer = FailoverLayer::with_fallback(fallback, Policy::default())
///     .named("valuations")
///     .observe(TracingObserver);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver;

/// A macro, because `tracing` makes the level part of an event's static metadata.
macro_rules! emit {
    ($level:ident, $event:expr, $condition:expr, $tally:expr, $revert_after:expr) => {
        tracing::event!(
            target: "failover",
            tracing::Level::$level,
            name = $event.name.as_deref(),
            from = $event.from.as_str(),
            to = $event.to.as_str(),
            cause = $event.cause.as_str(),
            epoch = $event.epoch,
            scope = $event.scope.as_deref(),
            condition = $condition.map(|condition| condition.as_str()),
            failures = $tally.map(|tally| tally.failures),
            calls = $tally.map(|tally| tally.calls()),
            streak = $condition.and_then(streak),
            stalled = $condition.and_then(stalled),
            admitted = $condition.and_then(admitted),
            revert_after_ms = $revert_after.map(millis),
            "calls go to the {}", $event.route.as_str(),
        )
    };
}

impl Observe for TracingObserver {
    fn observe(&self, event: &Event) {
        let (tally, revert_after) = match event.cause {
            Cause::Tripped { tally, revert_after, .. }
            | Cause::WouldTrip { tally, revert_after, .. } => (Some(tally), Some(revert_after)),
            Cause::FallbackFailing { tally, .. } => (Some(tally), None),
            Cause::ProbesFailed { revert_after } => (None, Some(revert_after)),
            _ => (None, None),
        };
        let condition = event.cause.condition();
        if revert_after.is_some() {
            emit!(WARN, event, condition, tally, revert_after);
        } else {
            emit!(INFO, event, condition, tally, revert_after);
        }
    }
}

fn streak(condition: Condition) -> Option<u64> {
    match condition {
        Condition::ConsecutiveFailures { failures } => Some(failures),
        _ => None,
    }
}

fn stalled(condition: Condition) -> Option<u64> {
    match condition {
        Condition::StalledCalls { stalled, .. } => Some(stalled),
        _ => None,
    }
}

fn admitted(condition: Condition) -> Option<u64> {
    match condition {
        Condition::StalledCalls { admitted, .. } => admitted,
        _ => None,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
