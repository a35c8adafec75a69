//! Counts of the writer's work.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::error::StoreError;
use super::health::Health;
use super::{Entry, logs};

/// The upper bounds of a commit's duration, in seconds: from a write that does not wait for the disk
/// to one that waited for another program's lock.
const DURATIONS: [f64; 12] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5, 1.0, 2.5];
/// The upper bounds of a commit's number of rows.
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0];

/// Counts of the writer's work. Clones share them.
#[derive(Clone, Debug)]
pub struct StoreStats {
    /// Transactions committed for entries.
    pub transactions: Counter,
    /// Their durations in seconds, including the wait for the disk.
    pub durations: Histogram,
    /// Their numbers of rows.
    pub sizes: Histogram,
    /// Entries committed.
    pub entries: Counter,
    /// Rows committed: log rows, and valuations of vehicles that had none.
    pub rows: Counter,
    /// Entries that could not be stored at once.
    pub failed: Counter,
}

impl Default for StoreStats {
    fn default() -> Self {
        Self {
            transactions: Counter::default(),
            durations: Histogram::new(DURATIONS),
            sizes: Histogram::new(SIZES),
            entries: Counter::default(),
            rows: Counter::default(),
            failed: Counter::default(),
        }
    }
}

/// What the writer shows of itself.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) health: Health,
    pub(super) stats: StoreStats,
    /// Calls that are in the server's log alone.
    pub(super) lost: Counter,
    /// How many times rows that were read before may have changed: commits of other programs were found,
    /// or a valuation was deleted.
    pub(super) outdated: Counter,
}

impl Shared {
    /// Gives an entry up: its calls go to the server's log.
    pub(super) fn lose(&self, entry: &Entry, error: &StoreError) {
        self.lost.inc_by(entry.calls.len() as u64);
        logs::report_lost(entry, error);
    }

    /// An answer is sent after its counts, and the channel orders them, so that a caller that has its
    /// answer sees the counts.
    #[expect(clippy::cast_precision_loss, reason = "far fewer rows than 2^53")]
    pub(super) fn count_committed(&self, entries: usize, rows: u64, took: Duration) {
        self.stats.durations.observe(took.as_secs_f64());
        self.stats.sizes.observe(rows as f64);
        self.stats.transactions.inc();
        self.stats.entries.inc_by(entries as u64);
        self.stats.rows.inc_by(rows);
    }

    /// Counts a batch that was committed, although its connection broke before that was known. How long it
    /// took, and which valuations it stored, nobody knows.
    pub(super) fn count_found(&self, entries: &[Entry]) {
        self.stats.transactions.inc();
        self.stats.entries.inc_by(entries.len() as u64);
        self.stats.rows.inc_by(entries.iter().map(|entry| entry.calls.len() as u64).sum());
    }
}
