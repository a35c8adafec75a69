//! Feature `metrics`: what Prometheus and OpenMetrics scrape, through `prometheus-client`.
//!
//! | metric | labels | what |
//! |---|---|---|
//! | `failover_state` | `name`, `state` | 1 for the state that it is in, 0 for the others |
//! | `failover_failure_ratio` | `name` | failures among the calls in the window; absent without calls |
//! | `failover_window_calls` | `name`, `outcome` | the calls in the window |
//! | `failover_revert_in_seconds` | `name` | until the revert; absent where no timer runs |
//! | `failover_transitions_total` | `name`, `from`, `to`, `cause` | transitions |
//! | `failover_calls_total` | `name`, `route`, `outcome` | calls; outcomes are `success`, `failure`, `ignored` and `dropped` |
//! | `failover_call_duration_seconds` | `name`, `route` | how long they took, as a histogram |
//!
//! # Why a collector
//! State, ratio and window are read when someone scrapes, from one snapshot of the failover, and
//! nothing is written down in between. So a call pays nothing for them, and no scrape sees two
//! states at once, or a state beside the window of another. Gauges that are set at each transition
//! could promise neither.
//!
//! # What it costs
//! [`Metrics::watch`] gives the first five for nothing a call. The last two need a look at each
//! call: [`metered`](crate::service::layer::FailoverLayer::metered) wraps the two services, and a failover without
//! it is not touched. Without any metered failover the two are not on the page. A metered call reads the clock twice, classifies its result once more, and
//! adds to two numbers that its thread alone writes: no lock, no look-up, no shared cache line.
//! Measured, that is the price of the two reads (twice 20 to 30 ns on the
//! [`FineClock`](crate::clock::FineClock), twice 4 on the [`CoarseClock`](crate::clock::CoarseClock)) and some
//! 10 ns more.
//!
//! A thread's first call allocates its numbers, about 1 KiB for each name. They are never freed: a
//! time series, once begun, lasts as long as the process, and so do names.

mod cells;
mod collect;
mod layer;
mod metered;
mod registry;
mod transitions;

#[cfg(feature = "http")]
pub(crate) use cells::Ended;
pub use layer::MeteredLayer;
#[cfg(feature = "http")]
pub(crate) use metered::{Meter, Timing};
pub use metered::{Metered, MeteredFuture};
pub use registry::Metrics;
