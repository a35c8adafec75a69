//! The server's parts as they are seen from outside, in one binary.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees tests by their attribute, and not their helpers"
)]

mod audit;
mod config;
mod providers_faults;
mod providers_secrets;
mod providers_status;
mod providers_wire;
mod simulator;
mod stub;
