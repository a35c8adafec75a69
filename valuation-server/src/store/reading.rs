//! What is read of the database. Each engine has readers of its own.
//!
//! A file is read on the caller's thread, in the first poll: that takes microseconds, less than handing it to
//! another thread would.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::ops::Range;
use std::pin::Pin;
use std::time::SystemTime;

use futures_util::future::Either;

use super::derived::{self, DerivedState};
use super::error::{Cause, StoreError};
use super::history::{self, HistoryRow, Span};
use super::logs::{self, LoggedCall};
use super::notes::{self, Note};
use super::sql::{Sql, SqlError};
use super::sqlite::valuations;
use super::{Store, postgres, sqlite};
use crate::domain::{Counts, Valuation, Vrm};

/// The readers of the database's engine.
#[derive(Clone, Debug)]
pub(super) enum Readers {
    Sqlite(sqlite::Readers),
    Postgres(postgres::readers::Readers),
}

impl Readers {
    /// Why reads find no connection, as far as is known. A file's readers have theirs.
    pub(super) fn trouble(&self) -> Option<Cause> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(readers) => readers.trouble(),
        }
    }
}

/// The future of [`Store::find`]: ready at once for a file, which costs no allocation.
pub type Find<'a> = Either<Ready<Found>, Pin<Box<dyn Future<Output = Found> + Send + 'a>>>;
type Found = Result<Option<Valuation>, StoreError>;

/// The room that the database takes, and what is left, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// The database with its write-ahead log. Zero if it can't be looked at.
    pub database: u64,
    /// What its file system has left for this user; `None` if that is not known.
    pub free: Option<u64>,
}

impl Store {
    /// The stored valuation of a vehicle. A file is read on the caller's thread, in microseconds, before
    /// the future is returned.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if its row makes no sense, [`StoreError::Unavailable`] if it
    /// can't be read, after [`StoreConfig::read_wait`](super::StoreConfig::read_wait) at the latest.
    pub fn find(&self, vrm: &Vrm) -> Find<'_> {
        match &self.readers {
            Readers::Sqlite(readers) => {
                let found = readers.read(|conn| valuations::find(conn, vrm));
                Either::Left(ready(found.and_then(|found| found)))
            }
            Readers::Postgres(readers) => {
                let vrm = vrm.clone();
                Either::Right(Box::pin(async move { readers.find(&vrm).await }))
            }
        }
    }

    /// The newest `limit` rows of `ProviderLogs`, for one vehicle or all, in ascending order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if they can't be read.
    pub async fn calls(
        &self,
        vrm: Option<&Vrm>,
        limit: u32,
    ) -> Result<Vec<LoggedCall>, StoreError> {
        let vrm = vrm.cloned();
        self.read(move |sql| logs::newest(sql, vrm.as_ref(), limit)).await
    }

    /// The text that was saved under `name`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub async fn noted(&self, name: &'static str) -> Result<Option<Note>, StoreError> {
        let name = self.own(name);
        self.read(move |sql| notes::find(sql, &name)).await
    }

    /// How far the rollups and the hash chain are; `None` if somebody deleted the mark of the rollups, so that
    /// they can't be built or used. Takes microseconds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub async fn derived_state(&self) -> Result<Option<DerivedState>, StoreError> {
        self.read(derived::state).await
    }

    /// The history of all sources in intervals of one length, from the one that `since` is in, in the
    /// order of time. An interval without a row has no counts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub async fn history(
        &self,
        span: Span,
        since: SystemTime,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        self.read(move |sql| history::rows(sql, span, since)).await
    }

    /// The sums of the history by source, of all intervals that begin in this time. A thousand rows take a
    /// millisecond or two.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub async fn history_totals(
        &self,
        time: Range<SystemTime>,
    ) -> Result<BTreeMap<String, Counts>, StoreError> {
        self.read(move |sql| history::totals(sql, &time)).await
    }

    /// The size of the database, and the room that is left for it. For a file three system calls.
    pub async fn disk_use(&self) -> DiskUse {
        match &self.readers {
            Readers::Sqlite(readers) => readers.disk_use(),
            Readers::Postgres(readers) => readers.disk_use().await,
        }
    }

    /// Runs a read that both engines understand. It may be run on another thread.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Sql) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.readers {
            Readers::Sqlite(readers) => readers.read(|conn| read(conn)),
            Readers::Postgres(readers) => readers.read(read).await,
        }
    }
}
