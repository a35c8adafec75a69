//! Behaviour seen from outside, in one binary.
#![allow(clippy::unwrap_used, reason = "the helpers of tests panic as the tests do")]

mod store_files;
mod store_health;
mod store_older_service;
mod store_support;
mod store_writer;
