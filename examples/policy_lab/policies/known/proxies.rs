//! Proxies, which observe each endpoint separately. The primary is one endpoint here.

use super::breaker::{Breaker, State, told_by_the_breaker};
use crate::policies::{Pass, Policy};
use crate::random::Random;
use crate::world::{MINUTE, Millis, SECOND};

/// `consecutive` with `max-failures` 7, `min-penalty` 1 s, `max-penalty` 1 min, `jitter-ratio` 0.5:
/// after the penalty one request probes; if it fails, the next penalty is twice as long.
pub(super) struct Linkerd {
    breaker: Breaker,
    run: u32,
    doublings: u32,
    random: Random,
}

impl Default for Linkerd {
    fn default() -> Self {
        // Every run has the same jitter.
        let random = Random::new(7);
        Self { breaker: Breaker::default(), run: 0, doublings: 0, random }
    }
}

impl Linkerd {
    fn penalty(&mut self) -> Millis {
        let penalty = (SECOND << self.doublings.min(6)).min(MINUTE);
        self.doublings += 1;
        let jitter = u32::try_from(penalty / 2).unwrap_or(u32::MAX);
        penalty + Millis::from(self.random.below(jitter + 1))
    }
}

impl Policy for Linkerd {
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
        match (self.breaker.state, failed) {
            (State::Probing { .. }, true) => {
                let until = now + self.penalty();
                self.breaker.change(State::Fallback { until });
            }
            (State::Probing { .. }, false) => {
                (self.run, self.doublings) = (0, 0);
                self.breaker.change(State::Primary);
            }
            (_, false) => self.run = 0,
            (_, true) => {
                self.run += 1;
                if self.run >= 7 {
                    self.run = 0;
                    let until = now + self.penalty();
                    self.breaker.trip(until);
                }
            }
        }
    }

    told_by_the_breaker!();
}

/// `consecutive_5xx` 5, with time-outs counted as 504; `interval` 10 s, `base_ejection_time` 30 s,
/// `max_ejection_time` 300 s. A host is ejected for the base time multiplied by its consecutive
/// ejections, and returns with the next sweep; each sweep that finds it in service forgets one
/// ejection.
///
/// With the default of `max_ejection_percent` and `always_eject_one_host` off, a single host is
/// never ejected. Here `always_eject_one_host` is on, and panic mode, which would send calls to
/// ejected hosts, is off.
#[derive(Default)]
pub(super) struct Envoy {
    breaker: Breaker,
    run: u32,
    in_a_row: u64,
    swept: Millis,
}

impl Envoy {
    const INTERVAL: Millis = 10 * SECOND;

    /// Runs the sweeps that are due.
    fn sweep(&mut self, now: Millis) {
        while self.swept + Self::INTERVAL <= now {
            self.swept += Self::INTERVAL;
            if self.breaker.is_due(self.swept) {
                self.run = 0;
                self.breaker.change(State::Primary);
            } else if self.breaker.state == State::Primary {
                self.in_a_row = self.in_a_row.saturating_sub(1);
            }
        }
    }
}

impl Policy for Envoy {
    fn admit(&mut self, now: Millis) -> Option<Pass> {
        self.sweep(now);
        self.breaker.pass()
    }

    fn record(&mut self, now: Millis, pass: Pass, failed: bool) {
        self.sweep(now);
        if !self.breaker.is_current(&pass) {
            return;
        }
        self.run = if failed { self.run + 1 } else { 0 };
        if self.run >= 5 {
            self.in_a_row += 1;
            self.breaker.trip(now + (30 * SECOND * self.in_a_row).min(300 * SECOND));
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
    fn linkerd_doubles_the_penalty_with_each_probe_that_fails_and_forgets_it_with_one_that_succeeds()
     {
        let mut policy = Linkerd::default();
        (0..7).for_each(|n| assert!(call(&mut policy, n, true)));
        let mut penalties = Vec::new();
        let mut now = 6;
        for _ in 0..9 {
            let since = now;
            while !call(&mut policy, now, true) {
                now += 10;
            }
            penalties.push(now - since);
        }
        for (n, penalty) in penalties.iter().enumerate() {
            let base = (SECOND << n).min(MINUTE);
            assert!((base..=base * 3 / 2 + 10).contains(penalty), "{n}: {penalty}");
        }
        while !call(&mut policy, now, false) {
            now += 10;
        }
        assert!(!policy.diverts());
        assert_eq!(policy.trips(), 1);
    }

    #[test]
    fn envoy_ejects_longer_each_time_and_returns_the_host_with_a_sweep() {
        let mut policy = Envoy::default();
        (1..6).for_each(|n| assert!(call(&mut policy, n, true)));
        assert!(!call(&mut policy, 39_999, false), "30 s were over at the sweep of 40 s");
        (0..5).for_each(|n| assert!(call(&mut policy, 40_000 + n, true)));
        assert!(!call(&mut policy, 109_999, false), "60 s the second time");
        assert!(call(&mut policy, 110_000, false));
        // Two sweeps without an ejection forget both.
        assert!(call(&mut policy, 130_000, false));
        (0..5).for_each(|n| assert!(call(&mut policy, 130_001 + n, true)));
        assert!(!call(&mut policy, 169_999, false) && call(&mut policy, 170_000, false));
    }
}
