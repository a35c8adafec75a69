//! What a finished call says about the primary.

use std::time::Duration;

/// What a finished call says about the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The primary did its work. An answer such as "not found" is one too.
    Success,
    /// The primary failed; this is what the failure rate counts.
    Failure,
    /// The primary failed, and says itself how long it wants to be left alone, as by
    /// `Retry-After`. A [`Failure`](Self::Failure) in all else; see
    /// [`PolicyBuilder::hints`](crate::policy::PolicyBuilder::hints).
    RetryAfter(Duration),
    /// The call says nothing about the primary, and is not counted at all.
    Ignored,
}

impl Outcome {
    /// Whether the primary failed, with a hint or without.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::RetryAfter(_))
    }

    /// The outcome in one word, for logs and metrics: `success`, `failure`, `ignored`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure | Self::RetryAfter(_) => "failure",
            Self::Ignored => "ignored",
        }
    }
}
