//! What a [`Valuer`](super::Valuer) needs of a store.

use std::error::Error;
use std::fmt;
use std::future::Ready;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::Either;

use crate::domain::{Entry, Valuation, Vrm};

/// The future of [`Records::find`]: a store that needs no waiting gives one that is ready, without an
/// allocation.
pub type Find<'a> = Either<Ready<Found>, Pin<Box<dyn Future<Output = Found> + Send + 'a>>>;
type Found = Result<Option<Valuation>, RecordsError>;

/// The future of [`Records::reserve`].
pub type Reserve<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Permit>, RecordsError>> + Send + 'a>>;

/// The future of [`Permit::commit`].
pub type Commit = Pin<Box<dyn Future<Output = Result<Option<Valuation>, RecordsError>> + Send>>;

/// The stored valuations, and the log of the provider calls behind them.
pub trait Records: fmt::Debug + Send + Sync {
    /// Reads the valuation of a vehicle. It is called on a runtime's worker thread, and must block it for
    /// microseconds at most.
    ///
    /// # Errors
    /// [`RecordsError::Unavailable`] if the store can't be read now, [`RecordsError::Corrupt`] if
    /// the stored row is not a valuation.
    fn find(&self, vrm: &Vrm) -> Find<'_>;

    /// A number that changes soon after another program has deleted or edited a row. Rows that were
    /// read before may be outdated then. It is one atomic load.
    fn version(&self) -> u64;

    /// Makes sure, before a provider is asked, that its answer can be stored, and gives a permit for
    /// that.
    ///
    /// # Errors
    /// [`RecordsError::Unavailable`] if it can't be stored. Then no provider is asked.
    fn reserve(&self) -> Reserve<'_>;

    /// Hands over an entry without a permit that nobody waits for. It must neither block nor panic: it
    /// is called from a destructor, perhaps while the runtime shuts down.
    fn submit(&self, entry: Entry);
}

/// Permission to store one entry. Dropped unused, it is given back.
pub trait Permit: fmt::Debug + Send + Sync {
    /// Stores an entry, and is ready when it is durable. The output is the stored valuation of the
    /// vehicle: the entry's, or an earlier one. It is `None` if the entry has none.
    ///
    /// # Cancel safety
    /// The entry is handed over by the first poll; dropping the future later does not take it back.
    ///
    /// # Errors
    /// [`RecordsError`] if the entry's valuation was not stored.
    fn commit(self: Box<Self>, entry: Entry) -> Commit;

    /// Hands over an entry that nobody waits for. It must neither block nor panic.
    fn submit(self: Box<Self>, entry: Entry);
}

/// Why the records can't be read or written. A clone shares the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordsError {
    /// Not now; perhaps later.
    #[error("the records are not available: {0}")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// The stored row makes no sense, or the entry is refused. A retry does not help.
    #[error("the records are corrupt or refuse the entry: {0}")]
    Corrupt(#[source] Arc<dyn Error + Send + Sync>),
}

impl RecordsError {
    /// Not available, because of `cause`.
    #[must_use]
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into().into())
    }

    /// Corrupt, because of `cause`.
    #[must_use]
    pub fn corrupt(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(cause.into().into())
    }
}
