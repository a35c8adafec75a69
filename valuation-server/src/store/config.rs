//! The configuration of the store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::location::Location;
use super::postgres::address::PostgresAddress;
use crate::domain::NewestHead;

/// The configuration of the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The database.
    pub backend: Backend,
    /// The maximum number of entries that wait for the writer. Zero counts as one.
    pub queue: usize,
    /// The maximum number of entries in a transaction. Zero counts as one.
    pub batch: usize,
    /// How long a caller waits for room in the queue.
    pub queue_wait: Duration,
    /// How long a read waits for a reader, or for another program's lock.
    pub read_wait: Duration,
    /// How long a write waits for another program's lock: longer than any transaction of it should take.
    /// Then entries are rejected.
    pub lock_wait: Duration,
    /// How long deferred entries are tried again at the end.
    pub last_tries: Duration,
    /// Where the newest committed head of the log's hash chain is shown.
    pub newest_head: NewestHead,
}

impl StoreConfig {
    /// The defaults for a file: those of [`SqliteConfig::new`] and [`StoreConfig::at`].
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::at(Backend::Sqlite(SqliteConfig::new(path)))
    }

    /// The defaults: 1,024 waiting entries, 256 per transaction, waits of 2 s (queue), 5 s (another
    /// program's lock) and 250 ms (reads; 2 s on PostgreSQL, where one may have to connect), 4 s of last tries.
    #[must_use]
    pub fn at(backend: Backend) -> Self {
        let read_wait = match &backend {
            Backend::Sqlite(_) => Duration::from_millis(250),
            Backend::Postgres(_) => Duration::from_secs(2),
        };
        Self {
            backend,
            read_wait,
            queue: 1024,
            batch: 256,
            queue_wait: Duration::from_secs(2),
            lock_wait: Duration::from_secs(5),
            last_tries: Duration::from_secs(4),
            newest_head: NewestHead::default(),
        }
    }
}

/// A database, and what its engine alone has. As text it shows no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Backend {
    /// A file of SQLite.
    Sqlite(SqliteConfig),
    /// A database of PostgreSQL.
    Postgres(PostgresConfig),
}

impl Backend {
    /// Where it is.
    #[must_use]
    pub fn location(&self) -> Location {
        match self {
            Self::Sqlite(file) => Location::File(file.path.clone()),
            Self::Postgres(server) => server.address.clone().into(),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.path.display().fmt(f),
            Self::Postgres(server) => server.address.fmt(f),
        }
    }
}

/// The configuration of a database of PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Where it is, with the credentials.
    pub address: PostgresAddress,
    /// The maximum number of connections: one that writes, one for a report, all others read. Fewer than three
    /// count as three.
    pub connections: u32,
    /// The name of this server among those that share the database: its notes are its own.
    pub node: String,
}

/// The configuration of a file.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The file. It is created if it is missing, unlike its folder.
    pub path: PathBuf,
    /// The number of concurrent reads: one per worker thread. Zero counts as one.
    pub readers: u32,
    /// What an answered commit survives.
    pub durability: Durability,
    /// The size in bytes above which the write-ahead log is truncated.
    pub wal_limit: u64,
}

impl SqliteConfig {
    /// The defaults: 4 readers, full durability, 16 MiB of write-ahead log.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), readers: 4, durability: Durability::Full, wal_limit: 16 << 20 }
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
