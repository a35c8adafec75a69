//! Counts of the writer's work.

use std::sync::atomic::{AtomicU64, Ordering};

use super::health::Health;

/// What the writer has done and has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// Transactions committed for entries.
    pub transactions: u64,
    /// Entries committed.
    pub entries: u64,
    /// Rows committed: log rows, and valuations that were not there yet.
    pub rows: u64,
    /// Entries that could not be stored when they came.
    pub failed: u64,
    /// Places of the queue that are taken: entries that wait, and reservations.
    pub waiting: usize,
    /// Places of the queue.
    pub capacity: usize,
}

/// What the writer shows of itself.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) health: Health,
    transactions: AtomicU64,
    entries: AtomicU64,
    rows: AtomicU64,
    failed: AtomicU64,
}

impl Shared {
    /// The counts, beside the queue's state.
    pub(super) fn stats(&self, waiting: usize, capacity: usize) -> StoreStats {
        // Ordering: Relaxed. Each counter is only ever read for itself.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            transactions: read(&self.transactions),
            entries: read(&self.entries),
            rows: read(&self.rows),
            failed: read(&self.failed),
            waiting,
            capacity,
        }
    }

    pub(super) fn count_failed(&self, entries: u64) {
        // Ordering: Relaxed. Each counter is only ever read for itself.
        self.failed.fetch_add(entries, Ordering::Relaxed);
    }

    pub(super) fn count_committed(&self, entries: usize, rows: u64) {
        // Ordering: Relaxed, as above. An answer is sent after its counts, and the channel orders
        // them: whoever has the answer sees them.
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}
