//! The one door for atomics and locks: std's, or loom's where loom checks every interleaving.

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

/// A number of the policy's: set before threads share it, and again only between two epochs; or one
/// that a single thread writes and reads. Loom need not try every order of reading it.
pub(crate) use std::sync::atomic::AtomicU64 as Setting;
