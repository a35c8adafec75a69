//! The atomics and locks of the engine: std's, or loom's when loom checks every interleaving.

#[cfg(not(failover_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(failover_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(not(failover_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(failover_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};

pub(crate) use std::sync::PoisonError;

#[cfg(not(failover_loom))]
pub(crate) use std::thread::yield_now;

#[cfg(failover_loom)]
pub(crate) use loom::thread::yield_now;

/// A number that is set before threads share it, and later only between two epochs; or one that a
/// single thread writes and reads. Loom does not have to interleave its reads.
pub(crate) use std::sync::atomic::AtomicU64 as Setting;
