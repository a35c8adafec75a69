//! SQLite as the writer's engine.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::runtime::Runtime;

use super::checkpoint::WalKeeper;
use super::foreign::ForeignCommits;
use super::identity::Opened;
use super::{batch, open, probe, valuations};
use crate::domain::{LogHead, Vrm};
use crate::store::StoreConfig;
use crate::store::chain;
use crate::store::config::SqliteConfig;
use crate::store::derived::Piece;
use crate::store::engine::{Engine, WriteError, Written};
use crate::store::error::{Cause, OpenProblem};
use crate::store::migration_mark;
use crate::store::queue::Job;
use crate::store::sql::{Sql, SqlError};

/// How long an unhealthy writer waits for another program's lock. Together with the interval of its tries it
/// is far below the second within which it must recover.
const IMPATIENT: Duration = Duration::from_millis(100);

/// The one connection that writes.
pub(in crate::store) struct SqliteEngine {
    conn: Connection,
    opened: Opened,
    file: SqliteConfig,
    lock_wait: Duration,
    wal: WalKeeper,
    foreign: ForeignCommits,
    page_limit: Option<u32>,
    /// A runtime of its own: the thread must neither depend on the server's runtime nor block it. `None` only
    /// while it is dropped.
    runtime: Option<Runtime>,
}

impl Drop for SqliteEngine {
    /// An engine that no writer has taken is dropped within the server's runtime, where an ordinary drop of
    /// another runtime panics.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl SqliteEngine {
    /// Opens the file, and creates or migrates it. The path must be absolute.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn open(file: &SqliteConfig, config: &StoreConfig) -> Result<Self, OpenProblem> {
        let conn = open::first_writer(file, config.lock_wait)?;
        migration_mark::serve(&conn)?;
        if let Some(head) = chain::end(&conn)? {
            config.newest_head.set(head);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Ok(Self {
            conn,
            opened: Opened::at(&file.path),
            wal: WalKeeper::new(file.wal_limit, config.lock_wait),
            foreign: ForeignCommits::default(),
            page_limit: None,
            runtime: Some(runtime.map_err(|cause| OpenProblem::Thread(Arc::new(cause)))?),
            file: file.clone(),
            lock_wait: config.lock_wait,
        })
    }

    /// The file that is open.
    pub(super) fn opened(&self) -> Opened {
        self.opened.clone()
    }

    /// The file may have been repaired, while the connection's cache and handles are those of the broken
    /// one. If it can't be opened, the old connection goes on trying.
    fn reopen(&mut self) {
        match open::next_writer(&self.file, IMPATIENT) {
            Ok(conn) => {
                self.conn = conn;
                // Versions of two connections can't be compared.
                self.foreign = ForeignCommits::default();
                self.limit_pages(self.page_limit);
            }
            Err(problem) => tracing::debug!(%problem, "the database cannot be opened anew"),
        }
    }
}

impl Engine for SqliteEngine {
    fn write(&mut self, jobs: &[Job]) -> Result<Written, WriteError> {
        Ok(batch::write(&mut self.conn, jobs)?)
    }

    fn transaction<T>(
        &mut self,
        write: impl FnOnce(&dyn Sql) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = write(&*tx)?;
        tx.commit()?;
        Ok(written)
    }

    fn forget(&mut self, vrm: &Vrm) -> Result<bool, SqlError> {
        Ok(valuations::delete(&self.conn, vrm)?)
    }

    fn catch_up(&mut self) -> Result<Piece, SqlError> {
        batch::catch_up(&mut self.conn)
    }

    fn has_head(&mut self, head: &LogHead) -> Result<bool, SqlError> {
        let record = chain::ending_with(&self.conn, head.last_id)?;
        Ok(record.is_some_and(|record| record.head == head.hash))
    }

    fn is_still_there(&mut self) -> Result<(), Cause> {
        self.opened.is_still_there()
    }

    fn probe(&mut self) -> Result<(), SqlError> {
        probe::probe(&mut self.conn).inspect_err(|_| self.reopen())
    }

    fn be_patient(&mut self, patient: bool) {
        let wait = if patient { self.lock_wait } else { IMPATIENT };
        // Fails only for a duration that SQLite can't represent, with which nothing was opened.
        if let Err(error) = self.conn.busy_timeout(wait) {
            tracing::warn!(%error, "the database's lock timeout cannot be set");
        }
    }

    fn outdated(&mut self) -> bool {
        self.foreign.any(&self.conn)
    }

    fn wait<T>(&mut self, future: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("only the drop takes it"),
        }
    }

    fn after_commit(&mut self) {
        self.wal.after_commit(&self.conn);
    }

    fn rest(&mut self) -> Result<(), SqlError> {
        if self.wal.is_unsettled() {
            self.wal.settle(&self.conn);
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.wal.settle(&self.conn);
    }

    fn limit_pages(&mut self, pages: Option<u32>) {
        self.page_limit = pages;
        // The default is SQLite's largest.
        let pages = pages.unwrap_or(u32::MAX - 1);
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        if let Err(error) = self.conn.pragma_update_and_check(None, "max_page_count", pages, set) {
            tracing::warn!(%error, "the database's size cannot be limited");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_without_a_writer_is_dropped_within_a_runtime() {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteConfig::new(folder.path().join("v.sqlite"));
        let config = StoreConfig::new(&file.path);
        drop(SqliteEngine::open(&file, &config).unwrap());
    }
}
