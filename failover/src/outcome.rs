//! The outcome of a call, as evidence about the primary.

use std::time::Duration;

/// The outcome of a call, as evidence about the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The primary worked. "Not found" is a success too.
    Success,
    /// The primary failed. Counts towards the failure rate.
    Failure,
    /// A [`Failure`](Self::Failure) that asks for a time without calls, as `Retry-After` does; see
    /// [`PolicyBuilder::retry_after`](crate::policy::PolicyBuilder::retry_after).
    RetryAfter(Duration),
    /// Not counted: says nothing about the primary.
    Ignored,
}

impl Outcome {
    /// Whether the primary failed, with or without a retry-after.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::RetryAfter(_))
    }

    /// A label for logs and metrics: `success`, `failure`, `ignored`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure | Self::RetryAfter(_) => "failure",
            Self::Ignored => "ignored",
        }
    }
}
