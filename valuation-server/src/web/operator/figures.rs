//! What the operator's page shows, as plain values. Formatting them is the page's.

use std::time::{Duration, SystemTime};

use failover::{Ratio, Route, State};
use serde::{Deserialize, Serialize};

use super::configuration::Configuration;
use super::fleet::Fleet;
use crate::domain::{Latencies, Money, Provider};

/// What changes from one second to the next.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The wall clock's time.
    pub now: SystemTime,
    /// The failovers, in the order in which they are shown.
    pub failovers: Vec<Failover>,
    /// What an operator should know, the most important first.
    pub warnings: Vec<Warning>,
    /// The checks of readiness.
    pub readiness: Vec<Check>,
    /// The process and its database.
    pub machine: Machine,
    /// The settings in force.
    pub configuration: Configuration,
    /// Whether the reader has a session that can be ended: shows the logout button.
    pub has_session: bool,
}

/// A failover between two providers.
#[derive(Clone, Debug)]
pub struct Failover {
    /// Its name in a path of the admin listener.
    pub name: String,
    /// The provider that is asked as long as it is healthy.
    pub primary: Provider,
    /// The provider that is asked otherwise.
    pub fallback: Provider,
    /// The route, and the numbers that it was decided by.
    pub decision: Decision,
    /// Whether a call that failed is tried at the other provider.
    pub rescue: bool,
    /// The settings of the policy in force, in the order in which they are shown.
    pub settings: Vec<Setting>,
    /// The latest events, newest first; the page shows [`ROWS`] of them.
    pub events: Vec<Event>,
    /// The latest calls that a provider failed or refused, newest first; the page shows [`ROWS`].
    pub failed_calls: Vec<FailedCall>,
    /// The nodes that decide together; `None` without a cluster.
    pub fleet: Option<Fleet>,
}

/// The longest table of events and of calls, in rows.
pub const ROWS: usize = 8;

/// The route, and the numbers that it was decided by.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The state; in a dry run what it would be.
    pub state: State,
    /// The route of a call made now.
    pub route: Route,
    /// Whether the policy is a dry run, which diverts no call.
    pub dry_run: bool,
    /// The primary's calls in the window. 0 on the fallback.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow.
    pub slow: u64,
    /// The primary's calls in flight for too long.
    pub stalled: u64,
    /// The thresholds.
    pub limits: Limits,
    /// Why calls go to the fallback; not read while they do not.
    pub reason: Reason,
    /// Until the state's timer ends; `None` if none runs.
    pub reverts_in: Option<Duration>,
    /// How the primary is probed, if the policy says so.
    pub probing: Option<Probing>,
    /// How calls return to the primary, if the policy says so.
    pub ramp: Option<Ramp>,
    /// The order that forced the route; `None` if there is none or it is not known.
    pub order: Option<Order>,
}

/// The thresholds of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The share of failures that must be exceeded.
    pub failure_rate: Ratio,
    /// The number of calls below which no rate is evaluated.
    pub minimum_calls: u64,
    /// How far back calls are counted.
    pub window: Duration,
    /// The share of slow calls that must be exceeded; `None` if they are not counted.
    pub slow_rate: Option<Ratio>,
}

/// A limit of the policy that was in force at a trip: a later policy has others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// The share that must be exceeded.
    #[serde(with = "ratio")]
    pub rate: Ratio,
    /// The number of calls below which it is not evaluated.
    pub minimum_calls: u64,
}

/// A share as a text: `"1/2"`.
mod ratio {
    use failover::Ratio;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(ratio: &Ratio, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(ratio)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Ratio, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Why calls go to the fallback. Serialized to be known after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Too many of the primary's calls failed.
    FailureRate {
        /// Failed calls.
        failures: u64,
        /// All calls in the window.
        calls: u64,
        /// What was exceeded; `None` in notes of earlier versions.
        #[serde(default)]
        limit: Option<Limit>,
    },
    /// Too many of the primary's calls were slow.
    SlowCalls {
        /// Slow calls.
        slow: u64,
        /// All calls in the window.
        calls: u64,
        /// What was exceeded; `None` in notes of earlier versions.
        #[serde(default)]
        limit: Option<Limit>,
    },
    /// Too many of the primary's calls are stalled.
    StalledCalls {
        /// Stalled calls.
        stalled: u64,
        /// Of this many that were made in as long a time; `None` if the limit is no share.
        admitted: Option<u64>,
    },
    /// Too many of the calls of all nodes of the fleet failed.
    FleetFailureRate {
        /// Failed calls.
        failures: u64,
        /// All calls in the windows; 0 if this node followed the others, and did not see them.
        calls: u64,
        /// How many nodes.
        nodes: u64,
        /// The label that the nodes have; `None`: all nodes of the fleet.
        scope: Option<String>,
        /// What was exceeded.
        limit: Option<Limit>,
    },
    /// A probe of the primary failed.
    ProbeFailed,
    /// It was so before the restart, and no counts are left of it.
    Restored,
}

/// How the primary is probed.
#[derive(Clone, Copy, Debug)]
pub struct Probing {
    /// The number of concurrent probes.
    pub max_in_flight: u32,
    /// How many must succeed.
    pub successes: u32,
}

/// How calls return to the primary.
#[derive(Clone, Copy, Debug)]
pub struct Ramp {
    /// The share that it begins with.
    pub first: Ratio,
    /// How long until it is all calls.
    pub over: Duration,
}

/// An order that forced a route.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who gave it: an address.
    pub by: String,
    /// When.
    pub since: SystemTime,
    /// When it ends; `None` if by its release alone.
    pub until: Option<SystemTime>,
    /// Why.
    pub reason: Option<String>,
}

/// A setting of the policy.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its key, as an operator's request names it.
    pub key: &'static str,
    /// The value in force, in a spelling that a request takes.
    pub value: String,
    /// What it means.
    pub help: &'static str,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// The kind.
    pub kind: EventKind,
    /// What happened, in words. Of a transition the page shows the first sentence.
    pub message: String,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The route or the state changed.
    Transition {
        /// Where calls go from then on.
        route: Route,
    },
    /// An operator's order.
    Order {
        /// Who gave it: an address.
        by: String,
    },
    /// Anything else.
    Note,
}

/// A call that a provider failed or refused.
#[derive(Clone, Debug)]
pub struct FailedCall {
    /// When it began.
    pub at: SystemTime,
    /// The provider.
    pub provider: Provider,
    /// The vehicle's registration mark.
    pub vrm: String,
    /// The error code, such as `TIMEOUT`.
    pub code: String,
    /// The answer's status; `None` if there was no answer.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
}

/// What an operator should know at once.
#[derive(Clone, Debug)]
pub struct Warning {
    /// What is wrong, and what to do.
    pub text: String,
}

/// A check of readiness.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// What is wrong; `None` if healthy.
    pub trouble: Option<String>,
}

/// The process and its database.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The program's version.
    pub version: &'static str,
    /// Since the start of the process.
    pub uptime: Duration,
    /// Permits of the writer's queue in use.
    pub queue: u64,
    /// All permits of the writer's queue.
    pub queue_capacity: u64,
    /// Transactions committed since the start.
    pub commits: u64,
    /// Provider calls that could not be stored since the start.
    pub lost_calls: u64,
    /// The size of the database with its write-ahead log, in bytes; `None` if it can't be read.
    pub database: Option<u64>,
    /// What is free on its disk, in bytes; `None` if it can't be read.
    pub disk_free: Option<u64>,
}

/// What changes every ten seconds, of one failover: the lines, and the sums of longer times.
#[derive(Clone, Debug)]
pub struct History {
    /// The wall clock's time.
    pub now: SystemTime,
    /// The provider that is asked as long as it is healthy.
    pub primary: Provider,
    /// The provider that is asked otherwise.
    pub fallback: Provider,
    /// The thresholds of the policy in force.
    pub limits: Limits,
    /// The last hour in intervals of [`Point::SPAN`]. Intervals in which nothing happened may be left
    /// out.
    pub points: Vec<Point>,
    /// The calls to each provider in the last hour.
    pub providers: Vec<ProviderCalls>,
    /// What the fallback costs; `None` without a price.
    pub costs: Option<Costs>,
}

/// What happened in one interval.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Its beginning.
    pub at: SystemTime,
    /// The primary's calls that the window counted.
    pub counted: u64,
    /// Those that failed.
    pub failures: u64,
    /// All calls to the primary.
    pub primary: u64,
    /// All calls to the fallback.
    pub fallback: u64,
    /// For how long calls went to the fallback.
    pub on_fallback: Duration,
}

impl Point {
    /// The length of an interval.
    pub const SPAN: Duration = Duration::from_secs(10);
}

/// The calls to a provider.
#[derive(Clone, Debug)]
pub struct ProviderCalls {
    /// The provider.
    pub provider: Provider,
    /// All calls.
    pub calls: u64,
    /// Failed calls.
    pub failures: u64,
    /// The durations of those that ended by themselves.
    pub latencies: Latencies,
}

/// What the fallback costs.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// The price of a call.
    pub price: Money,
    /// The calls today, in UTC.
    pub calls: u64,
    /// Those that rescued a failed call to the primary.
    pub rescues: u64,
}
