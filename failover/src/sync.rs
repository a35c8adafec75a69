//! The one door for atomics: std's, or loom's where loom checks every interleaving.

#[cfg(not(failover_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(failover_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
