//! What is stored in one piece.

use super::{ProviderCall, Valuation};

/// The result of one request to the providers. It is stored whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The valuation, if there was a quote. It is not stored if its vehicle has one already.
    pub valuation: Option<Valuation>,
    /// All attempts, in the order in which they ended.
    pub calls: Vec<ProviderCall>,
}
