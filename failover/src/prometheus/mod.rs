//! Feature `prometheus`: metrics for Prometheus and OpenMetrics, through `prometheus-client`.
//!
//! | metric | labels | value |
//! |---|---|---|
//! | `failover_state` | `name`, `state` | 1 for the current state, 0 for the others |
//! | `failover_failure_ratio` | `name` | share of failures in the window; absent without calls |
//! | `failover_window_calls` | `name`, `outcome` | calls in the window; outcomes are `success`, `failure` and `dropped`, which counts as nothing |
//! | `failover_revert_in_seconds` | `name` | time until the revert; absent if no timer runs |
//! | `failover_transitions_total` | `name`, `from`, `to`, `cause` | transitions |
//! | `failover_calls_total` | `name`, `route`, `outcome` | calls; outcomes are `success`, `failure`, `ignored` and `dropped` |
//! | `failover_call_duration_seconds` | `name`, `route` | duration of calls, as a histogram |
//!
//! Every state has its series from the start, and so have the usual transitions: trips, reverts,
//! probing, ramps, forced routes and their release, and those of a dry run. They begin at 0, so that
//! `increase()` sees the first one. A state that begins and ends between two scrapes is in no gauge,
//! only in its counters. Transitions by other causes have a series once they have happened.
//!
//! A node of a cluster, with feature `cluster`, is a collector of its own: register a clone.
//!
//! | metric | labels | value |
//! |---|---|---|
//! | `failover_cluster_up` | `cluster` | 1 while the bus is connected |
//! | `failover_cluster_bus_losses_total` | `cluster` | how often it was lost |
//! | `failover_cluster_lagged_messages_total` | `cluster` | messages that the bus dropped |
//! | `failover_cluster_messages_total` | `cluster`, `result` | messages received: `merged`, `order`, `own`, `stale`, `other_failover`; refused ones are `too_long`, `version`, `tag`, `malformed`, `full` |
//! | `failover_cluster_nodes` | `name`, `route` | live nodes by their route |
//! | `failover_cluster_suspect_nodes` | `name` | nodes that doubt their own evidence |
//! | `failover_cluster_epoch` | `name` | the fleet's epoch |
//! | `failover_cluster_vouchers` | `name` | other failure domains on the fallback in this epoch |
//! | `failover_cluster_window_calls` | `name`, `outcome` | all nodes' calls that count |
//! | `failover_cluster_oldest_news_seconds` | `name` | age of the oldest news of a live node |
//!
//! # Why a collector
//! State, ratio and window are read at each scrape from one snapshot. So calls pay nothing for
//! them, and no scrape sees two states, or a state with another's window. Gauges set at transitions
//! could not guarantee that.
//!
//! # Cost
//! [`Metrics::watch`] exports the first five metrics at no cost per call. The last two need
//! [`metered`](crate::service::layer::FailoverLayer::metered), which wraps both services; without a
//! metered failover these two families are not exported. A metered
//! call reads the clock twice (20 to 30 ns each on the [`FineClock`](crate::clock::FineClock), 4 ns
//! on the [`CoarseClock`](crate::clock::CoarseClock)), classifies its result once more, and adds to
//! two counters that only its thread writes: no lock, no lookup, no shared cache line, about 10 ns.
//!
//! A thread's first call allocates about 1 KiB of counters per name. Neither they nor names are
//! ever freed, since a time series lasts as long as the process.

mod cells;
#[cfg(feature = "cluster")]
mod cluster;
mod collect;
mod metered;
mod registry;
mod transitions;

pub use metered::{Meter, Metered, MeteredLayer};
pub use registry::Metrics;
