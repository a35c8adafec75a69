//! Recovery, in the simplest form.

use failover::policy::Backoff;
use std::time::Duration;

use failover::Outcome;
use failover::event::Cause;

use super::{Naive, Phase};

const MILLI: u128 = 1_000_000;

/// The state of recovery.
#[derive(Default)]
pub(super) struct Back {
    /// The lease of each permit: its epoch, and the millisecond at which it ends. On a monotonic
    /// clock no two are equal.
    max_in_flight: Vec<Option<Lease>>,
    successes: u32,
    failures: u32,
    /// Whether there was a trip, the steps of the backoff, and the millisecond of the revert.
    tripped: bool,
    steps: u128,
    back_at: u128,
    /// The latest `Retry-After`: its epoch, and the millisecond at which it ends.
    hint: Option<(u64, u128)>,
}

pub(super) type Lease = (u64, u128);

#[derive(PartialEq)]
pub(super) enum Dealt {
    Primary,
    Fallback,
}

impl Back {
    pub(super) fn swapped(&mut self, from: u64, to: u64) {
        self.hint = self.hint.filter(|hint| hint.0 == from).map(|hint| (to, hint.1));
    }
}

impl Naive {
    pub(super) fn deadline(&self, time: Duration) -> u128 {
        (self.now + time.as_nanos()).div_ceil(MILLI) * MILLI
    }

    pub(super) fn phase_after_restart(&self, elapsed: u128) -> Phase {
        let over = Phase::Fallback { deadline: self.now / MILLI * MILLI };
        let left = |deadline: u128| {
            let left = deadline.saturating_sub(self.now).saturating_sub(elapsed);
            (left > 0).then(|| Duration::from_nanos(u64::try_from(left).unwrap()))
        };
        match self.phase {
            Phase::Fallback { deadline } => left(deadline)
                .map_or(over, |left| Phase::Fallback { deadline: self.deadline(left) }),
            Phase::Probing => over,
            Phase::Ramping { deadline } => left(deadline)
                .zip(self.policy.ramp_up())
                .map_or(Phase::Primary, |(left, (_, over))| Phase::Ramping {
                    deadline: self.deadline(left.min(over)),
                }),
            phase => phase,
        }
    }

    pub(super) fn restore_intervals(&mut self, is_back: bool, elapsed: u128) {
        let now = self.now / MILLI;
        let healthy = match is_back && self.back.tripped {
            true => now.saturating_sub(self.back.back_at) + elapsed / MILLI,
            false => 0,
        };
        let step = self.policy.backoff().map_or(u128::MAX, |b| b.reset_after.as_millis());
        self.back.steps = self.back.steps.saturating_sub(healthy / step);
        self.back.back_at = now.saturating_sub(healthy % step);
        self.back.hint = None;
    }

    pub(super) fn end_of_time(&mut self) {
        let probes = self.policy.probing().is_some() && !self.policy.is_dry_run();
        if probes && matches!(self.phase, Phase::Fallback { .. }) {
            self.back.max_in_flight.clear();
            (self.back.successes, self.back.failures) = (0, 0);
            self.begin(Phase::Probing, Cause::Probing);
        } else {
            self.come_back();
        }
    }

    fn come_back(&mut self) {
        let returning = matches!(self.phase, Phase::Ramping { .. });
        if !returning {
            self.back.back_at = self.now / MILLI;
        }
        match self.policy.ramp_up() {
            _ if self.policy.is_dry_run() => self.begin(Phase::Primary, Cause::WouldRevert),
            Some((_, over)) if !returning => {
                let deadline = self.deadline(over);
                self.begin(Phase::Ramping { deadline }, Cause::Ramping { over });
            }
            _ => self.begin(Phase::Primary, Cause::Reverted),
        }
    }

    /// An operator ends the time on the fallback.
    pub(crate) fn revert(&mut self) -> bool {
        let ends = matches!(self.phase, Phase::Fallback { .. } | Phase::Probing);
        if ends {
            self.come_back();
        }
        ends
    }

    /// An operator's reset clears the backoff; a release counts as a revert.
    pub(crate) fn forget(&mut self) {
        (self.back.tripped, self.back.steps, self.back.back_at) = (false, 0, 0);
        self.back.hint = None;
    }

    pub(crate) fn released(&mut self) {
        self.back.back_at = self.now / MILLI;
    }

    pub(super) fn take_place(&mut self) -> Option<(usize, Lease)> {
        let probing = self.policy.probing().unwrap();
        self.back.max_in_flight.resize(usize::try_from(probing.max_in_flight).unwrap(), None);
        let now = self.now / MILLI;
        let place =
            self.back.max_in_flight.iter().position(|h| h.is_none_or(|(_, ends)| ends <= now))?;
        let lease = (self.epoch, now + probing.lease.as_millis());
        self.back.max_in_flight[place] = Some(lease);
        Some((place, lease))
    }

    pub(super) fn record_probe(&mut self, (place, lease): (usize, Lease), outcome: Outcome) {
        if self.back.max_in_flight[place] != Some(lease) {
            return;
        }
        self.back.max_in_flight[place] = None;
        if outcome == Outcome::Ignored {
            return;
        }
        self.hint(outcome);
        let probing = self.policy.probing().unwrap();
        if outcome.is_failure() {
            self.back.failures += 1;
        } else {
            self.back.successes += 1;
        }
        if self.back.failures >= probing.failures {
            let revert_after = self.next_interval(false);
            let deadline = self.deadline(revert_after);
            self.begin(Phase::Fallback { deadline }, Cause::ProbesFailed { revert_after });
        } else if self.back.successes >= probing.successes {
            self.come_back();
        }
    }

    /// At a share between none and all a call may take either route: `to_primary` is the one that it
    /// took. (The unit tests of the ramp check the share.)
    pub(super) fn deal(&self, deadline: u128, to_primary: bool) -> Dealt {
        let (first, over) = self.policy.ramp_up().unwrap();
        let left = deadline.saturating_sub(self.now);
        let begins = left >= over.as_nanos();
        match to_primary {
            _ if left == 0 => Dealt::Primary,
            _ if begins && first.numerator() == 0 => Dealt::Fallback,
            true => Dealt::Primary,
            false => Dealt::Fallback,
        }
    }

    pub(super) fn hint(&mut self, outcome: Outcome) {
        if let Outcome::RetryAfter(retry_after) = outcome
            && let Some(bounds) = self.policy.retry_after()
        {
            let until = (self.now + retry_after.max(bounds.min).as_nanos()).div_ceil(MILLI);
            let epoch = self.epoch;
            let latest = self.back.hint.filter(|h| h.0 == epoch).map_or(until, |h| h.1.max(until));
            self.back.hint = Some((epoch, latest));
        }
    }

    /// The time on the fallback of a trip now, which takes one step of the backoff.
    pub(super) fn next_interval(&mut self, was_back: bool) -> Duration {
        let mut time = self.policy.revert_after();
        if let Some(Backoff { factor, max, reset_after, .. }) = self.policy.backoff() {
            let healthy = (self.now / MILLI).saturating_sub(self.back.back_at);
            let forgotten = if was_back { healthy / reset_after.as_millis() } else { 0 };
            let steps = self.back.steps.saturating_sub(forgotten);
            for _ in 0..steps {
                let grown = time.as_nanos() * u128::from(factor.numerator())
                    / u128::from(factor.denominator());
                time = Duration::from_nanos(u64::try_from(grown).unwrap()).min(max);
            }
            self.back.tripped = true;
            self.back.steps = (steps + 1).min(255);
        }
        match self.back.hint.zip(self.policy.retry_after()) {
            Some(((epoch, until), bounds)) if epoch == self.epoch && until * MILLI > self.now => {
                let left = u64::try_from(until * MILLI - self.now).unwrap();
                Duration::from_nanos(left).clamp(bounds.min, bounds.max)
            }
            _ => time,
        }
    }
}
