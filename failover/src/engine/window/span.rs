//! How time is divided: a window into buckets, buckets numbered by ticks, and stamps that identify
//! a bucket's contents.

use crate::engine::time::{Elapsed, Epoch};
use crate::policy::Policy;

/// The number of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(pub(super) u64);

/// The length of a window in nanoseconds, the number of its buckets, and whether it counts slow calls.
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
        let nanos = Elapsed::from_nanos(0).plus(policy.window()).nanos();
        Self { nanos, buckets: policy.buckets(), slow: policy.slow_calls().is_some() }
    }

    /// The number of the bucket that contains `at`.
    pub(super) fn tick(&self, at: Elapsed) -> Tick {
        let tick = u128::from(at.nanos()) * u128::from(self.buckets) / u128::from(self.nanos);
        // A bucket is at least one nanosecond wide, so there are no more ticks than nanoseconds.
        let tick = u64::try_from(tick).unwrap_or(u64::MAX);
        Tick(tick.saturating_add(u64::from(self.buckets)))
    }

    /// The same for a moment that may lie before the monitor's origin; `None` if no window reaches
    /// back that far.
    pub(super) fn tick_of(&self, moment: i128) -> Option<Tick> {
        let moment = moment.clamp(-i128::from(u64::MAX), i128::from(u64::MAX));
        let tick = (moment * i128::from(self.buckets)).div_euclid(i128::from(self.nanos));
        u64::try_from(tick + i128::from(self.buckets)).ok().map(Tick)
    }

    /// The first moment of a bucket.
    pub(super) fn start(&self, Tick(tick): Tick) -> i128 {
        let ticks = i128::from(tick) - i128::from(self.buckets);
        // Rounded up.
        -(-ticks * i128::from(self.nanos)).div_euclid(i128::from(self.buckets))
    }

    /// The first moment after a bucket, in nanoseconds since the monitor's origin.
    pub(super) fn end(&self, Tick(tick): Tick) -> u64 {
        let end = self.start(Tick(tick.saturating_add(1)));
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

    pub(super) fn new(epoch: Epoch, Tick(tick): Tick) -> Self {
        Self((epoch.tag() << Self::TICK_BITS) | (tick & Self::TICKS))
    }

    /// Whether the stamp is of `epoch`, if it is not `NONE`.
    #[inline]
    pub(super) fn is_of(self, epoch: Epoch) -> bool {
        self.0 >> Self::TICK_BITS == epoch.tag()
    }

    /// The tick, if the stamp is of `epoch`.
    pub(super) fn tick_in(self, epoch: Epoch) -> Option<Tick> {
        (self.is_of(epoch) && self != Self::NONE).then_some(Tick(self.0 & Self::TICKS))
    }
}

/// The range of ticks of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    pub(super) oldest: Tick,
    pub(super) newest: Tick,
    /// The number of slots of a ring.
    buckets: u64,
    /// The slot of the newest tick.
    pub(super) slot: u64,
}

impl Ticks {
    /// The ticks of the window that ends with `newest`.
    pub(super) fn new(newest: Tick, span: &Span) -> Self {
        let buckets = u64::from(span.buckets);
        let oldest = Tick(newest.0.saturating_sub(buckets - 1));
        Self { oldest, newest, buckets, slot: newest.0 % buckets }
    }

    pub(super) fn slot_of(&self, tick: Tick) -> u64 {
        if tick == self.newest { self.slot } else { tick.0 % self.buckets }
    }
}
