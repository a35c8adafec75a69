//! Feature `tracing`: transitions as events.

use std::borrow::Cow;
use std::time::Duration;

use crate::event::{Cause, Event, Observe};

/// Tells `tracing` of transitions, as events of the target `failover`: a trip as a warning,
/// everything else as information.
///
/// | field | what |
/// |---|---|
/// | `name` | the name given to [`new`](Self::new) |
/// | `from`, `to` | the states: see [`State::as_str`](crate::state::State::as_str) |
/// | `cause` | [`Cause::as_str`] |
/// | `epoch` | the number of the epoch that begins |
/// | `failures`, `calls` | what the window held; only for a trip |
/// | `revert_after_ms` | the time on the fallback in milliseconds; only for a trip |
///
/// A call costs nothing for it: it is told of transitions alone, by the call that made one.
///
/// ```
/// use failover::{FailoverLayer, Policy};
/// use failover::trace::TracingObserver;
/// # use tower::service_fn;
/// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
///
/// let layer = FailoverLayer::new(fallback, Policy::default())
///     .named("valuations")
///     .observe(TracingObserver::new("valuations"));
/// ```
#[derive(Clone, Debug)]
pub struct TracingObserver {
    name: Cow<'static, str>,
}

impl TracingObserver {
    /// An observer of the failover of that name.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into() }
    }
}

/// All levels carry the same fields; a level is part of an event's static description.
macro_rules! emit {
    ($level:ident, $observer:expr, $event:expr, $tally:expr, $revert_after:expr) => {
        tracing::event!(
            target: "failover",
            tracing::Level::$level,
            name = &*$observer.name,
            from = $event.from.as_str(),
            to = $event.to.as_str(),
            cause = $event.cause.as_str(),
            epoch = $event.epoch,
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
            emit!(WARN, self, event, tally, revert_after);
        } else {
            emit!(INFO, self, event, tally, revert_after);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
