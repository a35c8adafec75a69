//! Counts of the writer's work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::StoreError;
use super::health::Health;
use super::{Entry, logs};
use crate::histogram::{Histogram, Reading};

/// The ends of the ranges of a commit's duration, in nanoseconds: from a write that no disk waits
/// for to one that another program's lock has held up.
const DURATIONS: [u64; 12] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
];
/// The ends of the ranges of a commit's rows.
const ROWS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 256, 1_024];

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

/// What committed transactions were like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commits {
    /// How long they took, the wait for the disk included, in nanoseconds.
    pub durations: Reading,
    /// How many rows each had.
    pub rows: Reading,
}

/// What the writer shows of itself.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) health: Health,
    transactions: AtomicU64,
    entries: AtomicU64,
    rows: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    foreign: AtomicU64,
    commit_durations: Histogram<12>,
    commit_rows: Histogram<9>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            health: Health::default(),
            transactions: AtomicU64::default(),
            entries: AtomicU64::default(),
            rows: AtomicU64::default(),
            failed: AtomicU64::default(),
            lost: AtomicU64::default(),
            foreign: AtomicU64::default(),
            commit_durations: Histogram::new(&DURATIONS),
            commit_rows: Histogram::new(&ROWS),
        }
    }
}

impl Shared {
    pub(super) fn commits(&self) -> Commits {
        Commits { durations: self.commit_durations.read(), rows: self.commit_rows.read() }
    }

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

    /// Gives an entry up: its calls go to the server's log.
    pub(super) fn lose(&self, entry: &Entry, error: &StoreError) {
        // Ordering: Relaxed, as above.
        self.lost.fetch_add(entry.calls.len() as u64, Ordering::Relaxed);
        logs::report_lost(entry, error);
    }

    /// How many calls were given up.
    pub(super) fn lost(&self) -> u64 {
        // Ordering: Relaxed, as above. The writer's thread is joined before its last ones are read.
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts a look that found commits of other programs.
    pub(super) fn count_foreign(&self) {
        // Ordering: Relaxed, as above. A reader that sees it late reads the old row for as long.
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// How many looks found commits of other programs.
    pub(super) fn foreign(&self) -> u64 {
        // Ordering: Relaxed, as above.
        self.foreign.load(Ordering::Relaxed)
    }

    pub(super) fn count_committed(&self, entries: usize, rows: u64, took: Duration) {
        self.commit_durations.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.commit_rows.add(rows);
        // Ordering: Relaxed, as above. An answer is sent after its counts, and the channel orders
        // them: whoever has the answer sees them.
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}
