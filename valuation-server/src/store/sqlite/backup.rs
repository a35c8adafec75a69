//! A copy of the database, next to a running server.
//!
//! SQLite's backup starts again whenever another process has written between two of its steps, so that next to a
//! busy server it would not end. Here the connection that it reads holds one read transaction from before the
//! first step to the last: the copy is of one moment, and no step starts again. Writes go on meanwhile. Only the
//! write-ahead log can't start again, and grows by what is written in this time.

use std::ffi::c_int;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, ffi};

use super::{look, open};
use crate::store::audit_file::AuditFile;
use crate::store::error::StoreError;
use crate::store::failure::Failure;
use crate::store::log::log_tables::quoted;

/// How many pages a step copies: with pages of 4 KiB four megabytes.
const STEP: c_int = 1_024;

/// What was copied, and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The size in bytes.
    pub bytes: u64,
    /// The schema's version.
    pub version: i32,
    /// The tables, and how many rows each has.
    pub tables: Vec<(String, u64)>,
}

/// Why there is no copy.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The database can't be read.
    #[error(transparent)]
    Source(#[from] StoreError),
    /// The copy can't be written.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        cause: Arc<rusqlite::Error>,
    },
    /// The copy is not what was read.
    #[error(
        "the copy is not usable ({0}); check the database with `check`, and the disk of the copy"
    )]
    Verification(String),
    /// It was stopped.
    #[error("interrupted")]
    Stopped,
}

/// Copies the database at `source` into the empty file at `target`, and verifies the copy: SQLite's
/// `integrity_check`, the same schema, and as many rows of each table as the copied state of the database had.
/// `step` is called with the pages that are copied and all pages, and may stop it.
///
/// After an error the file's content is of no use. It is on the disk only after an `fsync`, which is the
/// caller's.
///
/// # Errors
/// [`BackupError`].
pub fn backup(
    source: &Path,
    target: &Path,
    mut step: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<BackedUp, BackupError> {
    let source = AuditFile::open(source)?.conn;
    let source = Transaction::new_unchecked(&source, TransactionBehavior::Deferred)
        .map_err(StoreError::unavailable)?;
    // The first read begins the read transaction.
    let expected = contents(&source).map_err(StoreError::unavailable)?;
    let target = open::absolute(target)?;
    copy(&source, &target, &mut step)?;
    // The write-ahead log may start again from here on.
    drop(source);
    let found = verified(&target)?;
    if found != expected {
        return Err(BackupError::Verification("its rows are not those of the database".to_owned()));
    }
    let bytes = target.metadata().map_err(StoreError::unavailable)?.len();
    let tables = found.tables.into_iter().map(|(name, rows, _)| (name, rows)).collect();
    Ok(BackedUp { bytes, version: found.version, tables })
}

fn copy(
    source: &Connection,
    target: &Path,
    step: &mut impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<(), BackupError> {
    let failed = |cause: rusqlite::Error| {
        let path = target.to_owned();
        BackupError::Write { path, cause: Arc::new(cause) }
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(target, flags).map_err(failed)?;
    // A copy that fails is deleted, so that it needs no journal; and the whole of it is synced at the end.
    copy.pragma_update_and_check(None, "journal_mode", "off", |_| Ok(())).map_err(failed)?;
    copy.pragma_update(None, "synchronous", "off").map_err(failed)?;
    let backup = Backup::new(source, &mut copy).map_err(failed)?;
    loop {
        let stepped = backup.step(STEP).map_err(|cause| match is_about_reading(&cause) {
            true => StoreError::unavailable(cause).into(),
            false => failed(cause),
        })?;
        let progress = backup.progress();
        let pages = |count: c_int| u64::try_from(count).unwrap_or(0);
        let all = pages(progress.pagecount);
        if step(all - pages(progress.remaining).min(all), all).is_break() {
            return Err(BackupError::Stopped);
        }
        match stepped {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Nobody else knows the file, and this connection's transaction writes nothing.
            other => {
                return Err(BackupError::Verification(format!("SQLite's backup is {other:?}")));
            }
        }
    }
}

/// Whether a step failed at the source: nothing is read from a copy.
fn is_about_reading(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    Failure::of(error) == Failure::Damage
        || matches!(extended, Some(ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ))
}

/// What a copy must have in common with its original.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    version: i32,
    /// Name, rows and SQL of each table.
    tables: Vec<(String, u64, String)>,
    /// The SQL of what else there is, such as indexes.
    others: Vec<String>,
}

fn contents(conn: &Connection) -> rusqlite::Result<Contents> {
    let version = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let of = |condition: &str| -> rusqlite::Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE {condition} ORDER BY name"
        );
        conn.prepare(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let mut tables = Vec::new();
    for (name, sql) in of("type = 'table' AND rootpage > 0")? {
        let count = format!("SELECT count(*) FROM {}", quoted(&name));
        let rows: i64 = conn.query_row(&count, [], |row| row.get(0))?;
        tables.push((name, u64::try_from(rows).unwrap_or(0), sql));
    }
    let others = of("type <> 'table'")?.into_iter().map(|(_, sql)| sql).collect();
    Ok(Contents { version, tables, others })
}

fn verified(path: &Path) -> Result<Contents, BackupError> {
    let wrong = |error: &dyn std::fmt::Display| BackupError::Verification(error.to_string());
    // As a file that nothing changes: SQLite leaves no files of its own next to it.
    let conn = look::connect(path).map_err(|error| wrong(&error))?;
    let found: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| wrong(&error))?;
    if found != "ok" {
        return Err(wrong(&found));
    }
    contents(&conn).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_at_the_source_is_told_from_one_at_the_copy() {
        let is_about_reading =
            |code| is_about_reading(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_CORRUPT] {
            assert!(is_about_reading(code), "{code}");
        }
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_READONLY] {
            assert!(!is_about_reading(code), "{code}");
        }
    }
}
