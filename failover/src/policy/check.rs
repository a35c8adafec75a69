//! Validates a policy.

use super::error::{PROBES, TIMES};
use super::{Policy, PolicyError, Probing, RetryAfter, SlowCalls, StallLimit, recovery, trip};

fn require(valid: bool, error: PolicyError) -> Result<(), PolicyError> {
    if valid { Ok(()) } else { Err(error) }
}

impl Policy {
    pub(super) fn check_window(&self) -> Result<(), PolicyError> {
        let Self { failure_rate, minimum_calls, window, buckets, revert_after, .. } = *self;
        if let Some(rate) = failure_rate {
            require(!rate.is_one_or_more(), PolicyError::FailureRate(rate))?;
        }
        require(minimum_calls > 0, PolicyError::MinimumCalls)?;
        require((1..=Self::MOST_BUCKETS).contains(&buckets), PolicyError::Buckets(buckets))?;
        let lengths = Self::SHORTEST_BUCKET * buckets..=Self::LONGEST;
        require(lengths.contains(&window), PolicyError::Window { window, buckets })?;
        require(TIMES.contains(&revert_after), PolicyError::RevertAfter(revert_after))
    }

    pub(super) fn check_trip(&self) -> Result<(), PolicyError> {
        let trip::Options { consecutive_failures, slow_calls, stalled_calls, .. } = self.trip;
        let counts = consecutive_failures.is_some() || stalled_calls.is_some();
        let rates = self.failure_rate.is_some() || slow_calls.is_some();
        require(counts || rates, PolicyError::NoCondition)?;
        require(consecutive_failures != Some(0), PolicyError::ConsecutiveFailures)?;
        if let Some(SlowCalls { longer_than, more_than, minimum_calls }) = slow_calls {
            require(TIMES.contains(&longer_than), PolicyError::SlowerThan(longer_than))?;
            require(!more_than.is_one_or_more(), PolicyError::SlowRate(more_than))?;
            require(minimum_calls != Some(0), PolicyError::SlowMinimumCalls)?;
        }
        if let Some((after, limit)) = stalled_calls {
            let times = 4 * Self::SHORTEST_BUCKET..=Self::LONGEST;
            require(times.contains(&after), PolicyError::StalledAfter(after))?;
            let valid = match limit {
                StallLimit::Calls(calls) => calls > 0,
                StallLimit::Share(share) => !share.is_one_or_more(),
            };
            require(valid, PolicyError::StallLimit(limit))?;
        }
        if let Some(after) = self.trip.dropped_after {
            require(TIMES.contains(&after), PolicyError::DroppedAfter(after))?;
        }
        self.trip.last_calls.map_or(Ok(()), |last_calls| self.check_last_calls(last_calls))
    }

    fn check_last_calls(&self, last_calls: u32) -> Result<(), PolicyError> {
        let sizes = 1..=Self::MOST_LAST_CALLS;
        require(sizes.contains(&last_calls), PolicyError::LastCalls(last_calls))?;
        let minimums = [
            self.failure_rate.map(|_| self.minimum_calls),
            self.trip.slow_calls.map(|_| self.slow_minimum_calls()),
        ];
        minimums.into_iter().flatten().try_for_each(|minimum| {
            let error = PolicyError::MinimumAboveLastCalls { minimum, last_calls };
            require(minimum <= u64::from(last_calls), error)
        })
    }

    pub(super) fn check_recovery(&self) -> Result<(), PolicyError> {
        let recovery::Options { probing, ramp_up, backoff, jitter, retry_after } = self.recovery;
        if let Some(probing) = probing {
            let valid = (1..=Probing::MOST).contains(&probing.max_in_flight)
                && PROBES.contains(&probing.successes)
                && PROBES.contains(&probing.failures)
                && TIMES.contains(&probing.lease);
            require(valid, PolicyError::Probing(probing))?;
        }
        if let Some((first, over)) = ramp_up {
            let valid = !first.is_one_or_more() && TIMES.contains(&over);
            require(valid, PolicyError::RampUp { first, over })?;
        }
        if let Some(backoff) = backoff {
            let valid = backoff.factor.numerator() > backoff.factor.denominator()
                && (self.revert_after..=Self::LONGEST).contains(&backoff.max)
                && TIMES.contains(&backoff.reset_after);
            require(valid, PolicyError::Backoff(backoff))?;
        }
        if let Some(super::Jitter { up_to, .. }) = jitter {
            let valid = (1..=up_to.denominator()).contains(&up_to.numerator());
            require(valid, PolicyError::Jitter(up_to))?;
        }
        if let Some(bounds @ RetryAfter { min, max }) = retry_after {
            let valid = TIMES.contains(&min) && TIMES.contains(&max) && min <= max;
            require(valid, PolicyError::RetryAfter(bounds))?;
        }
        Ok(())
    }
}
