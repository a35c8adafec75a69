//! The route of a call: one of two services.

/// The route of a call: one of two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The preferred service.
    Primary,
    /// The service for calls while the primary fails too often.
    Fallback,
}

impl Route {
    /// A label for logs and metrics: `primary`, `fallback`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
        }
    }
}
