//! What is stored together.

use super::{ProviderCall, Valuation};

/// What one question to the providers led to. It is stored whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The valuation, if there was a quote. Stored unless its vehicle has one already.
    pub valuation: Option<Valuation>,
    /// Every attempt at a provider, in the order in which they ended.
    pub calls: Vec<ProviderCall>,
}
