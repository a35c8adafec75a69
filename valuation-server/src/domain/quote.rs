//! A request to a provider, its answer, and its errors.

use std::time::Duration;

use super::{CallTrail, ErrorCode, Mileage, Money, Provider, Trace, Vrm};

/// A request to a provider. A clone is the same request and leaves its call in the same trail, so that
/// a rescue is recorded next to the failed attempt.
#[derive(Clone, Debug)]
pub struct QuoteRequest {
    /// The vehicle.
    pub vrm: Vrm,
    /// How far it has been driven.
    pub mileage: Mileage,
    /// Collects the records of the attempts.
    pub trail: CallTrail,
    /// The client's request that it belongs to.
    pub trace: Trace,
}

/// A provider's answer: `lowest` ≤ `highest`, and `highest` above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    lowest: Money,
    highest: Money,
    provider: Provider,
}

impl Quote {
    /// Takes a provider's pair of values.
    ///
    /// # Errors
    /// [`QuoteError::Unavailable`] if the lower value is above the upper one, or both are zero: then the
    /// provider has no data, and a valuation is stored for good.
    pub fn new(lowest: Money, highest: Money, provider: Provider) -> Result<Self, QuoteError> {
        if lowest > highest {
            return Err(QuoteError::unusable("the lower value is above the upper one"));
        }
        if highest == Money::ZERO {
            return Err(QuoteError::unusable("both values are zero"));
        }
        Ok(Self { lowest, highest, provider })
    }

    /// The lower value.
    #[must_use]
    pub fn lowest(&self) -> Money {
        self.lowest
    }

    /// The upper value.
    #[must_use]
    pub fn highest(&self) -> Money {
        self.highest
    }

    /// The provider that gave it.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }
}

/// Why a provider gave no quote. The texts are for the log; a client sees none of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// There was no answer, or it can't be used. A failure of the provider.
    #[error("{code}: {message}")]
    Unavailable {
        /// The stable name of what happened.
        code: ErrorCode,
        /// Bounded, printable, without credentials.
        message: String,
        /// The answer's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The provider does not know the vehicle (404). Not a failure of the provider.
    #[error("the provider does not know the vehicle")]
    NotFound,
    /// The provider can't be asked about this vehicle; nothing was sent.
    #[error("the provider can't be asked about the vehicle")]
    NotAsked,
    /// The provider refuses the request (another 4xx). Not a failure of the provider.
    #[error("the provider refused the request with status {0}")]
    Refused(u16),
}

impl QuoteError {
    /// Whether it is a failure of the provider: only then it counts towards the failure rate, and the
    /// other provider is asked.
    #[must_use]
    pub fn is_provider_failure(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// An answer that can't be used, because of `message`.
    #[must_use]
    pub fn unusable(message: impl Into<String>) -> Self {
        Self::Unavailable { code: ErrorCode::Unusable, message: message.into(), retry_after: None }
    }
}
