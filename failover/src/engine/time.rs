//! Time as the engine reads it.

/// When a call began, in nanoseconds since the monitor's origin. Unknown if the policy does not time
/// calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Began(pub(crate) u64);

impl Began {
    pub(crate) const UNKNOWN: Self = Self(u64::MAX);

    /// How long the call had run at `at`.
    #[inline]
    pub(super) fn ran(self, at: u64) -> Option<u64> {
        (self != Self::UNKNOWN).then(|| at.saturating_sub(self.0))
    }
}
