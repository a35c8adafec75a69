//! The one door for atomics: std's, or loom's where loom checks every interleaving.

#[cfg(not(failover_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(failover_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};

/// A number of the policy's: set before threads share it, and again only between two uses. Loom
/// need not try every order of reading it.
pub(crate) use std::sync::atomic::AtomicU64 as Setting;
