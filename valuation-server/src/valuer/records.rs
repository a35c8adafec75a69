//! What a [`Valuer`](super::Valuer) needs of a store, and no more.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::domain::{Entry, Valuation, Vrm};

/// The future of [`Records::reserve`].
pub type Reserve<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Place>, RecordsError>> + Send + 'a>>;

/// The future of [`Place::commit`].
pub type Commit = Pin<Box<dyn Future<Output = Result<Option<Valuation>, RecordsError>> + Send>>;

/// The valuations that were made and the log of the calls that made them.
pub trait Records: fmt::Debug + Send + Sync {
    /// Reads the valuation of a vehicle. It is called on a runtime's worker thread and must take
    /// microseconds.
    ///
    /// # Errors
    /// [`RecordsError::Unavailable`] if the store can't be read now, [`RecordsError::Corrupt`] if
    /// what stands there is no valuation.
    fn find(&self, vrm: &Vrm) -> Result<Option<Valuation>, RecordsError>;

    /// A number that changes soon after somebody else has changed what is stored: deleted or edited
    /// a row. What was found before may be outdated then. It is one atomic load.
    fn version(&self) -> u64;

    /// Makes sure, before a provider is asked, that what it answers can be stored, and keeps a
    /// place for it.
    ///
    /// # Errors
    /// [`RecordsError::Unavailable`] where it can't be. Then no provider is asked.
    fn reserve(&self) -> Reserve<'_>;

    /// Hands over an entry that nobody waits for and no place is kept for. It must neither block
    /// nor panic: it is called from a destructor, perhaps while the runtime ends.
    fn submit(&self, entry: Entry);
}

/// A place for one entry. Dropped unused, it is given back.
pub trait Place: fmt::Debug + Send + Sync {
    /// Stores an entry, and is ready when it is durable. The output is the valuation that stands
    /// for the vehicle from then on: the entry's, or the one that was there before. It is `None`
    /// where the entry has none.
    ///
    /// # Cancel safety
    /// The entry is handed over with the first poll; dropping the future later does not take it
    /// back.
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
    /// Not now; later perhaps.
    #[error("the records are not available: {0}")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// What is stored makes no sense, or what is to be stored is refused, and that stays so by
    /// itself.
    #[error("the records are corrupt or refuse the entry: {0}")]
    Corrupt(#[source] Arc<dyn Error + Send + Sync>),
}

impl RecordsError {
    /// Not available, for that reason.
    #[must_use]
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into().into())
    }

    /// Corrupt, for that reason.
    #[must_use]
    pub fn corrupt(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(cause.into().into())
    }
}
