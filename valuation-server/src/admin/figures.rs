//! Figures for the operators' page: of the process, of the last hour and of the day.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The process and its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The version that runs.
    pub version: &'static str,
    /// The time since the start.
    #[serde(rename = "uptimeSeconds", serialize_with = "whole_seconds")]
    pub uptime: Duration,
    /// Permits of the writer's queue in use.
    pub queue_length: usize,
    /// All permits of the writer's queue.
    pub queue_capacity: usize,
    /// Transactions committed for valuations and log rows since the start.
    pub commits: u64,
    /// The size of the database with its write-ahead log.
    pub database_bytes: u64,
    /// What the database's file system has left; `null` if it does not say.
    pub disk_free_bytes: Option<u64>,
}

/// What a failover or a provider did in some time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// The failover's or the provider's name. A failover's calls are those of its primary that it counts.
    pub source: String,
    /// The start, in seconds since 1970.
    pub at: u64,
    /// All calls.
    pub calls: u64,
    /// The failures among them.
    pub failures: u64,
    /// Those that were made because another call for the same request had failed.
    pub rescues: u64,
    /// How long the route was the fallback, in milliseconds; 0 for a provider.
    pub fallback_ms: u64,
    /// The durations, in seconds, within which half, 95 % and 99 % of the calls ended, interpolated between
    /// the histogram's bounds; `null` without calls and for a failover.
    pub p50: Option<f64>,
    /// As above.
    pub p95: Option<f64>,
    /// As above.
    pub p99: Option<f64>,
}

/// The last hour, of all servers on this database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastHour {
    /// Ten seconds each, in the order of time. One without calls and without time on the fallback is left
    /// out. The last ten seconds may be missing.
    pub intervals: Vec<Interval>,
    /// Their sums, one per source, with the hour's start.
    pub sums: Vec<Interval>,
}

/// The day since midnight, UTC, of all servers on this database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Today {
    /// The sums, one per source, with the day's start. Those of other servers are up to ten seconds old.
    pub sums: Vec<Interval>,
    /// What the calls to the fallback provider cost; `null` if their price is not set.
    pub costs: Option<Costs>,
}

/// What the calls to the fallback provider cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Costs {
    /// The price of a call, in pence.
    pub price_pence: u64,
    /// All calls.
    pub calls: u64,
    /// Their price, in pence.
    pub pence: u64,
    /// Those among them that were made because the primary had just failed.
    pub rescues: u64,
    /// Their price, in pence.
    pub rescues_pence: u64,
}

fn whole_seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(time.as_secs())
}
