//! Time as the engine reads it.

use std::hint::black_box;
use std::time::Duration;

use crate::clock::{Moment, nanos};

/// The period between two transitions.
///
/// 20 bits, so that the phase fits one word. Stored as a `u64`: loading half of a word that was
/// just stored stalls store forwarding. A result that ends exactly 2^20 transitions late would be
/// counted in the current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Epoch(u64);

impl Epoch {
    pub(crate) const BITS: u32 = 20;

    /// The number in a packed word.
    #[inline]
    pub(crate) const fn tag(self) -> u64 {
        self.0
    }

    /// From 0 to 2^20 − 1.
    #[expect(clippy::cast_possible_truncation, reason = "20 bits fit")]
    pub(crate) const fn number(self) -> u32 {
        self.0 as u32
    }

    /// The epoch with this number; only the lowest 20 bits count.
    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number & ((1 << Self::BITS) - 1))
    }

    /// The epoch before this one.
    pub(crate) const fn previous(self) -> Self {
        Self::from_number(self.0.wrapping_sub(1))
    }

    /// The distance from `earlier`, modulo 2^20.
    pub(crate) const fn epochs_after(self, earlier: Self) -> u32 {
        Self::from_number(self.0.wrapping_sub(earlier.0)).number()
    }

    pub(crate) const fn next(self) -> Self {
        Self((self.0 + 1) & ((1 << Self::BITS) - 1))
    }
}

/// A moment, as the time since the monitor's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Elapsed(u64);

impl Elapsed {
    /// The latest millisecond that fits the 40 bits of a packed word: 34 years.
    pub(crate) const LAST_MILLI: u64 = (1 << 40) - 1;
    /// Its beginning. A monitor's time is not advanced beyond it.
    pub(crate) const LAST: Self = Self::from_millis(Self::LAST_MILLI);
    const NANOS_PER_MILLI: u64 = 1_000_000;

    #[inline]
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    #[inline]
    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(Self::NANOS_PER_MILLI))
    }

    #[inline]
    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }

    /// The time from an origin, in a clock's nanoseconds modulo 2^64, to `now`. Read as signed, and
    /// zero if negative: 292 years fit on either side of the origin.
    #[inline]
    pub(crate) fn between(origin: u64, now: Moment) -> Self {
        let nanos = now.as_nanos().wrapping_sub(origin);
        // A branch that is never taken costs each call an instruction less than a maximum.
        if nanos.cast_signed() < 0 { Self::before_origin() } else { Self(nanos) }
    }

    // Opaque: otherwise the branch would be made a maximum again.
    #[cold]
    #[inline(never)]
    fn before_origin() -> Self {
        Self(black_box(0))
    }

    /// Rounded down.
    pub(crate) const fn millis(self) -> u64 {
        self.0 / Self::NANOS_PER_MILLI
    }

    /// Rounded up.
    pub(crate) const fn millis_up(self) -> u64 {
        self.0.div_ceil(Self::NANOS_PER_MILLI)
    }

    /// The moment `time` later.
    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// The time from `earlier` to this moment; zero if it is not earlier.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A moment in an epoch: when a call is counted, or a window is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) epoch: Epoch,
    pub(crate) at: Elapsed,
}

/// When a call began. Unknown if the policy does not time calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Began(Elapsed);

impl Began {
    pub(crate) const UNKNOWN: Self = Self(Elapsed(u64::MAX));

    pub(crate) const fn at(at: Elapsed) -> Self {
        Self(at)
    }

    /// The moment, if it is known.
    #[inline]
    pub(crate) fn moment(self) -> Option<Elapsed> {
        (self != Self::UNKNOWN).then_some(self.0)
    }

    /// How long the call had run at `at`, in nanoseconds.
    #[inline]
    pub(crate) fn ran(self, at: Elapsed) -> Option<u64> {
        self.moment().map(|began| at.0.saturating_sub(began.0))
    }
}
