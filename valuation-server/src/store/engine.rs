//! What the writer needs of a database engine.

use super::derived::Piece;
use super::error::Cause;
use super::queue::{Job, StoredValuation};
use super::sql::{Sql, SqlError};
use crate::domain::{LogHead, Vrm};

/// The writer's connection to a database, and what its engine alone knows. All calls are of the writer's
/// thread, and block it.
pub(super) trait Engine: Send + 'static {
    /// Stores all entries in one transaction, or none.
    ///
    /// # Errors
    /// [`WriteError`] says whether they may be stored.
    fn write(&mut self, jobs: &[Job]) -> Result<Written, WriteError>;

    /// Runs a write in a transaction of its own.
    ///
    /// # Errors
    /// That of `write`, or of the commit.
    fn transaction<T>(
        &mut self,
        write: impl FnOnce(&dyn Sql) -> Result<T, SqlError>,
    ) -> Result<T, SqlError>;

    /// Deletes the valuation of a vehicle, and says whether there was one, after the commit.
    ///
    /// # Errors
    /// Nothing is deleted.
    fn forget(&mut self, vrm: &Vrm) -> Result<bool, SqlError>;

    /// Derives from the first rows that are not in the rollups or in the hash chain.
    ///
    /// # Errors
    /// Nothing is derived.
    fn catch_up(&mut self) -> Result<Piece, SqlError>;

    /// Whether a batch in doubt was committed: its head is in the chain. The answer is final: no
    /// transaction of a broken connection may commit afterwards.
    ///
    /// # Errors
    /// It is not known yet.
    fn has_head(&mut self, head: &LogHead) -> Result<bool, SqlError>;

    /// Whether the database is where it was opened.
    ///
    /// # Errors
    /// What became of it.
    fn is_still_there(&mut self) -> Result<(), Cause> {
        Ok(())
    }

    /// Does what the next transaction will need. If that fails, the connection is replaced for the next
    /// try.
    ///
    /// # Errors
    /// The database can't store.
    fn probe(&mut self) -> Result<(), SqlError>;

    /// How long writes wait for the locks of others: the configured time, or a short one while the writer
    /// is unhealthy.
    fn be_patient(&mut self, patient: bool);

    /// Whether other programs may have changed rows since the last call, as far as is known now. It is
    /// called often.
    fn outdated(&mut self) -> bool;

    /// Blocks the thread until the future is ready. Time-outs of tokio work in it.
    fn wait<T>(&mut self, future: impl Future<Output = T>) -> T;

    /// The work after a commit and its answers.
    fn after_commit(&mut self) {}

    /// The work of a quiet time.
    ///
    /// # Errors
    /// The database can't store.
    fn rest(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    /// The last work before the end.
    fn settle(&mut self) {}

    /// For tests: limits the database to this many pages, if it has any.
    fn limit_pages(&mut self, _pages: Option<u32>) {}
}

/// The result of a batch.
pub(super) struct Written {
    /// For each of its entries, in order, the stored valuation.
    pub(super) stored: Vec<StoredValuation>,
    /// The rows it wrote, without those that are derived.
    pub(super) rows: u64,
    /// The new head of the chain, if the log rows are sealed.
    pub(super) head: Option<LogHead>,
}

/// Why a batch is not known to be stored.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Nothing is stored.
    Failed(SqlError),
    /// The connection broke during the commit: all is stored, with this head of the chain, or nothing. A
    /// batch without calls is never in doubt, since storing it again changes nothing.
    InDoubt(SqlError, LogHead),
}

impl<E: Into<SqlError>> From<E> for WriteError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
