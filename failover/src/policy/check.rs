//! What makes no sense about the conditions to trip.

use std::time::Duration;

use super::trip::Options;
use super::{Policy, PolicyError, StallLimit};

impl Policy {
    pub(super) fn check_trip(&self) -> Result<(), PolicyError> {
        let Options { consecutive_failures, slow_calls, stalled_calls, .. } = self.trip;
        let time = |time, shortest, error: fn(Duration) -> PolicyError| {
            if time < shortest || time > Self::LONGEST { Err(error(time)) } else { Ok(()) }
        };
        let counts = consecutive_failures.is_none() && stalled_calls.is_none();
        if self.failure_rate.is_none() && slow_calls.is_none() && counts {
            return Err(PolicyError::NoCondition);
        }
        if consecutive_failures == Some(0) {
            return Err(PolicyError::ConsecutiveFailures);
        }
        if let Some((after, rate)) = slow_calls {
            time(after, Self::SHORTEST_BUCKET, PolicyError::SlowerThan)?;
            if rate.is_one_or_more() {
                return Err(PolicyError::SlowRate(rate));
            }
        }
        if let Some(minimum) = self.trip.slow_minimum_calls
            && (minimum == 0 || slow_calls.is_none())
        {
            return Err(PolicyError::SlowMinimumCalls(minimum));
        }
        if let Some((after, limit)) = stalled_calls {
            time(after, 4 * Self::SHORTEST_BUCKET, PolicyError::StalledAfter)?;
            let senseless = match limit {
                StallLimit::Calls(calls) => calls == 0,
                StallLimit::Share(share) => share.is_one_or_more(),
            };
            if senseless {
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
}
