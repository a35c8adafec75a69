//! The crate as its users see it: one binary, one file per behaviour.

#![allow(clippy::unwrap_used, reason = "tests")]

mod advance;
mod calls;
mod chains;
mod clocks;
#[cfg(any(feature = "cluster-tls", feature = "cluster-udp"))]
mod cluster;
mod coming_back;
mod common;
mod conditions;
mod contention;
mod cost;
#[cfg(feature = "serde")]
mod data;
mod dropped;
mod dry_run;
mod errors;
mod fallback_failing;
mod false_trips;
#[cfg(feature = "cluster")]
mod fleet;
mod hard_won;
#[cfg(feature = "http")]
mod http;
mod keyed;
mod last_calls;
mod layering;
#[cfg(feature = "prometheus")]
mod metrics;
mod model;
mod naive;
mod names;
mod observers;
mod on_call;
mod policy;
mod prober;
mod probes;
mod readiness;
mod registry;
mod rescue;
mod saved;
mod send;
mod slow;
mod stalled;
mod swap;
#[cfg(feature = "tokio")]
mod tokio_clock;
#[cfg(feature = "tracing")]
mod tracing_observer;
mod transitions;
mod unwinding;
mod waiting;
#[cfg(feature = "tokio")]
mod waiting_in_tokio;
mod window;
