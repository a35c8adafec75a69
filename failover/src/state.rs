//! How calls are routed, as operators see it.

use std::fmt;
use std::str::FromStr;

use crate::route::Route;
use crate::text::UnknownLabel;

/// How calls are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum State {
    /// All calls go to the primary.
    Primary,
    /// All calls go to the fallback.
    Fallback,
    /// A few calls at a time [probe](crate::policy::PolicyBuilder::probing) the primary; all others
    /// go to the fallback.
    Probing,
    /// A [growing share](crate::policy::PolicyBuilder::ramp_up) of calls goes to the primary, the
    /// rest to the fallback.
    Ramping,
    /// An operator forced all calls to the primary.
    ForcedPrimary,
    /// An operator forced all calls to the fallback.
    ForcedFallback,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Primary,
        Self::Fallback,
        Self::Probing,
        Self::Ramping,
        Self::ForcedPrimary,
        Self::ForcedFallback,
    ];

    /// A label for logs and metrics: `primary`, `fallback`, `probing`, `ramping`, `forced_primary`,
    /// `forced_fallback`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
            Self::Probing => "probing",
            Self::Ramping => "ramping",
            Self::ForcedPrimary => "forced_primary",
            Self::ForcedFallback => "forced_fallback",
        }
    }

    /// Whether an operator forced the route.
    #[must_use]
    pub const fn is_forced(self) -> bool {
        matches!(self, Self::ForcedPrimary | Self::ForcedFallback)
    }

    /// The route of calls in this state; the primary while ramping.
    pub(crate) const fn route(self) -> Route {
        match self {
            Self::Primary | Self::Ramping | Self::ForcedPrimary => Route::Primary,
            Self::Fallback | Self::Probing | Self::ForcedFallback => Route::Fallback,
        }
    }
}

/// Writes [`as_str`](State::as_str).
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Parses a label of [`as_str`](State::as_str).
impl FromStr for State {
    type Err = UnknownLabel;

    fn from_str(text: &str) -> Result<Self, UnknownLabel> {
        const LABELS: [&str; 6] = {
            let mut labels = [""; 6];
            let mut at = 0;
            while at < labels.len() {
                labels[at] = State::ALL[at].as_str();
                at += 1;
            }
            labels
        };
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| UnknownLabel::new(text, "state", &LABELS))
    }
}
