//! What passes between a provider's service and whoever keeps the record of its attempts.

use super::{Provider, Quote, QuoteError, QuoteRequest};

/// A usable answer of a provider, as its service gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the provider says.
    pub quote: Quote,
    /// The status that it came with.
    pub response_code: u16,
}

/// Why a provider's service gave no quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub error: QuoteError,
    /// The status of the answer; `None` when none came.
    pub response_code: Option<u16>,
}

/// Says of an attempt, before it is made, whom it goes to and what it asks.
pub trait Describe {
    /// Who is asked.
    fn provider(&self) -> Provider;

    /// The whole URL that `request` leads to, credentials and key parameters redacted; `None` for
    /// a request that the provider can't be asked. The service answers such a one by itself and
    /// sends nothing, so that it is no attempt.
    fn url(&self, request: &QuoteRequest) -> Option<String>;
}
