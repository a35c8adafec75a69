//! The route of a call: one of two services.

use std::fmt;
use std::str::FromStr;

use crate::text::UnknownLabel;

/// The route of a call: one of two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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

/// Writes [`as_str`](Route::as_str).
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Parses a label of [`as_str`](Route::as_str).
impl FromStr for Route {
    type Err = UnknownLabel;

    fn from_str(text: &str) -> Result<Self, UnknownLabel> {
        const LABELS: [&str; 2] = [Route::Primary.as_str(), Route::Fallback.as_str()];
        let known =
            [Self::Primary, Self::Fallback].into_iter().find(|route| route.as_str() == text);
        known.ok_or_else(|| UnknownLabel::new(text, "route", &LABELS))
    }
}
