//! Libraries that count within one process, and the two simplest counters.

use std::collections::VecDeque;

use super::breaker::{Breaker, State, told_by_the_breaker};
use crate::policies::{Pass, Policy};
use crate::world::{MINUTE, Millis, SECOND};

/// `slidingWindowType` COUNT_BASED of 100, `minimumNumberOfCalls` 100, `failureRateThreshold` 50
/// (reached is enough), `waitDurationInOpenState` 60 s, `permittedNumberOfCallsInHalfOpenState` 10.
/// Its slow calls are those above 60 s, which the lab's time-out excludes.
#[derive(Default)]
pub(super) struct Resilience4j {
    breaker: Breaker,
    window: VecDeque<bool>,
}

impl Resilience4j {
    const WINDOW: usize = 100;
    const PROBES: u32 = 10;
    const WAIT: Millis = 60 * SECOND;

    fn has_reached_half(&self) -> bool {
        2 * self.window.iter().filter(|failed| **failed).count() >= self.window.len()
    }
}

impl Policy for Resilience4j {
    fn admit(&mut self, now: Millis) -> Option<Pass> {
        if self.breaker.is_due(now) {
            self.window.clear();
            self.breaker.change(State::Probing { max_in_flight: Self::PROBES });
        }
        self.breaker.pass()
    }

    fn record(&mut self, now: Millis, pass: Pass, failed: bool) {
        if !self.breaker.is_current(&pass) {
            return;
        }
        self.window.push_back(failed);
        match self.breaker.state {
            State::Probing { .. } if self.window.len() == Self::PROBES as usize => {
                let next = match self.has_reached_half() {
                    true => State::Fallback { until: now + Self::WAIT },
                    false => State::Primary,
                };
                self.window.clear();
                self.breaker.change(next);
            }
            State::Primary => {
                if self.window.len() > Self::WINDOW {
                    self.window.pop_front();
                }
                if self.window.len() == Self::WINDOW && self.has_reached_half() {
                    self.breaker.trip(now + Self::WAIT);
                }
            }
            _ => {}
        }
    }

    told_by_the_breaker!();
}

/// `FailureRatio` 0.1, `MinimumThroughput` 100, `SamplingDuration` 30 s, `BreakDuration` 5 s. One
/// probe after the break; a failure is evaluated, a success is not. The documentation says both
/// that reaching the ratio breaks the circuit and that it must be exceeded; reaching it is enough
/// here.
#[derive(Default)]
pub(super) struct Polly {
    breaker: Breaker,
    window: VecDeque<(Millis, bool)>,
    failures: usize,
}

impl Polly {
    const SAMPLING: Millis = 30 * SECOND;
    const BREAK: Millis = 5 * SECOND;

    fn forget(&mut self, now: Millis) {
        while let Some((at, failed)) = self.window.front().copied()
            && at + Self::SAMPLING <= now
        {
            self.window.pop_front();
            self.failures -= usize::from(failed);
        }
    }
}

impl Policy for Polly {
    fn admit(&mut self, now: Millis) -> Option<Pass> {
        if self.breaker.is_due(now) {
            self.breaker.change(State::Probing { max_in_flight: 1 });
        }
        self.breaker.pass()
    }

    fn record(&mut self, now: Millis, pass: Pass, failed: bool) {
        if !self.breaker.is_current(&pass) {
            return;
        }
        if let State::Probing { .. } = self.breaker.state {
            self.breaker.change(match failed {
                true => State::Fallback { until: now + Self::BREAK },
                false => State::Primary,
            });
            return;
        }
        self.forget(now);
        self.window.push_back((now, failed));
        self.failures += usize::from(failed);
        if failed && self.window.len() >= 100 && 10 * self.failures >= self.window.len() {
            self.window.clear();
            self.failures = 0;
            self.breaker.trip(now + Self::BREAK);
        }
    }

    told_by_the_breaker!();
}

/// Five failures in a row, with the library's default recovery.
#[derive(Default)]
pub(super) struct FiveInARow {
    breaker: Breaker,
    run: u32,
}

const FIVE_MINUTES: Millis = 5 * MINUTE;

impl Policy for FiveInARow {
    fn admit(&mut self, now: Millis) -> Option<Pass> {
        if self.breaker.is_due(now) {
            self.breaker.change(State::Primary);
        }
        self.breaker.pass()
    }

    fn record(&mut self, now: Millis, pass: Pass, failed: bool) {
        if !self.breaker.is_current(&pass) {
            return;
        }
        self.run = if failed { self.run + 1 } else { 0 };
        if self.run >= 5 {
            self.run = 0;
            self.breaker.trip(now + FIVE_MINUTES);
        }
    }

    told_by_the_breaker!();
}

/// The naive reading of the requirement: the share of failures since the process started, without a
/// window, without a minimum, and never reset.
#[derive(Default)]
pub(super) struct SinceStart {
    breaker: Breaker,
    failures: u64,
    calls: u64,
}

impl Policy for SinceStart {
    fn admit(&mut self, now: Millis) -> Option<Pass> {
        if self.breaker.is_due(now) {
            self.breaker.change(State::Primary);
        }
        self.breaker.pass()
    }

    fn record(&mut self, now: Millis, pass: Pass, failed: bool) {
        if !self.breaker.is_current(&pass) {
            return;
        }
        self.calls += 1;
        self.failures += u64::from(failed);
        if 2 * self.failures > self.calls {
            self.breaker.trip(now + FIVE_MINUTES);
        }
    }

    told_by_the_breaker!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(policy: &mut impl Policy, now: Millis, failed: bool) -> bool {
        let pass = policy.admit(now);
        let primary = pass.is_some();
        pass.into_iter().for_each(|pass| policy.record(now, pass, failed));
        primary
    }

    #[test]
    fn resilience4j_trips_at_half_of_a_hundred_and_comes_back_by_ten_probes() {
        let mut policy = Resilience4j::default();
        (0..100).for_each(|n| assert!(call(&mut policy, n, n % 2 == 0)));
        assert!(policy.diverts() && !call(&mut policy, 60_098, false));
        (0..10).for_each(|n| assert!(call(&mut policy, 60_099, n < 5)));
        assert!(policy.diverts(), "half of the probes failed");
        (0..10).for_each(|n| assert!(call(&mut policy, 120_099, n < 4)));
        assert!(!policy.diverts());
        assert_eq!(policy.trips(), 1);
    }

    #[test]
    fn resilience4j_takes_ten_probes_at_once_and_no_more() {
        let mut policy = Resilience4j::default();
        (0..100).for_each(|n| assert!(call(&mut policy, n, true)));
        let probes = (0..20).filter_map(|_| policy.admit(90_000)).count();
        assert_eq!(probes, 10);
    }

    #[test]
    fn polly_trips_at_a_tenth_of_a_hundred_calls_in_half_a_minute() {
        let mut policy = Polly::default();
        (0..90).for_each(|n| assert!(call(&mut policy, n, false)));
        (90..99).for_each(|n| assert!(call(&mut policy, n, true)));
        assert!(!policy.diverts());
        assert!(call(&mut policy, 99, true));
        assert!(!call(&mut policy, 5_098, false) && call(&mut policy, 5_099, false));
        assert!(!policy.diverts());
    }

    #[test]
    fn polly_forgets_what_is_older_than_half_a_minute() {
        let mut policy = Polly::default();
        (0..99).for_each(|_| assert!(call(&mut policy, 0, true)));
        assert!(call(&mut policy, 30_000, true));
        assert!(!policy.diverts());
    }

    #[test]
    fn the_counter_since_start_never_trips_after_a_long_good_time() {
        let mut policy = SinceStart::default();
        (0..1_000).for_each(|n| assert!(call(&mut policy, n, false)));
        (1_000..2_000).for_each(|n| assert!(call(&mut policy, n, true)));
        assert!(!policy.diverts());
        assert!(call(&mut policy, 2_000, true));
        assert!(policy.diverts());
    }

    #[test]
    fn five_in_a_row_are_not_four_and_a_success_between() {
        let mut policy = FiveInARow::default();
        (0..101).for_each(|n| assert!(call(&mut policy, n, n % 5 != 0)));
        (101..106).for_each(|n| assert!(call(&mut policy, n, true)));
        assert!(policy.diverts() && !call(&mut policy, 300_104, false));
        assert!(call(&mut policy, 300_105, false));
    }
}
