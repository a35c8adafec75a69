//! How long the fallback keeps the calls after a trip.
//!
//! The policy's time, multiplied with each trip that follows a short recovery, up to a cap, and
//! lengthened by a share that is drawn anew for each trip. A hint of the provider replaces it.

use std::time::Duration;

use crate::engine::phase::Epoch;
use crate::engine::sync::{AtomicU64, Ordering};
use crate::ratio::Ratio;

/// The time on the fallback grows with repeated trips. An option of
/// [`PolicyBuilder::growing`](crate::policy::PolicyBuilder::growing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    /// Each trip multiplies the time by this.
    pub(crate) factor: Ratio,
    /// The longest time that growing makes.
    pub(crate) longest: Duration,
    /// The time grows one step less for each such stretch without a trip.
    pub(crate) forget_after: Duration,
}

/// A random lengthening of the time on the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jitter {
    pub(crate) up_to: Ratio,
    pub(crate) seed: u64,
}

/// The times between which a provider's hint is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

/// All that decides the time on the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntervalRules {
    pub(crate) time: Duration,
    pub(crate) growth: Option<Growth>,
    pub(crate) jitter: Option<Jitter>,
    pub(crate) hints: Option<Hints>,
}

/// What is remembered of earlier trips: from the lowest bit, 8 bits of steps grown, 16 of trips
/// made, 40 of the millisecond at which calls came back to the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Past(u64);

impl Past {
    fn new(steps: u64, trips: u64, back_at: u64) -> Self {
        Self(steps.min(0xff) | (trips & 0xffff) << 8 | back_at << 24)
    }

    fn steps(self) -> u64 {
        self.0 & 0xff
    }

    fn trips(self) -> u64 {
        self.0 >> 8 & 0xffff
    }

    fn back_at(self) -> u64 {
        self.0 >> 24
    }
}

/// The memory behind the times. Written by whoever made a transition.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    past: AtomicU64,
    /// The latest hint: its epoch, and the millisecond that it reaches to. One that reaches to 0 is
    /// none, whatever its epoch.
    hint: AtomicU64,
}

/// What is remembered of earlier trips, apart from any clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// How many there were, modulo 2^16: jitter's permit in its sequence.
    pub(crate) trips: u64,
    /// How many steps the time on the fallback has grown.
    pub(crate) grown: u64,
    /// How long calls have been back on the primary, if they are.
    pub(crate) back_for: Option<Duration>,
}

#[cfg(feature = "serde")]
impl Remembered {
    pub(crate) const MOST_TRIPS: u64 = 0xffff;
    pub(crate) const MOST_GROWN: u64 = 0xff;
}

const NANOS_PER_MILLI: u64 = 1_000_000;
const MILLIS: u64 = (1 << 40) - 1;

impl Intervals {
    /// The time of the trip that would be made now, from that epoch. `was_back`: whether calls had
    /// come back to the primary before it.
    pub(crate) fn next(
        &self,
        rules: &IntervalRules,
        epoch: Epoch,
        at: u64,
        was_back: bool,
    ) -> Duration {
        // Ordering: Acquire throughout pairs with the writers' Release: a trip sees what the
        // transitions before it left.
        if let Some(hints) = rules.hints {
            let hint = self.hint.load(Ordering::Acquire);
            let until = (hint & MILLIS) * NANOS_PER_MILLI;
            if hint >> 40 == tag(epoch) && until > at {
                return Duration::from_nanos(until - at).clamp(hints.shortest, hints.longest);
            }
        }
        let past = Past(self.past.load(Ordering::Acquire));
        let grown = rules.growth.map_or(rules.time, |growth| {
            growth.after(rules.time, growth.steps_left(past, at, was_back))
        });
        rules.jitter.map_or(grown, |jitter| jitter.lengthen(grown, past.trips()))
    }

    /// Remembers a trip that was made.
    pub(crate) fn tripped(&self, rules: &IntervalRules, at: u64, was_back: bool) {
        if rules.growth.is_some() || rules.jitter.is_some() {
            self.update(|past| {
                let steps =
                    rules.growth.map_or(past.steps(), |g| g.steps_left(past, at, was_back) + 1);
                Past::new(steps, past.trips() + 1, past.back_at())
            });
        }
    }

    /// Remembers that calls came back to the primary.
    pub(crate) fn reverted(&self, at: u64) {
        let now = (at / NANOS_PER_MILLI) & MILLIS;
        self.update(|past| Past::new(past.steps(), past.trips(), now));
    }

    /// Remembers a hint, unless one of the same epoch reaches further.
    pub(crate) fn hinted(&self, epoch: Epoch, at: u64, retry_after: Duration) {
        let nanos = u64::try_from(retry_after.as_nanos()).unwrap_or(u64::MAX);
        let until = at.saturating_add(nanos).div_ceil(NANOS_PER_MILLI).min(MILLIS);
        let hint = tag(epoch) << 40 | until;
        // Ordering: AcqRel, see `next`.
        let _ = self.hint.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            (old >> 40 != tag(epoch) || old < hint).then_some(hint)
        });
    }

    /// Lets the hint of an epoch that is over go on in one that has not begun.
    pub(crate) fn carry_hint(&self, from: Epoch, to: Epoch) {
        // Ordering: AcqRel, see `next`.
        let _ = self.hint.fetch_update(Ordering::AcqRel, Ordering::Acquire, |hint| {
            (hint >> 40 == tag(from)).then_some(tag(to) << 40 | hint & MILLIS)
        });
    }

    /// What it remembers, to be saved. `is_back`: whether calls are back on the primary.
    pub(crate) fn remembered(&self, is_back: bool, at: u64) -> Remembered {
        let past = Past(self.past.load(Ordering::Acquire));
        let healthy = (at / NANOS_PER_MILLI).saturating_sub(past.back_at());
        let tripped = is_back && past.steps() + past.trips() > 0;
        Remembered {
            trips: past.trips(),
            grown: past.steps(),
            back_for: tripped.then_some(Duration::from_millis(healthy)),
        }
    }

    /// Remembers what was saved, so long after it was. The time since calls came back counts in
    /// whole steps forgotten; what is left of it may lie before the monitor's time, and is then
    /// forgotten itself.
    pub(crate) fn recall(
        &self,
        rules: &IntervalRules,
        saved: Remembered,
        elapsed: Duration,
        at: u64,
    ) {
        let healthy = saved.back_for.map_or(0, |back| back.saturating_add(elapsed).as_millis());
        let step = rules.growth.map_or(u128::MAX, |growth| growth.forget_after.as_millis().max(1));
        let forgotten = u64::try_from(healthy / step).unwrap_or(u64::MAX);
        let since = u64::try_from(healthy % step).unwrap_or(u64::MAX);
        let back_at = (at / NANOS_PER_MILLI).saturating_sub(since) & MILLIS;
        let past = Past::new(saved.grown.saturating_sub(forgotten), saved.trips, back_at);
        // Ordering: Release, see `next`.
        self.past.store(past.0, Ordering::Release);
        self.hint.store(0, Ordering::Release);
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        self.past.store(0, Ordering::Release);
        self.hint.store(0, Ordering::Release);
    }

    fn update(&self, change: impl Fn(Past) -> Past) {
        // Ordering: AcqRel, see `next`.
        let _ = self
            .past
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |past| Some(change(Past(past)).0));
    }
}

fn tag(epoch: Epoch) -> u64 {
    u64::from(epoch.number())
}

impl Growth {
    /// The steps that are left of those that were grown.
    fn steps_left(&self, past: Past, at: u64, was_back: bool) -> u64 {
        if !was_back {
            return past.steps();
        }
        let healthy = u128::from((at / NANOS_PER_MILLI).saturating_sub(past.back_at()));
        let forgotten = healthy / self.forget_after.as_millis().max(1);
        past.steps().saturating_sub(u64::try_from(forgotten).unwrap_or(u64::MAX))
    }

    /// The time after so many steps.
    fn after(&self, time: Duration, steps: u64) -> Duration {
        let longest = self.longest.as_nanos().max(time.as_nanos());
        let mut nanos = time.as_nanos();
        for _ in 0..steps {
            nanos =
                nanos * u128::from(self.factor.numerator()) / u128::from(self.factor.denominator());
            if nanos >= longest {
                nanos = longest;
                break;
            }
        }
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Jitter {
    /// The time, lengthened by the share that falls to this trip.
    fn lengthen(&self, time: Duration, trip: u64) -> Duration {
        let most = time.as_nanos() * u128::from(self.up_to.numerator())
            / u128::from(self.up_to.denominator());
        // A 64-bit draw as a fraction of 2^64; `most` is below 2^65 ns for any policy's time.
        let drawn = ((most >> 1) * u128::from(draw(self.seed, trip))) >> 63;
        time + Duration::from_nanos(u64::try_from(drawn).unwrap_or(u64::MAX))
    }
}

/// The `n`th number of the sequence that a seed begins (SplitMix64, by Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014).
fn draw(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_published_generator() {
        // The first numbers of SplitMix64 from the seed 0.
        let drawn = [0, 1, 2].map(|n| draw(0, n));
        assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn a_drawn_time_is_lengthened_by_its_part_of_the_share() {
        let jitter = Jitter { up_to: Ratio::new(2, 3).unwrap(), seed: 0 };
        let time = Duration::from_nanos(300 << 32);
        // The first draw is 0xe220_a839 of 2^32 parts.
        let parts = Duration::from_nanos(200 * 0xe220_a839);
        let lengthened = jitter.lengthen(time, 0) - time;
        assert!(parts <= lengthened && lengthened <= parts + Duration::from_nanos(200));
    }

    #[test]
    fn the_time_since_the_return_is_remembered_where_there_was_a_trip() {
        let jitter = Some(Jitter { up_to: Ratio::HALF, seed: 0 });
        let growth = Some(Growth {
            factor: Ratio::new(2, 1).unwrap(),
            longest: Duration::from_secs(3_600),
            forget_after: Duration::from_secs(60),
        });
        let time = Duration::from_secs(1);
        let rules = IntervalRules { time, growth, jitter, hints: None };
        let (intervals, at) = (Intervals::default(), 1_000_000_000_000);
        assert_eq!(intervals.remembered(true, at).back_for, None);
        // By jitter alone nothing grows.
        intervals.tripped(&IntervalRules { growth: None, ..rules }, 0, true);
        let back_for = Some(Duration::from_secs(1_000));
        assert_eq!(intervals.remembered(true, at), Remembered { trips: 1, grown: 0, back_for });
        assert_eq!(intervals.remembered(false, at).back_for, None);
        // One step was forgotten while it was saved, and half of the time to the next has gone by.
        let back_for = Some(Duration::from_secs(50));
        let saved = Remembered { trips: 3, grown: 5, back_for };
        intervals.recall(&rules, saved, Duration::from_secs(40), at);
        let back_for = Some(Duration::from_secs(30));
        assert_eq!(intervals.remembered(true, at), Remembered { trips: 3, grown: 4, back_for });
    }

    #[test]
    fn what_is_remembered_of_earlier_trips_does_not_touch() {
        let past = Past::new(u64::MAX, 0x1_2345, (1 << 40) - 1);
        assert_eq!((past.steps(), past.trips(), past.back_at()), (0xff, 0x2345, (1 << 40) - 1));
        let past = Past::new(1, 2, 3);
        assert_eq!((past.steps(), past.trips(), past.back_at()), (1, 2, 3));
    }
}
