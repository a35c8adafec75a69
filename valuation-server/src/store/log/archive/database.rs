//! The database that rows are moved from, for writing.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::refused::ArchiveError;
use crate::store::config::SqliteConfig;
use crate::store::error::StoreError;
use crate::store::log::audit_file;
use crate::store::log::log_tables::LogTable;
use crate::store::log_place::LogPlace;
use crate::store::sql::{Sql, SqlError};
use crate::store::sqlite::open;

/// How long another program's lock is waited for.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(30);

/// SQLite's default: the commits of this command keep the write-ahead log short also without a server.
pub(super) const CHECKPOINT_PAGES: u32 = 1_000;

/// A connection that may delete rows.
#[derive(Debug)]
pub(super) struct Database {
    place: LogPlace,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    File(Connection),
}

impl Database {
    /// Opens what was looked at.
    pub(super) fn open(place: &LogPlace) -> Result<Self, ArchiveError> {
        let engine = match place {
            LogPlace::File(path) => {
                let conn = open::next_writer(&SqliteConfig::new(path), LOCK_WAIT)
                    .map_err(|problem| StoreError::Open { path: path.clone(), problem })?;
                conn.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| {
                    Ok(())
                })
                .map_err(|cause| ArchiveError::database(place, cause.into()))?;
                Engine::File(conn)
            }
        };
        Ok(Self { place: place.clone(), engine })
    }

    fn failed(&self) -> impl Fn(SqlError) -> ArchiveError {
        |cause| ArchiveError::database(&self.place, cause)
    }

    /// One of the log's tables, with its columns.
    pub(super) fn table(
        &self,
        table: (&'static str, &'static str),
    ) -> Result<LogTable, ArchiveError> {
        match &self.engine {
            Engine::File(conn) => audit_file::table(conn, table),
        }
        .map_err(self.failed())
    }

    /// Reads one state.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&dyn Sql) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        match &self.engine {
            Engine::File(conn) => {
                let tx =
                    conn.unchecked_transaction().map_err(|cause| self.failed()(cause.into()))?;
                read(&*tx)
            }
        }
    }

    /// Writes in a transaction that no other program writes in, or not at all.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&dyn Sql) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        match &self.engine {
            Engine::File(conn) => {
                let failed = |cause: rusqlite::Error| self.failed()(cause.into());
                let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
                    .map_err(failed)?;
                let written = write(&*tx)?;
                tx.commit().map_err(failed)?;
                Ok(written)
            }
        }
    }
}
