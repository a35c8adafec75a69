//! How calls are routed, in words for operators.

use crate::engine::phase::Kind;
use crate::route::Route;

/// How calls are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// All to the primary.
    Primary,
    /// All to the fallback.
    Fallback,
    /// To the fallback, but for a few at once that [probe](crate::policy::PolicyBuilder::probing) the
    /// primary.
    Probing,
    /// A [growing share](crate::policy::PolicyBuilder::ramp_up) to the primary, the others to the
    /// fallback.
    Ramping,
    /// All to the primary, by an operator's order.
    ForcedPrimary,
    /// All to the fallback, by an operator's order.
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

    /// The state in one word, for logs and metrics: `primary`, `fallback`, `probing`, `ramping`,
    /// `forced_primary`, `forced_fallback`.
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

    /// Whether an operator forced it.
    #[must_use]
    pub const fn is_forced(self) -> bool {
        matches!(self, Self::ForcedPrimary | Self::ForcedFallback)
    }

    /// The state of a phase whose time is not over.
    pub(crate) const fn of(kind: Kind) -> Self {
        match kind {
            // Nobody is shown a phase that is frozen.
            Kind::Primary | Kind::Retired | Kind::Frozen => Self::Primary,
            Kind::Fallback => Self::Fallback,
            Kind::Probing => Self::Probing,
            Kind::Ramping => Self::Ramping,
            Kind::ForcedPrimary => Self::ForcedPrimary,
            Kind::ForcedFallback => Self::ForcedFallback,
        }
    }

    /// Where calls go; while they return, that is the primary.
    pub(crate) const fn route(self) -> Route {
        match self {
            Self::Primary | Self::Ramping | Self::ForcedPrimary => Route::Primary,
            Self::Fallback | Self::Probing | Self::ForcedFallback => Route::Fallback,
        }
    }
}
