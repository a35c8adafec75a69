//! The phase of a monitor, packed into one word so that one load reads it.
//!
//! ```text
//!                                     trip
//!      ┌───────────────────────────────┬──────────────────────────────────┐
//!      ▼             time over         │    successes                     │
//!   Fallback ─────────────────────► Probing ─────────► Ramping ───────► Primary
//!      ▲                               │                   │   time over
//!      └───────────────────────────────┴───────────────────┘
//!              failures                       trip
//!
//!   without probing and ramp: Fallback ──time over──► Primary
//!   any ──force(Fallback)──► ForcedFallback ──release──► Primary
//!   any ──force(Primary)───► ForcedPrimary ───release──► Primary
//!   any ──swap of policy───► Frozen ───► the same, or its equivalent in the new policy
//! ```
//!
//! Every arrow is one compare-and-swap that begins a new epoch: one thread makes the transition,
//! and calls admitted before it change nothing after it.

use std::time::Duration;

use crate::engine::time::{Elapsed, Epoch};
use crate::route::Route;
use crate::state::State;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Calls go to the primary, and the window is evaluated.
    Primary,
    /// Calls go to the fallback until the deadline.
    Fallback,
    /// An operator forced calls to the primary. They are counted; nothing trips.
    ForcedPrimary,
    /// An operator forced calls to the fallback. No timer ends it.
    ForcedFallback,
    /// No service uses the monitor any more.
    Retired,
    /// A few calls probe the primary; all others go to the fallback.
    Probing,
    /// A share of the calls, growing until the deadline, goes to the primary. The window is
    /// evaluated.
    Ramping,
    /// The policy is being replaced, or a state restored. Calls keep their route (during a ramp:
    /// the fallback) and are admitted in the previous epoch.
    Frozen,
}

impl Kind {
    /// The state shown before the deadline.
    pub(crate) const fn state(self) -> State {
        match self {
            // Snapshots and events never show a frozen phase.
            Self::Primary | Self::Retired | Self::Frozen => State::Primary,
            Self::Fallback => State::Fallback,
            Self::Probing => State::Probing,
            Self::Ramping => State::Ramping,
            Self::ForcedPrimary => State::ForcedPrimary,
            Self::ForcedFallback => State::ForcedFallback,
        }
    }
}

/// From the lowest bit, 3 bits of kind, 1 of armed, 20 of epoch, and 40 of deadline in milliseconds
/// since the monitor's origin, enough for 34 years.
///
/// Armed: the rate exceeds the threshold and only the minimum of calls is missing, so every call
/// must be evaluated, successes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase(u64);

impl Phase {
    const KIND: u64 = 0b111;
    const ARMED: u64 = 0b1000;
    const EPOCH_AT: u32 = 4;
    const DEADLINE_AT: u32 = 24;

    /// The first phase of a new monitor, on the primary.
    pub(crate) const FIRST: Self = Self(0);

    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// On the primary, in the epoch with this number.
    #[cfg(test)]
    pub(crate) const fn of_epoch(number: u64) -> Self {
        Self(Epoch::from_number(number).tag() << Self::EPOCH_AT)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn kind(self) -> Kind {
        match self.0 & Self::KIND {
            0 => Kind::Primary,
            1 => Kind::Fallback,
            2 => Kind::ForcedPrimary,
            3 => Kind::ForcedFallback,
            5 => Kind::Probing,
            6 => Kind::Ramping,
            7 => Kind::Frozen,
            _ => Kind::Retired,
        }
    }

    #[inline]
    pub(crate) const fn is_armed(self) -> bool {
        self.0 & Self::ARMED != 0
    }

    #[inline]
    pub(crate) const fn epoch(self) -> Epoch {
        Epoch::from_number(self.0 >> Self::EPOCH_AT)
    }

    /// The epoch in which a call is admitted; while frozen one that is over, so the call is not
    /// counted.
    pub(crate) const fn admits_in(self) -> Epoch {
        if matches!(self.kind(), Kind::Frozen) { self.epoch().previous() } else { self.epoch() }
    }

    /// The route of a call in this phase before its deadline.
    #[inline]
    pub(crate) const fn route(self) -> Route {
        match self.kind() {
            Kind::Primary | Kind::ForcedPrimary | Kind::Ramping | Kind::Retired => Route::Primary,
            Kind::Fallback | Kind::ForcedFallback | Kind::Probing => Route::Fallback,
            Kind::Frozen if self.0 >> Self::DEADLINE_AT == 0 => Route::Primary,
            Kind::Frozen => Route::Fallback,
        }
    }

    /// Whether calls go to the primary regardless of the time: a test of two bits.
    #[inline]
    pub(crate) const fn is_timeless_primary(self) -> bool {
        const TIMED_OR_FALLBACK: u64 = 0b101;
        const _: () = {
            assert!((Kind::Primary as u64 | Kind::ForcedPrimary as u64) & TIMED_OR_FALLBACK == 0);
            assert!(Kind::Fallback as u64 & TIMED_OR_FALLBACK != 0);
            assert!(Kind::ForcedFallback as u64 & TIMED_OR_FALLBACK != 0);
            assert!(Kind::Retired as u64 & TIMED_OR_FALLBACK != 0);
            assert!(Kind::Probing as u64 & TIMED_OR_FALLBACK != 0);
            assert!(Kind::Ramping as u64 & TIMED_OR_FALLBACK != 0);
            assert!(Kind::Frozen as u64 & TIMED_OR_FALLBACK != 0);
        };
        self.0 & TIMED_OR_FALLBACK == 0
    }

    /// Whether the window is evaluated in this phase.
    #[inline]
    pub(crate) const fn is_evaluated(self) -> bool {
        matches!(self.kind(), Kind::Primary | Kind::Ramping)
    }

    /// Whether the phase's deadline has passed.
    #[inline]
    pub(crate) const fn is_due(self, at: Elapsed) -> bool {
        self.has_deadline() && at.nanos() >= self.deadline().nanos()
    }

    const fn has_deadline(self) -> bool {
        matches!(self.kind(), Kind::Fallback | Kind::Ramping)
    }

    /// The time until the revert; `None` if no timer runs.
    pub(crate) fn reverts_in(self, at: Elapsed) -> Option<Duration> {
        self.has_deadline().then(|| self.deadline().since(at))
    }

    const fn deadline(self) -> Elapsed {
        Elapsed::from_millis(self.0 >> Self::DEADLINE_AT)
    }

    /// The same phase, armed or not.
    pub(crate) const fn with_armed(self, armed: bool) -> Self {
        Self(if armed { self.0 | Self::ARMED } else { self.0 & !Self::ARMED })
    }

    /// A phase of this kind in the next epoch, without a deadline.
    pub(crate) const fn next(self, kind: Kind) -> Self {
        Self(kind as u64 | self.epoch().next().tag() << Self::EPOCH_AT)
    }

    /// Frozen in the next epoch. The lowest bit of the deadline stores the route.
    pub(crate) const fn frozen(self, route: Route) -> Self {
        let fallback = matches!(route, Route::Fallback) as u64;
        Self(self.next(Kind::Frozen).0 | fallback << Self::DEADLINE_AT)
    }

    /// The phase after a frozen one, with the kind and the deadline of `before`.
    pub(crate) const fn thaw(self, before: Self) -> Self {
        let deadline = before.0 & (u64::MAX << Self::DEADLINE_AT);
        Self(self.next(before.kind()).0 | deadline)
    }

    /// The same phase and epoch, on the fallback for `time` from `at` on.
    #[cfg(feature = "cluster")]
    pub(crate) fn with_deadline(self, at: Elapsed, time: Duration) -> Self {
        let deadline = at.plus(time).millis_up().min(Elapsed::LAST_MILLI);
        Self(self.0 & ((1 << Self::DEADLINE_AT) - 1) | deadline << Self::DEADLINE_AT)
    }

    /// A phase of this kind in the next epoch, until `at`.
    pub(crate) fn due(self, kind: Kind, at: Elapsed) -> Self {
        let deadline = at.millis().min(Elapsed::LAST_MILLI);
        Self(self.next(kind).0 | deadline << Self::DEADLINE_AT)
    }

    /// A phase of this kind in the next epoch, for `time` from `at` on, rounded up to the
    /// millisecond.
    pub(crate) fn until(self, kind: Kind, at: Elapsed, time: Duration) -> Self {
        let deadline = at.plus(time).millis_up().min(Elapsed::LAST_MILLI);
        Self(self.next(kind).0 | deadline << Self::DEADLINE_AT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Elapsed {
        Elapsed::from_nanos(nanos)
    }

    #[test]
    fn the_fields_of_the_word_do_not_overlap() {
        let tripped =
            Phase::FIRST.with_armed(true).until(Kind::Fallback, at(1), Duration::from_millis(5));
        assert_eq!(tripped.kind(), Kind::Fallback);
        assert_eq!(tripped.epoch().number(), 1);
        assert!(!tripped.is_armed());
        assert_eq!(tripped.reverts_in(at(1_000_000)), Some(Duration::from_millis(5)));
        let last = tripped.until(Kind::Fallback, at(u64::MAX), Duration::MAX);
        assert_eq!((last.kind(), last.epoch().number()), (Kind::Fallback, 2));
        let most = Duration::from_millis((1 << 40) - 1);
        assert_eq!(last.reverts_in(at(0)), Some(most));
        assert_eq!(tripped.due(Kind::Fallback, at(u64::MAX)).reverts_in(at(0)), Some(most));
    }

    #[test]
    fn arming_and_disarming_are_idempotent() {
        let armed = Phase::FIRST.with_armed(true);
        assert!(armed.is_armed());
        assert_eq!(armed.with_armed(true), armed);
        assert_eq!(armed.with_armed(false), Phase::FIRST);
        assert_eq!(Phase::FIRST.with_armed(false), Phase::FIRST);
    }

    #[test]
    fn a_frozen_phase_keeps_the_route_and_admits_in_the_previous_epoch() {
        for (kind, route) in [(Kind::Primary, Route::Primary), (Kind::Fallback, Route::Fallback)] {
            let before = Phase::FIRST.until(kind, at(0), Duration::from_millis(5));
            let frozen = before.frozen(route);
            assert_eq!((frozen.kind(), frozen.route()), (Kind::Frozen, route));
            assert_eq!((frozen.epoch().number(), frozen.admits_in()), (2, before.epoch()));
            assert!(!frozen.is_evaluated() && !frozen.is_timeless_primary());
            assert_eq!((frozen.is_due(at(u64::MAX)), frozen.reverts_in(at(0))), (false, None));
            let thawed = frozen.thaw(before);
            assert_eq!((thawed.kind(), thawed.epoch().number()), (kind, 3));
            assert_eq!((thawed.admits_in(), thawed.deadline()), (thawed.epoch(), at(5_000_000)));
        }
    }

    #[test]
    fn a_deadline_is_rounded_up_to_the_millisecond() {
        let tripped = Phase::FIRST.until(Kind::Fallback, at(1), Duration::from_millis(5));
        assert!(!tripped.is_due(at(5_999_999)));
        assert!(tripped.is_due(at(6_000_000)));
    }

    #[test]
    fn the_epoch_wraps_without_changing_other_fields() {
        let epochs = 1 << Epoch::BITS;
        // Miri is slow, so it runs only the last hundred.
        let begun = if cfg!(miri) { epochs - 100 } else { 0 };
        let mut phase = Phase::of_epoch(begun);
        for _ in begun..epochs {
            assert_eq!((phase.is_armed(), phase.has_deadline()), (false, false));
            phase = phase.next(Kind::ForcedFallback);
        }
        assert_eq!(phase.epoch(), Phase::FIRST.epoch());
        assert_eq!(phase.kind(), Kind::ForcedFallback);
    }
}
