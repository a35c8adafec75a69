//! The policy's numbers as the engine reads them, and their verdict on the counts.

use crate::clock::nanos;
use crate::engine::sync::{Ordering, Setting};
use crate::engine::window::Stalled;
use crate::event::Condition;
use crate::policy::{Policy, StallLimit};
use crate::ratio::Ratio;
use crate::tally::Tally;

/// The options of a policy, in one word that is read with the phase: an option that is off costs a
/// branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options(u64);

impl Options {
    const FAILURE_RATE: u64 = 1;
    const CONSECUTIVE: u64 = 1 << 1;
    const SLOW: u64 = 1 << 2;
    const STALLS: u64 = 1 << 3;
    const DROPPED: u64 = 1 << 4;
    const DRY_RUN: u64 = 1 << 5;
    const RETRY_AFTER: u64 = 1 << 6;

    const PLACE_AT: u32 = 8;

    /// `slot`: which of the windows the policy has.
    pub(crate) fn new(policy: &Policy, slot: u64) -> Self {
        let option = |asked: bool, bit: u64| if asked { bit } else { 0 };
        Self(
            option(policy.failure_rate().is_some(), Self::FAILURE_RATE)
                | option(policy.consecutive_failures().is_some(), Self::CONSECUTIVE)
                | option(policy.slow_calls().is_some(), Self::SLOW)
                | option(policy.stalled_calls().is_some(), Self::STALLS)
                | option(policy.dropped_after().is_some(), Self::DROPPED)
                | option(policy.is_dry_run(), Self::DRY_RUN)
                | option(policy.retry_after().is_some(), Self::RETRY_AFTER)
                | slot << Self::PLACE_AT,
        )
    }

    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    pub(crate) const fn slot(self) -> u64 {
        self.0 >> Self::PLACE_AT
    }

    const fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// Whether the end of a call may have to evaluate the window.
    pub(crate) const fn rates(self) -> bool {
        self.has(Self::FAILURE_RATE | Self::SLOW)
    }

    /// Whether the end of a call only counts, in the first window.
    pub(crate) const fn plain(self) -> bool {
        !self.has(Self::CONSECUTIVE | Self::SLOW) && self.slot() == 0
    }

    pub(crate) const fn consecutive(self) -> bool {
        self.has(Self::CONSECUTIVE)
    }

    pub(crate) const fn slow(self) -> bool {
        self.has(Self::SLOW)
    }

    pub(crate) const fn stalls(self) -> bool {
        self.has(Self::STALLS)
    }

    pub(crate) const fn dropped(self) -> bool {
        self.has(Self::DROPPED)
    }

    /// Whether a call has to know when it began.
    pub(crate) const fn timed(self) -> bool {
        self.has(Self::SLOW | Self::STALLS | Self::DROPPED)
    }

    pub(crate) const fn follows_retry_after(self) -> bool {
        self.has(Self::RETRY_AFTER)
    }

    pub(crate) const fn dry_run(self) -> bool {
        self.has(Self::DRY_RUN)
    }
}

/// The verdict on the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No condition holds, nor will one after `headroom` more failures that are not slow, whatever
    /// successes come between them.
    Calm { headroom: u64 },
    /// A rate exceeds its threshold once the minimum of calls is complete.
    Armed,
    /// A condition holds.
    Trip(Condition),
}

/// A threshold and a minimum of calls. Without a condition the threshold is 1, which is never exceeded.
#[derive(Debug)]
struct Rate {
    numerator: Setting,
    denominator: Setting,
    minimum_calls: Setting,
}

impl Rate {
    fn new() -> Self {
        let one = || Setting::new(1);
        Self { numerator: one(), denominator: one(), minimum_calls: one() }
    }

    fn set(&self, rate: Option<Ratio>, minimum_calls: u64) {
        // A share never exceeds 1.
        let (numerator, denominator) = rate.map_or((1, 1), |r| (r.numerator(), r.denominator()));
        // Ordering: see `Rules::set`.
        self.numerator.store(u64::from(numerator), Ordering::Release);
        self.denominator.store(u64::from(denominator), Ordering::Release);
        self.minimum_calls.store(minimum_calls, Ordering::Release);
    }

    fn ratio(&self) -> (u64, u64) {
        let number = |number: &Setting| number.load(Ordering::Acquire);
        (number(&self.numerator), number(&self.denominator))
    }

    /// Whether `part / whole` exceeds the threshold, and `whole` has the minimum of calls.
    fn holds(&self, part: u64, whole: u64) -> bool {
        let (numerator, denominator) = self.ratio();
        exceeds(part, whole, numerator, denominator)
            && whole >= self.minimum_calls.load(Ordering::Acquire)
    }

    /// By how much `part`, and `whole` with it, may grow until [`holds`](Self::holds) can be true. `None`
    /// if other calls alone can make it true.
    ///
    /// It is false for a part up to the threshold's share of the minimum, since `whole` is at least the
    /// minimum. It is false for a part up to the share to which the other calls are the rest, and those
    /// only grow.
    fn headroom(&self, part: u64, whole: u64) -> Option<u64> {
        let (numerator, denominator) = self.ratio();
        if numerator >= denominator {
            // A share never exceeds 1.
            return Some(u64::MAX - part);
        }
        let minimum = self.minimum_calls.load(Ordering::Acquire);
        let others = whole.saturating_sub(part);
        // A product that saturates makes the result smaller.
        let of_minimum = numerator.saturating_mul(minimum) / denominator;
        let of_others = numerator.saturating_mul(others) / (denominator - numerator);
        of_minimum.max(of_others).checked_sub(part)
    }
}

/// [`Ratio::is_exceeded_by`] for the two parts of a shared ratio.
fn exceeds(part: u64, whole: u64, numerator: u64, denominator: u64) -> bool {
    // The product of two u64 fits a u128.
    u128::from(part) * u128::from(denominator) > u128::from(whole) * u128::from(numerator)
}

/// The policy's numbers as atomics: an engine is reused for another policy (see `pool`). A thread that
/// reads a mixture belongs to an epoch that is over, and its verdict changes nothing.
#[derive(Debug)]
pub(crate) struct Rules {
    failures: Rate,
    slow: Rate,
    stalls: Rate,
    /// The consecutive failures that trip.
    consecutive: Setting,
    /// The stalled calls that trip.
    stalled_calls: Setting,
    slow_nanos: Setting,
    dropped_nanos: Setting,
}

impl Rules {
    pub(crate) fn new(policy: &Policy) -> Self {
        let never = || Setting::new(u64::MAX);
        let rules = Self {
            failures: Rate::new(),
            slow: Rate::new(),
            stalls: Rate::new(),
            consecutive: never(),
            stalled_calls: never(),
            slow_nanos: never(),
            dropped_nanos: never(),
        };
        rules.set(policy);
        rules
    }

    pub(crate) fn set(&self, policy: &Policy) {
        // Ordering: Release pairs with the Acquire in the readers: a thread that sees a new number also
        // sees that the old epoch is over, so its compare-and-swap fails.
        let store = |number: &Setting, value| number.store(value, Ordering::Release);
        let minimum = policy.minimum_calls();
        let (share, calls) = match policy.stalled_calls() {
            Some((_, StallLimit::Calls(calls))) => (None, calls),
            Some((_, StallLimit::Share(share))) => (Some(share), u64::MAX),
            None => (None, u64::MAX),
        };
        self.failures.set(policy.failure_rate(), minimum);
        self.slow.set(policy.slow_calls().map(|slow| slow.more_than), policy.slow_minimum_calls());
        self.stalls.set(share, minimum);
        store(&self.stalled_calls, calls);
        store(&self.consecutive, policy.consecutive_failures().map_or(u64::MAX, u64::from));
        store(
            &self.slow_nanos,
            policy.slow_calls().map_or(u64::MAX, |slow| nanos(slow.longer_than)),
        );
        store(&self.dropped_nanos, policy.dropped_after().map_or(u64::MAX, nanos));
    }

    /// Whether a call that took `nanos` nanoseconds was slow.
    #[inline]
    pub(crate) fn is_slow(&self, nanos: u64) -> bool {
        nanos > self.slow_nanos.load(Ordering::Acquire)
    }

    /// Whether a call that was dropped after `nanos` nanoseconds failed.
    pub(crate) fn is_failure_when_dropped(&self, nanos: u64) -> bool {
        nanos > self.dropped_nanos.load(Ordering::Acquire)
    }

    /// Whether a streak trips.
    pub(crate) fn is_too_long(&self, streak: u64) -> bool {
        streak >= self.consecutive.load(Ordering::Acquire)
    }

    /// The verdict on the calls that ended: the first condition that holds.
    pub(crate) fn evaluate(&self, tally: &Tally, streak: u64) -> Verdict {
        let (calls, failures, slow) = (tally.calls(), tally.failures, tally.slow);
        if self.failures.holds(failures, calls) {
            return Verdict::Trip(Condition::FailureRate);
        }
        if self.is_too_long(streak) {
            return Verdict::Trip(Condition::ConsecutiveFailures { failures: streak });
        }
        if self.slow.holds(slow, calls) {
            return Verdict::Trip(Condition::SlowCalls);
        }
        match (self.failures.headroom(failures, calls), self.slow.headroom(slow, calls)) {
            (Some(headroom), Some(_)) => Verdict::Calm { headroom },
            _ => Verdict::Armed,
        }
    }

    /// The condition that the calls in flight fulfil, if any.
    pub(crate) fn evaluate_stalled(&self, stalled: Stalled) -> Option<Condition> {
        let condition = |stalled, admitted| Condition::StalledCalls { stalled, admitted };
        let Stalled { calls, recent, admitted } = stalled;
        if calls >= self.stalled_calls.load(Ordering::Acquire) {
            return Some(condition(calls, None));
        }
        self.stalls.holds(recent, admitted).then(|| condition(recent, Some(admitted)))
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    /// For every small part, number of other calls, ratio and minimum: `headroom` is the most that can be
    /// added to the part so that the rate never holds on the way, whatever other calls come.
    #[test]
    fn headroom_is_the_most_that_changes_nothing() {
        let ever_holds = |rate: &Rate, part: u64, others: u64| {
            (others..others + 60).any(|others| rate.holds(part, part + others))
        };
        // Miri is slow.
        let (most, minimums): (u64, &[u64]) =
            if cfg!(miri) { (2, &[2]) } else { (25, &[1, 2, 5, 10, 19]) };
        for (numerator, denominator) in [(1, 2), (1, 3), (2, 3), (1, 10), (9, 10), (1, 1)] {
            for &minimum in minimums {
                let rate = Rate::new();
                rate.set(Some(Ratio::new(numerator, denominator).unwrap()), minimum);
                let pairs = (0..most).flat_map(|part| (0..most).map(move |others| (part, others)));
                for (part, others) in pairs {
                    let case = (numerator, denominator, minimum, part, others);
                    match rate.headroom(part, part + others) {
                        None => assert!(ever_holds(&rate, part, others), "{case:?}"),
                        Some(headroom) => {
                            let most = part + headroom.min(100);
                            assert!(
                                (part..=most).all(|p| !ever_holds(&rate, p, others)),
                                "{case:?}"
                            );
                            let is_most = headroom > 100 || ever_holds(&rate, most + 1, others);
                            assert!(is_most, "{case:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_out_of_range_leave_less_headroom_and_nothing_panics() {
        let rate = Rate::new();
        rate.set(Some(Ratio::new(u32::MAX - 1, u32::MAX).unwrap()), u64::MAX);
        assert_eq!(rate.headroom(u64::MAX, u64::MAX), None);
        assert!(rate.headroom(0, u64::MAX).unwrap() >= u64::from(u32::MAX));
        rate.set(None, 1);
        assert_eq!(rate.headroom(7, u64::MAX), Some(u64::MAX - 7));
    }
}
