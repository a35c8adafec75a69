//! One file of a log: a database of this server, or an archive, opened for reading alone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::error::{OpenProblem, StoreError};
use super::id_ranges::Ids;
use super::log_tables::LogTable;
use super::sqlite::look::Siblings;
use super::sqlite::{open, schema};

/// How long a read waits for another program's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A file.
#[derive(Debug)]
pub(super) struct AuditFile {
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
}

/// One state of a file.
#[derive(Debug)]
pub(super) struct FileSnapshot<'a> {
    pub(super) tx: Transaction<'a>,
    pub(super) path: &'a Path,
    /// The lowest and the highest id in it.
    pub(super) ends: Option<(i64, i64)>,
}

/// A connection to a file with a log, and the version of its schema.
pub(super) fn open(path: &Path) -> Result<(Connection, i32), OpenProblem> {
    open::look_at_the_path(path)?;
    match path.metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(OpenProblem::NoFile),
        Err(error) => return Err(OpenProblem::Denied(Arc::new(error))),
    }
    let conn = connect(path)?;
    match schema::inspect(&conn)? {
        0 => Err(OpenProblem::NoLog),
        version => Ok((conn, version)),
    }
}

/// As one more reader, so that a server may start and write during a long report. A log that a killed server
/// left stays where it is, and a file that can't be written, such as one on a read-only disk, is read as it
/// is.
fn connect(path: &Path) -> Result<Connection, OpenProblem> {
    loop {
        let siblings = Siblings::at(path);
        // Without shared memory the log could only be read unchanged under a lock that keeps a server from
        // starting.
        if !siblings.wal || !siblings.shm {
            match open::reader(path, LOCK_WAIT, siblings.wal).map_err(OpenProblem::from) {
                Err(OpenProblem::ReadOnly | OpenProblem::Denied(_)) => {}
                opened => return opened,
            }
        }
        if let Some(opened) = siblings.connect(path) {
            return opened;
        }
    }
}

impl AuditFile {
    /// Opens the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = open::absolute(path)?;
        match open(&path) {
            Ok((conn, _)) => Ok(Self { path, conn }),
            Err(problem) => Err(StoreError::Open { path, problem }),
        }
    }

    /// Whether both are the same file, by whatever names.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        resolved(&self.path) == resolved(&other.path)
    }

    /// The file as it is now.
    pub(super) fn snapshot(&mut self) -> Result<FileSnapshot<'_>, StoreError> {
        let Self { path, conn } = self;
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(StoreError::unavailable)?;
        // The first read is what fixes the state.
        let ends =
            LogTable::rows(&tx).and_then(|rows| rows.ends(&tx)).map_err(StoreError::unavailable)?;
        Ok(FileSnapshot { tx, path, ends })
    }
}

impl FileSnapshot<'_> {
    /// The lowest of these ids whose rows are not the same in both files, in the columns that both have.
    pub(super) fn difference(&self, other: &Self, ids: Ids) -> rusqlite::Result<Option<i64>> {
        let rows = LogTable::rows(&self.tx)?.common(&LogTable::rows(&other.tx)?);
        rows.difference(&self.tx, &other.tx, ids)
    }

    /// The highest id that a row was ever given.
    pub(super) fn last_given_id(&self) -> rusqlite::Result<i64> {
        let highest = self.ends.map_or(0, |(_, last)| last);
        if !schema::has_table(&self.tx, "sqlite_sequence")? {
            return Ok(highest);
        }
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'ProviderLogs'";
        let given: Option<i64> = self.tx.query_row(sql, [], |row| row.get(0)).optional()?;
        Ok(highest.max(given.unwrap_or(0)))
    }
}
