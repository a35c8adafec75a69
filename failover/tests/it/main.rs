//! The crate as its users see it. One binary; a file a behaviour.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;
mod contention;
mod cost;
mod model;
mod naive;
mod observers;
mod policy;
mod readiness;
mod rescue;
mod transitions;
mod unwinding;
mod window;
