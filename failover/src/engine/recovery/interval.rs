//! How long calls stay on the fallback after a trip.
//!
//! The policy's time, with backoff and jitter, or the primary's retry-after.

use std::time::Duration;

use crate::engine::sync::{AtomicU64, Ordering};
use crate::engine::time::{Elapsed, Epoch, When};
use crate::policy::{Backoff, Jitter, RetryAfter};

/// The policy's numbers for the time on the fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntervalRules {
    pub(crate) time: Duration,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) jitter: Option<Jitter>,
    pub(crate) retry_after: Option<RetryAfter>,
}

/// The history of trips: from the lowest bit, 8 bits of backoff steps, 16 of trips, and 40 of the
/// millisecond at which calls returned to the primary.
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

/// Written by the thread that made a transition.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    past: AtomicU64,
    /// The latest retry-after: its epoch, and the millisecond at which it ends, or 0.
    retry_until: AtomicU64,
}

/// The history of trips, without absolute times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The number of trips modulo 2^16, which is jitter's position in its sequence.
    pub(crate) trips: u64,
    /// The number of backoff steps.
    pub(crate) grown: u64,
    /// How long calls have been back on the primary, if they are.
    pub(crate) back_for: Option<Duration>,
}

#[cfg(feature = "serde")]
impl Remembered {
    pub(crate) const MOST_TRIPS: u64 = 0xffff;
    pub(crate) const MOST_GROWN: u64 = 0xff;
}

const MILLIS: u64 = Elapsed::LAST_MILLI;

impl Intervals {
    /// The time of a trip. `was_back`: whether calls had returned to the primary before.
    pub(crate) fn next(&self, rules: &IntervalRules, when: When, was_back: bool) -> Duration {
        // Ordering: Acquire pairs with the writers' Release, so a trip sees the updates of earlier
        // transitions.
        if let Some(bounds) = rules.retry_after {
            let retry_until = self.retry_until.load(Ordering::Acquire);
            let until = Elapsed::from_millis(retry_until & MILLIS);
            if retry_until >> 40 == when.epoch.tag() && until > when.at {
                return until.since(when.at).clamp(bounds.min, bounds.max);
            }
        }
        let past = Past(self.past.load(Ordering::Acquire));
        let grown = rules.backoff.map_or(rules.time, |backoff| {
            backoff.after(rules.time, backoff.steps_left(past, when.at, was_back))
        });
        rules.jitter.map_or(grown, |jitter| jitter.lengthen(grown, past.trips()))
    }

    /// Records a trip.
    pub(crate) fn tripped(&self, rules: &IntervalRules, at: Elapsed, was_back: bool) {
        if rules.backoff.is_some() || rules.jitter.is_some() {
            self.update(|past| {
                let steps =
                    rules.backoff.map_or(past.steps(), |g| g.steps_left(past, at, was_back) + 1);
                Past::new(steps, past.trips() + 1, past.back_at())
            });
        }
    }

    /// Records that calls returned to the primary.
    pub(crate) fn reverted(&self, at: Elapsed) {
        let now = at.millis() & MILLIS;
        self.update(|past| Past::new(past.steps(), past.trips(), now));
    }

    /// Records a retry-after, unless one of the same epoch ends later.
    pub(crate) fn note_retry_after(&self, When { epoch, at }: When, retry_after: Duration) {
        let until = at.plus(retry_after).millis_up().min(MILLIS);
        let retry_until = epoch.tag() << 40 | until;
        // Ordering: AcqRel, see `next`.
        let _ = self.retry_until.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            (old >> 40 != epoch.tag() || old < retry_until).then_some(retry_until)
        });
    }

    /// Moves the retry-after of `from`, which is over, to `to`, which has not begun.
    pub(crate) fn carry_retry_after(&self, from: Epoch, to: Epoch) {
        // Ordering: AcqRel, see `next`.
        let _ = self.retry_until.fetch_update(Ordering::AcqRel, Ordering::Acquire, |retry_until| {
            (retry_until >> 40 == from.tag()).then_some(to.tag() << 40 | retry_until & MILLIS)
        });
    }

    /// The history to be saved. `is_back`: whether calls are back on the primary.
    pub(crate) fn remembered(&self, is_back: bool, at: Elapsed) -> Remembered {
        let past = Past(self.past.load(Ordering::Acquire));
        let healthy = at.millis().saturating_sub(past.back_at());
        let tripped = is_back && past.steps() + past.trips() > 0;
        Remembered {
            trips: past.trips(),
            grown: past.steps(),
            back_for: tripped.then_some(Duration::from_millis(healthy)),
        }
    }

    /// Restores a history saved `elapsed` ago. The time since the return takes back whole steps;
    /// the rest is dropped if it would begin before the monitor's origin.
    pub(crate) fn recall(
        &self,
        rules: &IntervalRules,
        saved: Remembered,
        elapsed: Duration,
        at: Elapsed,
    ) {
        let healthy = saved.back_for.map_or(0, |back| back.saturating_add(elapsed).as_millis());
        let step =
            rules.backoff.map_or(u128::MAX, |backoff| backoff.reset_after.as_millis().max(1));
        let forgotten = u64::try_from(healthy / step).unwrap_or(u64::MAX);
        let since = u64::try_from(healthy % step).unwrap_or(u64::MAX);
        let back_at = at.millis().saturating_sub(since) & MILLIS;
        let past = Past::new(saved.grown.saturating_sub(forgotten), saved.trips, back_at);
        // Ordering: Release, see `next`.
        self.past.store(past.0, Ordering::Release);
        self.retry_until.store(0, Ordering::Release);
    }

    pub(crate) fn forget(&self) {
        self.past.store(0, Ordering::Release);
        self.retry_until.store(0, Ordering::Release);
    }

    fn update(&self, change: impl Fn(Past) -> Past) {
        // Ordering: AcqRel, see `next`.
        let _ = self
            .past
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |past| Some(change(Past(past)).0));
    }
}

impl Backoff {
    /// The steps left after the time on the primary took some back.
    fn steps_left(&self, past: Past, at: Elapsed, was_back: bool) -> u64 {
        if !was_back {
            return past.steps();
        }
        let healthy = u128::from(at.millis().saturating_sub(past.back_at()));
        let forgotten = healthy / self.reset_after.as_millis().max(1);
        past.steps().saturating_sub(u64::try_from(forgotten).unwrap_or(u64::MAX))
    }

    /// The time after this many steps.
    fn after(&self, time: Duration, steps: u64) -> Duration {
        let max = self.max.as_nanos().max(time.as_nanos());
        let mut nanos = time.as_nanos();
        for _ in 0..steps {
            nanos =
                nanos * u128::from(self.factor.numerator()) / u128::from(self.factor.denominator());
            if nanos >= max {
                nanos = max;
                break;
            }
        }
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Jitter {
    /// The time, extended by this trip's random share.
    fn lengthen(&self, time: Duration, trip: u64) -> Duration {
        let most = time.as_nanos() * u128::from(self.up_to.numerator())
            / u128::from(self.up_to.denominator());
        // The 64-bit random number is a fraction of 2^64; `most` is below 2^65 ns for any policy's
        // time.
        let drawn = ((most >> 1) * u128::from(draw(self.seed, trip))) >> 63;
        time + Duration::from_nanos(u64::try_from(drawn).unwrap_or(u64::MAX))
    }
}

/// The `n`th number of SplitMix64's sequence from `seed` (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014).
fn draw(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::ratio::Ratio;

    #[test]
    fn random_numbers_match_the_published_generator() {
        // The first numbers of SplitMix64 from the seed 0.
        let drawn = [0, 1, 2].map(|n| draw(0, n));
        assert_eq!(drawn, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn a_time_is_extended_by_the_random_part_of_the_share() {
        let jitter = Jitter { up_to: Ratio::new(2, 3).unwrap(), seed: 0 };
        let time = Duration::from_nanos(300 << 32);
        // The first random number is 0xe220_a839 of 2^32 parts.
        let parts = Duration::from_nanos(200 * 0xe220_a839);
        let lengthened = jitter.lengthen(time, 0) - time;
        assert!(parts <= lengthened && lengthened <= parts + Duration::from_nanos(200));
    }

    #[test]
    fn the_time_since_the_return_is_recorded_after_a_trip() {
        let jitter = Some(Jitter { up_to: Ratio::HALF, seed: 0 });
        let backoff = Some(Backoff {
            factor: Ratio::new(2, 1).unwrap(),
            max: Duration::from_secs(3_600),
            reset_after: Duration::from_secs(60),
        });
        let time = Duration::from_secs(1);
        let rules = IntervalRules { time, backoff, jitter, retry_after: None };
        let (intervals, at) = (Intervals::default(), Elapsed::from_millis(1_000_000));
        assert_eq!(intervals.remembered(true, at).back_for, None);
        // Jitter alone adds no steps.
        intervals.tripped(&IntervalRules { backoff: None, ..rules }, Elapsed::default(), true);
        let back_for = Some(Duration::from_secs(1_000));
        assert_eq!(intervals.remembered(true, at), Remembered { trips: 1, grown: 0, back_for });
        assert_eq!(intervals.remembered(false, at).back_for, None);
        // One step was taken back while it was saved, and half of the time to the next has passed.
        let back_for = Some(Duration::from_secs(50));
        let saved = Remembered { trips: 3, grown: 5, back_for };
        intervals.recall(&rules, saved, Duration::from_secs(40), at);
        let back_for = Some(Duration::from_secs(30));
        assert_eq!(intervals.remembered(true, at), Remembered { trips: 3, grown: 4, back_for });
    }

    #[test]
    fn the_fields_of_the_history_do_not_overlap() {
        let past = Past::new(u64::MAX, 0x1_2345, (1 << 40) - 1);
        assert_eq!((past.steps(), past.trips(), past.back_at()), (0xff, 0x2345, (1 << 40) - 1));
        let past = Past::new(1, 2, 3);
        assert_eq!((past.steps(), past.trips(), past.back_at()), (1, 2, 3));
    }
}
