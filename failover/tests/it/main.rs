//! The crate as its users see it. One binary; a file a behaviour.

#![allow(clippy::unwrap_used, reason = "tests")]

mod coming_back;
mod common;
mod conditions;
mod contention;
mod cost;
mod dropped;
mod dry_run;
mod last_calls;
mod model;
mod naive;
mod observers;
mod policy;
mod probes;
mod readiness;
mod rescue;
mod slow;
mod stalled;
mod transitions;
mod unwinding;
mod window;
