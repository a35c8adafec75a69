//! One file of a log: a database of this server, or an archive, opened for reading alone.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::log_tables::LogTable;
use super::rows::Optional;
use crate::store::error::{OpenProblem, StoreError};
use crate::store::sql::{Sql, SqlError, ValueRef};
use crate::store::sqlite::look::Siblings;
use crate::store::sqlite::{open, schema};

/// How long a read waits for another program's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A file.
#[derive(Debug)]
pub(in crate::store) struct AuditFile {
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) conn: Connection,
    pub(in crate::store) schema_version: i32,
    opened: Option<Place>,
}

/// What tells whether a connection still reads what is at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    /// A file without one is read as one that nothing changes, if this user may not write it.
    has_wal: bool,
}

impl Place {
    fn at(path: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        let has_wal = open::beside(path, "-wal").exists();
        Some(Self { device: found.dev(), inode: found.ino(), has_wal })
    }
}

/// A connection to a file with a log, and the version of its schema.
pub(in crate::store) fn open(path: &Path) -> Result<(Connection, i32), OpenProblem> {
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
    pub(in crate::store) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = open::absolute(path)?;
        match open(&path) {
            Ok((conn, schema_version)) => {
                let opened = Place::at(&path);
                Ok(Self { path, conn, schema_version, opened })
            }
            Err(problem) => Err(StoreError::Open { place: path.into(), problem }),
        }
    }

    /// Refuses an archive.
    pub(super) fn must_be_database(&self) -> Result<(), StoreError> {
        if schema::is_archive(&self.conn).map_err(StoreError::unavailable)? {
            let (path, problem) = (self.path.clone(), OpenProblem::Archive);
            return Err(StoreError::Open { place: path.into(), problem });
        }
        Ok(())
    }

    /// Whether both are the same file, by whatever names.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        resolved(&self.path) == resolved(&other.path)
    }

    /// Whether the same file is still at its path.
    pub(super) fn is_current(&self) -> bool {
        self.opened.is_some() && self.opened == Place::at(&self.path)
    }

    /// A number that changes with each commit of another connection.
    pub(super) fn version(&self) -> Result<i64, SqlError> {
        Ok(self.conn.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// A read transaction. Its first read fixes the state.
    pub(super) fn snapshot(&mut self) -> Result<Transaction<'_>, SqlError> {
        Ok(self.conn.transaction_with_behavior(TransactionBehavior::Deferred)?)
    }
}

/// Whether there is a table of this name.
pub(super) fn has_table(conn: &Connection, name: &str) -> Result<bool, SqlError> {
    Ok(schema::has_table(conn, name)?)
}

/// One of the log's tables, with the columns that it has in this file.
pub(super) fn table(
    conn: &Connection,
    (name, key): (&'static str, &'static str),
) -> Result<LogTable, SqlError> {
    let select = "SELECT name FROM pragma_table_info($1) ORDER BY name <> $2";
    let values = [name, key].map(ValueRef::from);
    let sql: &dyn Sql = conn;
    let columns = sql.all(select, &values, |row| Ok(row.text(0)?.to_owned()))?;
    Ok(LogTable::new((name, key), columns))
}

/// Which columns there are that a file of an earlier version, which nothing may change here, is without.
pub(super) fn optional_columns(conn: &Connection) -> Result<Optional, SqlError> {
    let select = "SELECT 1 FROM pragma_table_info('ProviderLogs') WHERE name = $1";
    let sql: &dyn Sql = conn;
    let has = |name: &str| {
        Ok::<_, SqlError>(sql.first(select, &[ValueRef::from(name)], |_| Ok(()))?.is_some())
    };
    Ok(Optional { outcome: has("outcome")?, rescue: has("rescue")? })
}

/// The highest id that SQLite keeps as given; `None` if somebody removed it, or made it something else.
pub(in crate::store) fn recorded_id(conn: &Connection) -> Result<Option<i64>, SqlError> {
    if !has_table(conn, "sqlite_sequence")? {
        return Ok(None);
    }
    let select = "SELECT seq FROM sqlite_sequence WHERE name = 'ProviderLogs'";
    let sql: &dyn Sql = conn;
    Ok(sql.first(select, &[], |row| Ok(row.value(0)?.as_i64().ok()))?.flatten())
}
