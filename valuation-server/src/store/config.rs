//! Where the database is, and how it is used.

use std::path::PathBuf;
use std::time::Duration;

/// Where the database is, and how much it may take.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The file; created when missing, its folder is not.
    pub path: PathBuf,
    /// How many reads can be made at once: one a worker thread. Zero counts as one.
    pub readers: u32,
    /// How many entries may wait for the writer. Zero counts as one.
    pub queue: usize,
    /// How many entries a transaction takes at most. Zero counts as one.
    pub batch: usize,
    /// How long a caller waits for room in the queue.
    pub queue_wait: Duration,
    /// How long a read waits for a reader, or for another program's lock.
    pub read_wait: Duration,
    /// How long a write waits for another program's lock. Longer than a transaction of another
    /// program should take: what comes after it is refused.
    pub lock_wait: Duration,
    /// For how long, at the end, what could not be stored when it came is tried again.
    pub last_tries: Duration,
    /// What an answered commit survives.
    pub durability: Durability,
    /// The size in bytes that the write-ahead log is cut back to.
    pub wal_limit: u64,
}

impl StoreConfig {
    /// The defaults: 4 readers, 1,024 entries may wait, up to 256 a transaction, waits of 2 s
    /// (queue), 5 s (another program's lock) and 250 ms (reads), 4 s of last tries, full durability, 16 MiB of write-ahead log.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 4,
            queue: 1024,
            batch: 256,
            queue_wait: Duration::from_secs(2),
            read_wait: Duration::from_millis(250),
            lock_wait: Duration::from_secs(5),
            last_tries: Duration::from_secs(4),
            durability: Durability::Full,
            wal_limit: 16 << 20,
        }
    }
}

/// What an answered commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power loss (`synchronous=FULL`: every commit waits for the disk).
    #[default]
    Full,
    /// The end of the process, but perhaps not a power loss (`synchronous=NORMAL`).
    Normal,
}
