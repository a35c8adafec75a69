//! Transitions and their observers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::route::Route;
use crate::state::State;
use crate::tally::Tally;

/// A transition of a monitor.
#[cfg_attr(
    feature = "serde",
    doc = "
With the feature `serde` it is one flat table, whose `cause` and `condition` are labels. A `name` or `scope` that is
`None` is not written:

```
use std::sync::mpsc;
use failover::{Event, Monitor, Outcome, Policy};

let monitor = Monitor::new(Policy::default()).named(\"valuations\");
let (sender, events) = mpsc::channel();
monitor.observe(move |event: &Event| {
    let _ = sender.send(serde_json::to_value(event).unwrap());
});
while let Some(ticket) = monitor.admit().ticket() {
    monitor.record(ticket, Outcome::Failure);
}
let event = events.recv().unwrap();
assert_eq!((&event[\"name\"], &event[\"cause\"]), (&\"valuations\".into(), &\"tripped\".into()));
assert_eq!(event[\"condition\"], \"failure_rate\");
assert_eq!((&event[\"tally\"][\"failures\"], &event[\"revert_after\"]), (&10.into(), &\"5m\".into()));
```"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Event {
    /// The monitor's [name](crate::monitor::Monitor::named); `None` without one.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub name: Option<Arc<str>>,
    /// When the transition was made, by the system's wall clock, whatever clock the monitor has. The
    /// wall clock is read only at transitions, and may be set back: [`epoch`](Self::epoch) orders
    /// events. `UNIX_EPOCH` on `wasm32-unknown-unknown`, which has no wall clock.
    ///
    /// With `serde` a text of RFC 3339; if it is missing, `UNIX_EPOCH`.
    #[cfg_attr(
        feature = "serde",
        serde(
            with = "crate::text::scalar::moment",
            default = "crate::text::scalar::unknown_moment"
        )
    )]
    pub time: SystemTime,
    /// The epoch that begins, from 0 to 2^20 − 1. It orders events that two threads report at once.
    pub epoch: u32,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The new route. In a [dry run](crate::policy::PolicyBuilder::dry_run) the primary, whatever
    /// `to` says, unless an operator forced the fallback.
    pub route: Route,
    /// The reason for the transition.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub cause: Cause,
    /// The label of the nodes that leave the primary together, such as `zone=a`. `None` if all nodes of the
    /// fleet do, or this one by itself.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub scope: Option<Arc<str>>,
}

/// The reason for a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "cause", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Cause {
    /// A condition was met: calls go to the fallback.
    Tripped {
        /// The condition that was met.
        #[cfg_attr(feature = "serde", serde(flatten))]
        condition: Condition,
        /// The window's counts.
        tally: Tally,
        /// How long calls stay on the fallback.
        #[cfg_attr(feature = "serde", serde(with = "crate::text::scalar::time"))]
        revert_after: Duration,
    },
    /// The time on the fallback, the probing or a ramp ended: all calls go to the primary, with an
    /// empty window.
    Reverted,
    /// The time on the fallback is over: a few calls at a time
    /// [probe](crate::policy::PolicyBuilder::probing) the primary, the others stay.
    Probing,
    /// Too many probes failed: calls stay on the fallback.
    ProbesFailed {
        /// For how much longer.
        #[cfg_attr(feature = "serde", serde(with = "crate::text::scalar::time"))]
        revert_after: Duration,
    },
    /// The [watched fallback](crate::service::layer::FailoverLayer::watch_fallback) is failing too:
    /// calls return to the primary before the time on the fallback is over, with an empty window, and
    /// ramp up if the policy says so.
    FallbackFailing {
        /// Which condition of the fallback's policy held.
        #[cfg_attr(feature = "serde", serde(flatten))]
        condition: Condition,
        /// What the fallback's window held.
        tally: Tally,
    },
    /// The probes of another node of the fleet succeeded: calls return to the primary, with an empty window,
    /// and ramp up if the policy says so.
    FleetRecovered,
    /// Calls [ramp up](crate::policy::PolicyBuilder::ramp_up) on the primary, with an empty window.
    Ramping {
        /// How long until all calls go to the primary.
        #[cfg_attr(feature = "serde", serde(with = "crate::text::scalar::time"))]
        over: Duration,
    },
    /// Like `Tripped`, in a [dry run](crate::policy::PolicyBuilder::dry_run): calls stay on the
    /// primary.
    WouldTrip {
        /// The condition that was met.
        #[cfg_attr(feature = "serde", serde(flatten))]
        condition: Condition,
        /// The window's counts.
        tally: Tally,
        /// How long calls would stay on the fallback.
        #[cfg_attr(feature = "serde", serde(with = "crate::text::scalar::time"))]
        revert_after: Duration,
    },
    /// Like `Reverted`, in a dry run. The window is empty.
    WouldRevert,
    /// An operator forced the route. No timer ends it.
    Forced,
    /// An operator released the route or reset the monitor: calls go to the primary, with an empty
    /// window.
    Released,
    /// The policy was replaced: see
    /// [`FailoverHandle::swap_policy`](crate::monitor::handle::FailoverHandle::swap_policy).
    PolicySwapped,
    /// A saved state was restored: see
    /// [`FailoverHandle::restore`](crate::monitor::handle::FailoverHandle::restore).
    Restored,
}

/// A condition of a policy, with the numbers that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "condition", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Condition {
    /// The failure rate exceeded the threshold.
    FailureRate,
    /// The failure rate of the fleet, or of the nodes of a scope, exceeded the threshold. The counts are those
    /// of all these nodes; they are 0 if this node followed others whose view it does not share.
    FleetFailureRate,
    /// Too many calls in a row failed.
    ConsecutiveFailures {
        /// The length of the streak.
        failures: u64,
    },
    /// The share of slow calls exceeded the threshold.
    SlowCalls,
    /// Too many calls hang.
    StalledCalls {
        /// Calls in flight for too long; with a limit on their share, only those admitted in the
        /// period compared.
        stalled: u64,
        /// With a limit on the share: all calls admitted in that period.
        admitted: Option<u64>,
    },
}

impl Condition {
    /// A label for logs and metrics: `failure_rate`, `fleet_failure_rate`, `consecutive_failures`,
    /// `slow_calls`, `stalled_calls`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::FailureRate => "failure_rate",
            Self::FleetFailureRate => "fleet_failure_rate",
            Self::ConsecutiveFailures { .. } => "consecutive_failures",
            Self::SlowCalls => "slow_calls",
            Self::StalledCalls { .. } => "stalled_calls",
        }
    }
}

impl Cause {
    /// The condition that was met: of a trip, of one in a
    /// [dry run](crate::policy::PolicyBuilder::dry_run), or of a watched fallback.
    #[must_use]
    pub const fn condition(&self) -> Option<Condition> {
        match self {
            Self::Tripped { condition, .. }
            | Self::WouldTrip { condition, .. }
            | Self::FallbackFailing { condition, .. } => Some(*condition),
            _ => None,
        }
    }

    /// A label for logs and metrics: `tripped`, `reverted`, `probing`, `probes_failed`,
    /// `fallback_failing`, `fleet_recovered`, `ramping`, `would_trip`, `would_revert`, `forced`, `released`,
    /// `policy_swapped`, `restored`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tripped { .. } => "tripped",
            Self::Reverted => "reverted",
            Self::Probing => "probing",
            Self::ProbesFailed { .. } => "probes_failed",
            Self::FallbackFailing { .. } => "fallback_failing",
            Self::FleetRecovered => "fleet_recovered",
            Self::Ramping { .. } => "ramping",
            Self::WouldTrip { .. } => "would_trip",
            Self::WouldRevert => "would_revert",
            Self::Forced => "forced",
            Self::Released => "released",
            Self::PolicySwapped => "policy_swapped",
            Self::Restored => "restored",
        }
    }
}

/// Observes transitions, on the thread that makes them and outside every lock.
///
/// It may read and change the monitor's state, and add observers. A panic is caught: the other
/// observers still run. Observers are dropped when the last service, handle and monitor are gone, so
/// a channel whose sender an observer holds ends then:
///
/// ```
/// use std::sync::mpsc;
/// use failover::event::Cause;
/// use failover::{Event, Monitor, Policy, Route};
///
/// let monitor = Monitor::new(Policy::default()).named("valuations");
/// let (sender, events) = mpsc::channel();
/// monitor.observe(move |event: &Event| {
///     let _ = sender.send(event.clone());
/// });
/// monitor.handle().force(Route::Fallback);
/// drop(monitor);
///
/// let event = events.recv().unwrap();
/// assert_eq!((event.name.as_deref(), event.cause), (Some("valuations"), Cause::Forced));
/// assert!(events.recv().is_err());
/// ```
pub trait Observe: Send + Sync + 'static {
    /// Handles a transition. The call that made the transition waits for it.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observe for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}
