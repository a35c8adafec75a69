//! Feature `prometheus`: metrics for Prometheus and OpenMetrics, through `prometheus-client`.
//!
//! | metric | labels | value |
//! |---|---|---|
//! | `failover_state` | `name`, `state` | 1 for the current state, 0 for the others |
//! | `failover_failure_ratio` | `name` | share of failures in the window; absent without calls |
//! | `failover_window_calls` | `name`, `outcome` | calls in the window |
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
mod collect;
mod metered;
mod registry;
mod transitions;

pub use metered::{Meter, Metered, MeteredLayer};
pub use registry::Metrics;
