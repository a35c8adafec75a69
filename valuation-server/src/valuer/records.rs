//! What a [`Valuer`](super::Valuer) needs of a store, and no more.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::domain::{ProviderCall, Valuation, Vrm};

/// What one question to the providers led to. It is stored whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The valuation, if there was a quote.
    pub valuation: Option<Valuation>,
    /// Every attempt at a provider, in the order in which they ended.
    pub calls: Vec<ProviderCall>,
}

/// The future of [`Records::commit`].
pub type Commit<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Valuation>, RecordsError>> + Send + 'a>>;

/// The valuations that were made and the log of the calls that made them.
pub trait Records: fmt::Debug + Send + Sync {
    /// Reads the valuation of a vehicle. It is called on a runtime's worker thread and must take
    /// microseconds.
    ///
    /// # Errors
    /// [`RecordsError::Unavailable`] if the store can't be read now, [`RecordsError::Corrupt`] if
    /// what stands there is no valuation.
    fn find(&self, vrm: &Vrm) -> Result<Option<Valuation>, RecordsError>;

    /// Stores an entry, and is ready when it is durable. The output is the valuation that stands
    /// for the vehicle from then on: the entry's, or the one that was there before. It is `None`
    /// where the entry has none.
    ///
    /// # Cancel safety
    /// The entry is handed over with the first poll; dropping the future later does not take it
    /// back.
    ///
    /// # Errors
    /// [`RecordsError`] if nothing of the entry was stored.
    fn commit(&self, entry: Entry) -> Commit<'_>;

    /// Hands over an entry that nobody waits for. It must neither block nor panic: it is called
    /// from a destructor, perhaps while the runtime ends.
    fn submit(&self, entry: Entry);

    /// Whether an entry could be stored now, as far as is known. Where it says no, no provider is
    /// asked.
    fn can_store(&self) -> bool;
}

/// Why the records can't be read or written. A clone shares the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordsError {
    /// Not now; later perhaps.
    #[error("the records are not available: {0}")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// What is stored makes no sense, and will not by itself.
    #[error("the records are corrupt: {0}")]
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
