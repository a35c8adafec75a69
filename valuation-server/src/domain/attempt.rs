//! What a provider's service gives to the audit.

use super::{Provider, Quote, QuoteError, QuoteRequest};

/// A usable answer of a provider, as its service gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The quote.
    pub quote: Quote,
    /// The answer's status.
    pub response_code: u16,
}

/// Why a provider's service gave no quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub error: QuoteError,
    /// The answer's status; `None` if there was no answer.
    pub response_code: Option<u16>,
}

/// Describes an attempt before it is made.
pub trait Describe {
    /// The provider that is asked.
    fn provider(&self) -> Provider;

    /// The whole URL for `request`, with credentials and key parameters redacted; `None` if the
    /// provider can't be asked. Then the service sends nothing, and there is no attempt.
    fn url(&self, request: &QuoteRequest) -> Option<String>;
}
