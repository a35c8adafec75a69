//! Validates the options of a policy.

use std::time::Duration;

use super::trip::Options;
use super::{Policy, PolicyError, Probing, RetryAfter, SlowCalls, StallLimit, recovery};

impl Policy {
    pub(super) fn check_trip(&self) -> Result<(), PolicyError> {
        let Options { consecutive_failures, slow_calls, stalled_calls, .. } = self.trip;
        let time = |time, shortest, error: fn(Duration) -> PolicyError| {
            if time < shortest || time > Self::LONGEST { Err(error(time)) } else { Ok(()) }
        };
        let no_counts = consecutive_failures.is_none() && stalled_calls.is_none();
        if self.failure_rate.is_none() && slow_calls.is_none() && no_counts {
            return Err(PolicyError::NoCondition);
        }
        if consecutive_failures == Some(0) {
            return Err(PolicyError::ConsecutiveFailures);
        }
        if let Some(SlowCalls { longer_than, more_than, minimum_calls }) = slow_calls {
            time(longer_than, Self::SHORTEST_BUCKET, PolicyError::SlowerThan)?;
            if more_than.is_one_or_more() {
                return Err(PolicyError::SlowRate(more_than));
            }
            if minimum_calls == Some(0) {
                return Err(PolicyError::SlowMinimumCalls);
            }
        }
        if let Some((after, limit)) = stalled_calls {
            time(after, 4 * Self::SHORTEST_BUCKET, PolicyError::StalledAfter)?;
            let invalid = match limit {
                StallLimit::Calls(calls) => calls == 0,
                StallLimit::Share(share) => share.is_one_or_more(),
            };
            if invalid {
                return Err(PolicyError::StallLimit(limit));
            }
        }
        if let Some(after) = self.trip.dropped_after {
            time(after, Self::SHORTEST_BUCKET, PolicyError::DroppedAfter)?;
        }
        self.trip.last_calls.map_or(Ok(()), |last_calls| self.check_last_calls(last_calls))
    }

    fn check_last_calls(&self, last_calls: u32) -> Result<(), PolicyError> {
        if last_calls == 0 || last_calls > Self::MOST_LAST_CALLS {
            return Err(PolicyError::LastCalls(last_calls));
        }
        let rates = [
            self.failure_rate.map(|_| self.minimum_calls),
            self.trip.slow_calls.map(|_| self.slow_minimum_calls()),
        ];
        let too_many = |minimum: &u64| *minimum > u64::from(last_calls);
        match rates.into_iter().flatten().find(too_many) {
            Some(minimum) => Err(PolicyError::MinimumAboveLastCalls { minimum, last_calls }),
            None => Ok(()),
        }
    }

    pub(super) fn check_recovery(&self) -> Result<(), PolicyError> {
        let times = Self::SHORTEST_BUCKET..=Self::LONGEST;
        let recovery::Options { probing, ramp_up, backoff, jitter, retry_after } = &self.recovery;
        if let Some(probing) = *probing {
            let counts = 1..=1_000_000;
            let valid = (1..=Probing::MOST).contains(&probing.max_in_flight)
                && counts.contains(&probing.successes)
                && counts.contains(&probing.failures)
                && times.contains(&probing.lease);
            if !valid {
                return Err(PolicyError::Probing(probing));
            }
        }
        if let Some((first, over)) = *ramp_up
            && (first.is_one_or_more() || !times.contains(&over))
        {
            return Err(PolicyError::RampUp { first, over });
        }
        if let Some(backoff) = *backoff
            && (backoff.factor.numerator() <= backoff.factor.denominator()
                || backoff.max < self.revert_after
                || backoff.max > Self::LONGEST
                || !times.contains(&backoff.reset_after))
        {
            return Err(PolicyError::Backoff(backoff));
        }
        if let Some(super::Jitter { up_to, .. }) = *jitter
            && (up_to.numerator() == 0 || up_to.numerator() > up_to.denominator())
        {
            return Err(PolicyError::Jitter(up_to));
        }
        if let Some(bounds @ RetryAfter { min, max }) = *retry_after
            && (!times.contains(&min) || !times.contains(&max) || min > max)
        {
            return Err(PolicyError::RetryAfter(bounds));
        }
        Ok(())
    }
}
