//! The crate as its users see it. One binary; a file a behaviour.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod contention;
mod cost;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "metrics")]
mod metrics;
mod model;
mod names;
mod observers;
mod policy;
mod readiness;
mod rescue;
#[cfg(feature = "tokio")]
mod tokio_clock;
#[cfg(feature = "tracing")]
mod tracing_observer;
mod transitions;
mod unwinding;
mod window;
