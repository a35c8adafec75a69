//! How time is divided: a window into buckets, buckets numbered by ticks, and stamps that identify
//! a bucket's contents.

use crate::engine::time::{Elapsed, Epoch, nanos};
use crate::policy::Policy;

/// How a window is divided into buckets: its length in nanoseconds and their number; and whether it
/// counts slow calls.
///
/// Bucket `k` is the period of all `t` with `floor(t × buckets / length) = k - buckets`: exact,
/// since only `t` itself is rounded. A new monitor's first bucket has the number `buckets`, so
/// restored counts from before its origin have slots, as far back as a window reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) nanos: u64,
    pub(super) buckets: u32,
    pub(super) slow: bool,
}

impl Span {
    pub(crate) fn new(policy: &Policy) -> Self {
        let slow = policy.slow_calls().is_some();
        Self { nanos: nanos(policy.window()), buckets: policy.buckets(), slow }
    }

    /// The number of the bucket that contains `at`.
    pub(crate) fn tick(&self, at: Elapsed) -> u64 {
        let tick = u128::from(at.nanos()) * u128::from(self.buckets) / u128::from(self.nanos);
        // A bucket is at least one nanosecond wide, so there are no more ticks than nanoseconds.
        u64::try_from(tick).unwrap_or(u64::MAX).saturating_add(u64::from(self.buckets))
    }

    /// The same for a moment that may lie before the monitor's origin; `None` if no window reaches
    /// back that far.
    pub(super) fn tick_of(&self, moment: i128) -> Option<u64> {
        let moment = moment.clamp(-i128::from(u64::MAX), i128::from(u64::MAX));
        let tick = (moment * i128::from(self.buckets)).div_euclid(i128::from(self.nanos));
        u64::try_from(tick + i128::from(self.buckets)).ok()
    }

    /// The first moment of a bucket.
    pub(super) fn start(&self, tick: u64) -> i128 {
        let ticks = i128::from(tick) - i128::from(self.buckets);
        // Rounded up.
        -(-ticks * i128::from(self.nanos)).div_euclid(i128::from(self.buckets))
    }

    /// The first moment after a bucket.
    pub(super) fn end(&self, tick: u64) -> u64 {
        let end = self.start(tick.saturating_add(1));
        u64::try_from(end.max(0)).unwrap_or(u64::MAX)
    }
}

/// The epoch and the tick of a bucket's counts, in one word.
///
/// 44 bits of ticks of at least 1 ms last 557 years. The epoch's 20 bits wrap: a thread that has
/// counted nothing for 2^20 transitions within the length of one window would show its old counts
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) u64);

impl Stamp {
    const TICK_BITS: u32 = 64 - Epoch::BITS;
    const TICKS: u64 = (1 << Self::TICK_BITS) - 1;
    /// Not a period of time: the last tick of the last epoch is never reached.
    pub(super) const NONE: Self = Self(u64::MAX);

    pub(super) fn new(epoch: Epoch, tick: u64) -> Self {
        Self((epoch.tag() << Self::TICK_BITS) | (tick & Self::TICKS))
    }

    /// Whether the stamp is of `epoch`, if it is not `NONE`.
    #[inline]
    pub(super) fn is_of(self, epoch: Epoch) -> bool {
        self.0 >> Self::TICK_BITS == epoch.tag()
    }

    /// The tick, if the stamp is of `epoch`.
    pub(super) fn tick_in(self, epoch: Epoch) -> Option<u64> {
        (self.is_of(epoch) && self != Self::NONE).then_some(self.0 & Self::TICKS)
    }
}

/// The range of ticks of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    pub(super) oldest: u64,
    pub(super) newest: u64,
    /// The number of slots of a ring.
    buckets: u64,
    /// The slot of the newest tick.
    pub(super) slot: u64,
}

impl Ticks {
    /// The ticks of the window that ends with `newest`.
    pub(super) fn new(newest: u64, span: &Span) -> Self {
        let buckets = u64::from(span.buckets);
        let oldest = newest.saturating_sub(buckets - 1);
        Self { oldest, newest, buckets, slot: newest % buckets }
    }

    pub(super) fn slot_of(&self, tick: u64) -> u64 {
        if tick == self.newest { self.slot } else { tick % self.buckets }
    }
}
