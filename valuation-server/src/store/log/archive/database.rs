//! The database that rows are moved from, for writing.

use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::refused::ArchiveError;
use crate::store::config::SqliteConfig;
use crate::store::error::StoreError;
use crate::store::location::Location;
use crate::store::log::audit_file;
use crate::store::log::log_tables::LogTable;
use crate::store::postgres::archiving::{PostgresArchiving, WholeMonth};
use crate::store::sql::{Sql, SqlError};
use crate::store::sqlite::open;

/// How long another program's lock is waited for.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(30);

/// SQLite's default: the commits of this command keep the write-ahead log short also without a server.
pub(super) const CHECKPOINT_PAGES: u32 = 1_000;

/// A connection that may delete rows.
#[derive(Debug)]
pub(super) struct Database {
    place: Location,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    File(Connection),
    Server(Box<PostgresArchiving>),
}

impl Database {
    /// Opens what was looked at.
    pub(super) fn open(place: &Location) -> Result<Self, ArchiveError> {
        let engine = match place {
            Location::File(path) => {
                let conn = open::next_writer(&SqliteConfig::new(path), LOCK_WAIT)
                    .map_err(|problem| StoreError::Open { place: path.into(), problem })?;
                conn.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| {
                    Ok(())
                })
                .map_err(|cause| ArchiveError::database(place, cause.into()))?;
                Engine::File(conn)
            }
            Location::Server(address) => {
                let server = PostgresArchiving::open(address);
                Engine::Server(Box::new(server.map_err(|problem| {
                    let place = place.clone();
                    StoreError::Open { place, problem }
                })?))
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
            Engine::Server(server) => {
                server.columns(table).map(|columns| LogTable::new(table, columns))
            }
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
            Engine::Server(server) => server.read(self.failed(), read),
        }
    }

    /// Deletes in a transaction that no other program deletes in, or not at all.
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
            Engine::Server(server) => server.write(self.failed(), write),
        }
    }

    /// The month that has the lowest row, if all its rows up to `cut` can be deleted as a whole. A file has none.
    pub(super) fn whole_month(
        &self,
        sql: &dyn Sql,
        cut: i64,
    ) -> Result<Option<WholeMonth>, ArchiveError> {
        match &self.engine {
            Engine::File(_) => Ok(None),
            Engine::Server(server) => server.whole_month(sql, cut).map_err(self.failed()),
        }
    }

    /// Limits how long a month is tried to be deleted as a whole.
    pub(super) fn limit_tries(&mut self, tries: Duration) {
        if let Engine::Server(server) = &mut self.engine {
            server.tries = tries;
        }
    }

    /// Deletes the rows of a month that `compare` has compared and counted, and gives their number; `None` if it can't be done as
    /// a whole now.
    pub(super) fn drop_month(
        &self,
        month: &WholeMonth,
        compare: impl FnOnce(&dyn Sql) -> Result<u64, ArchiveError>,
    ) -> Result<Option<u64>, ArchiveError> {
        match &self.engine {
            Engine::File(_) => Ok(None),
            Engine::Server(server) => server.drop_month(month, self.failed(), compare),
        }
    }
}
