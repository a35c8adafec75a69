//! Feature `tracing`: transitions as log events.

use std::time::Duration;

use crate::event::{Cause, Event, Observe};

/// Logs transitions with the target `failover`: at WARN if calls go, stay or would go to the
/// fallback, otherwise at INFO.
///
/// | field | value |
/// |---|---|
/// | `name` | the failover's [name](Event::name); absent without one |
/// | `from`, `to` | the states' [`State::as_str`](crate::state::State::as_str) |
/// | `cause` | [`Cause::as_str`] |
/// | `epoch` | the number of the epoch that begins |
/// | `failures`, `calls` | the window's counts; only for a trip |
/// | `revert_after_ms` | the time on the fallback in milliseconds; only at WARN |
///
/// Costs nothing per call: only transitions are logged.
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
    ($level:ident, $event:expr, $tally:expr, $revert_after:expr) => {
        tracing::event!(
            target: "failover",
            tracing::Level::$level,
            name = $event.name.as_deref(),
            from = $event.from.as_str(),
            to = $event.to.as_str(),
            cause = $event.cause.as_str(),
            epoch = $event.epoch,
            scope = $event.scope.as_deref(),
            failures = $tally.map(|tally| tally.failures),
            calls = $tally.map(|tally| tally.calls()),
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
        if revert_after.is_some() {
            emit!(WARN, event, tally, revert_after);
        } else {
            emit!(INFO, event, tally, revert_after);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
