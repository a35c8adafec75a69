//! The readers: one connection per worker thread.
//!
//! A read takes two to three microseconds, less than handing it to another thread would, so it runs on
//! the caller's thread. Nothing is done to a connection between two reads.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use r2d2::{HandleError, ManageConnection, Pool};
use rusqlite::Connection;

use super::identity::Opened;
use super::{disk, open};
use crate::store::config::SqliteConfig;
use crate::store::error::{Cause, OpenProblem, StoreError};
use crate::store::failure::Failure;
use crate::store::reading::DiskUse;
use crate::store::sql::SqlError;
use crate::store::stats::Shared;

/// How long opening all readers may take. The pause between attempts to reopen one is at most half of
/// it.
const OPENING: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub(in crate::store) struct Readers {
    pool: Pool<Manager>,
    wait: Duration,
    path: Arc<Path>,
    shared: Arc<Shared>,
}

impl Readers {
    pub(in crate::store) fn open(
        file: &SqliteConfig,
        wait: Duration,
        opened: Opened,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenProblem> {
        let manager = Manager { path: file.path.clone(), opened, wait };
        let pool = Pool::builder()
            .max_size(file.readers.max(1))
            .test_on_check_out(false)
            // A connection that is closed loses its prepared statements.
            .max_lifetime(None)
            .idle_timeout(None)
            .connection_timeout(OPENING)
            .error_handler(Box::new(LogReaderErrors))
            .build(manager)
            .map_err(|error| OpenProblem::Sqlite(Arc::new(error)))?;
        Ok(Self { pool, wait, path: file.path.as_path().into(), shared })
    }

    /// Runs a read. If it fails, its connection is replaced, since a fault of the file may stay in the
    /// connection's cache. After a malformed page the writer is unhealthy too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if no reader is free in time, or the read fails.
    pub(in crate::store) fn read<T, E: Into<SqlError>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let mut reader = self.pool.get_timeout(self.wait).map_err(StoreError::unavailable)?;
        read(&reader.conn).map_err(|error| {
            let error = error.into();
            let failure = error.failure();
            reader.broken = failure != Failure::Locked;
            let cause = Cause::from(error);
            if failure == Failure::Damage {
                self.shared.health.failed(&cause, failure, &self.path.display());
            }
            StoreError::Unavailable(cause)
        })
    }

    /// The room that the file takes.
    pub(in crate::store) fn disk_use(&self) -> DiskUse {
        disk::of(&self.path)
    }
}

#[derive(Debug)]
struct Reader {
    conn: Connection,
    broken: bool,
}

#[derive(Debug)]
struct Manager {
    path: PathBuf,
    opened: Opened,
    wait: Duration,
}

impl ManageConnection for Manager {
    type Connection = Reader;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Reader> {
        // Another file under this name must not be opened: see `identity`.
        if let Err(elsewhere) = self.opened.is_still_there() {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            return Err(rusqlite::Error::SqliteFailure(code, Some(elsewhere.to_string())));
        }
        Ok(Reader { conn: open::reader(&self.path, self.wait, false)?, broken: false })
    }

    fn is_valid(&self, _: &mut Reader) -> rusqlite::Result<()> {
        Ok(())
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        reader.broken
    }
}

#[derive(Debug)]
struct LogReaderErrors;

impl<E: Error> HandleError<E> for LogReaderErrors {
    fn handle_error(&self, error: E) {
        tracing::warn!(%error, "a reader of the database cannot be opened");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers() -> (tempfile::TempDir, Readers) {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteConfig { readers: 1, ..SqliteConfig::new(folder.path().join("v.sqlite")) };
        open::first_writer(&file, Duration::ZERO).unwrap();
        let opened = Opened::at(&file.path);
        let readers = Readers::open(&file, Duration::ZERO, opened, Arc::default()).unwrap();
        (folder, readers)
    }

    fn failed(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    /// Marks a connection by one of its settings.
    fn mark(conn: &Connection) -> rusqlite::Result<()> {
        conn.pragma_update(None, "cache_size", 77)
    }

    fn is_marked(readers: &Readers) -> bool {
        // A replacement is opened by another thread, a moment later.
        let waiting = Readers { wait: Duration::from_secs(60), ..readers.clone() };
        let read = |conn: &Connection| {
            conn.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0))
        };
        waiting.read(read).unwrap() == 77
    }

    #[test]
    fn a_connection_whose_read_failed_is_replaced_and_one_that_met_a_lock_is_not() {
        let (_folder, readers) = readers();
        readers.read(mark).unwrap();
        for code in [rusqlite::ffi::SQLITE_BUSY, rusqlite::ffi::SQLITE_LOCKED] {
            readers.read(|_| Err::<(), _>(failed(code))).unwrap_err();
            assert!(is_marked(&readers));
        }
        readers.read(|_| Err::<(), _>(failed(rusqlite::ffi::SQLITE_IOERR))).unwrap_err();
        assert!(!is_marked(&readers));
    }

    #[test]
    fn a_read_that_finds_no_free_reader_is_an_error_and_no_hang() {
        let (_folder, readers) = readers();
        let nothing = |_: &Connection| Ok::<_, rusqlite::Error>(());
        let inner = readers.read(|_| Ok::<_, rusqlite::Error>(readers.read(nothing))).unwrap();
        assert!(matches!(inner, Err(StoreError::Unavailable(_))), "{inner:?}");
        readers.read(nothing).unwrap();
    }
}
