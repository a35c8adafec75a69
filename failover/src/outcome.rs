//! What a finished call says about the primary.

/// What a finished call says about the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The primary did its work. An answer such as "not found" is one too.
    Success,
    /// The primary failed; this is what the failure rate counts.
    Failure,
    /// The call says nothing about the primary, and is not counted at all.
    Ignored,
}

impl Outcome {
    /// The outcome in one word, for logs and metrics: `success`, `failure`, `ignored`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Ignored => "ignored",
        }
    }
}
