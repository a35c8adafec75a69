//! Which of the two services a call takes.

/// Which of the two services a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The service that calls should go to.
    Primary,
    /// The service that calls go to while the primary fails too often.
    Fallback,
}

impl Route {
    /// The route in one word, for logs and metrics: `primary`, `fallback`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
        }
    }
}
