//! Counts of the writer's work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::error::StoreError;
use super::health::Health;
use super::{Entry, logs};

/// The upper bounds of a commit's duration, in seconds: from a write that does not wait for the disk
/// to one that another program's lock has held up.
const DURATIONS: [f64; 12] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5, 1.0, 2.5];
/// The upper bounds of a commit's rows.
const ROWS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0];

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

/// The metrics of committed transactions. A clone counts into the same ones.
#[derive(Clone, Debug)]
pub struct Commits {
    /// Their durations in seconds, including the wait for the disk.
    pub durations: Histogram,
    /// Their numbers of rows.
    pub rows: Histogram,
}

impl Default for Commits {
    fn default() -> Self {
        Self { durations: Histogram::new(DURATIONS), rows: Histogram::new(ROWS) }
    }
}

/// What the writer shows of itself.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) health: Health,
    transactions: AtomicU64,
    entries: AtomicU64,
    rows: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    foreign: AtomicU64,
    pub(super) commits: Commits,
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

    #[expect(clippy::cast_precision_loss, reason = "far fewer rows than 2^53")]
    pub(super) fn count_committed(&self, entries: usize, rows: u64, took: Duration) {
        self.commits.durations.observe(took.as_secs_f64());
        self.commits.rows.observe(rows as f64);
        // Ordering: Relaxed, as above. An answer is sent after its counts, and the channel orders
        // them: whoever has the answer sees them.
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}
