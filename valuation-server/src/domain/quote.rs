//! What is asked of a provider, what it answers, and how it may fail.

use std::time::Duration;

use super::{CallTrail, ErrorCode, Mileage, Money, MoneyError, Provider, Trace, Vrm};

/// A question to a provider. A clone asks the same question and leaves its call in the same
/// trail: that is how a rescue by the other provider ends up beside the failed attempt.
#[derive(Clone, Debug)]
pub struct QuoteRequest {
    /// The vehicle.
    pub vrm: Vrm,
    /// How far it has been driven.
    pub mileage: Mileage,
    /// Where every attempt at a provider leaves its record.
    pub trail: CallTrail,
    /// Which request it is asked for.
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
    /// [`QuoteError::Unavailable`] if the lower value is above the upper one, or both are zero: a
    /// provider without data, and a valuation is stored for good.
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

    /// Who gave it.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }
}

/// Why a provider gave no quote. The texts are for the log; a client sees none of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// No answer came, or one that can't be used. A failure of the provider.
    #[error("{code}: {message}")]
    Unavailable {
        /// The stable name of what happened.
        code: ErrorCode,
        /// Bounded, printable, without credentials.
        message: String,
        /// How long the provider itself asks to be left alone, where its answer says so.
        retry_after: Option<Duration>,
    },
    /// The provider is up and does not know the vehicle (404). No failure of the provider.
    #[error("the provider does not know the vehicle")]
    NotFound,
    /// The provider has no way to be asked about this vehicle; nothing was sent.
    #[error("the provider can't be asked about the vehicle")]
    NotAsked,
    /// The provider is up and refuses the request (another 4xx). No failure of the provider.
    #[error("the provider refused the request with status {0}")]
    Refused(u16),
}

impl QuoteError {
    /// Whether it speaks against the provider: only then does it count towards the failure rate,
    /// and only then is the other provider asked.
    #[must_use]
    pub fn is_provider_failure(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// An answer that can't be used, with what was wrong in it.
    #[must_use]
    pub fn unusable(message: impl Into<String>) -> Self {
        Self::Unavailable { code: ErrorCode::Unusable, message: message.into(), retry_after: None }
    }
}

impl From<MoneyError> for QuoteError {
    fn from(error: MoneyError) -> Self {
        Self::unusable(error.to_string())
    }
}
