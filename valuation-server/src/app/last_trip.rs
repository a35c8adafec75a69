//! Why calls go to the fallback. [`Standing`](super::standing::Standing) keeps it over a restart.

use std::sync::{Mutex, MutexGuard, PoisonError};

use failover::Event;
use failover::event::{Cause, Condition};
use failover::monitor::Tally;

use crate::web::operator::{Limit, Limits, Reason};

/// The reason of the last change to the fallback. On the fallback the window is empty, so that only the
/// event knows its counts, and the policy may be another one than at the trip.
#[derive(Debug)]
pub(super) struct LastTrip(Mutex<Known>);

#[derive(Debug)]
struct Known {
    reason: Reason,
    /// Of the policy in force.
    limits: Limits,
}

impl LastTrip {
    /// With the limits of the first policy.
    pub(super) fn new(limits: Limits) -> Self {
        Self(Mutex::new(Known { reason: Reason::Restored, limits }))
    }

    /// Takes the limits of a new policy, for later trips. To be called before it is in force.
    pub(super) fn amend(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// Takes the reason from an event that has one. `nodes`: how many decided, if that was the fleet.
    pub(super) fn note(&self, event: &Event, nodes: Option<usize>) {
        let mut known = self.lock();
        known.reason = match event.cause {
            Cause::Tripped { condition, tally, .. } | Cause::WouldTrip { condition, tally, .. } => {
                reason(condition, tally, &known.limits, (event.scope.as_deref(), nodes))
            }
            Cause::ProbesFailed { .. } => Reason::ProbeFailed,
            Cause::Restored => Reason::Restored,
            _ => return,
        };
    }

    pub(super) fn reason(&self) -> Reason {
        self.lock().reason.clone()
    }

    /// Takes the reason that was saved before a restart.
    pub(super) fn resume(&self, reason: Reason) {
        self.lock().reason = reason;
    }

    // Each field is only replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reason(
    condition: Condition,
    tally: Tally,
    limits: &Limits,
    (scope, nodes): (Option<&str>, Option<usize>),
) -> Reason {
    let (calls, minimum_calls) = (tally.calls(), limits.minimum_calls);
    let limit = |rate| Limit { rate, minimum_calls };
    match condition {
        Condition::SlowCalls => {
            Reason::SlowCalls { slow: tally.slow, calls, limit: limits.slow_rate.map(limit) }
        }
        Condition::StalledCalls { stalled, admitted } => Reason::StalledCalls { stalled, admitted },
        Condition::FleetFailureRate => Reason::FleetFailureRate {
            failures: tally.failures,
            calls,
            nodes: nodes.unwrap_or(0) as u64,
            scope: scope.map(str::to_owned),
            limit: Some(limit(limits.failure_rate)),
        },
        // The failure rate. No setting leads to another condition.
        _ => {
            let limit = Some(limit(limits.failure_rate));
            Reason::FailureRate { failures: tally.failures, calls, limit }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use failover::clock::ManualClock;
    use failover::{Monitor, Outcome, Policy, Ratio};

    use super::*;

    fn limits(failure_rate: Ratio, minimum_calls: u64) -> Limits {
        let window = Duration::from_secs(60);
        Limits { failure_rate, minimum_calls, window, slow_rate: None }
    }

    #[test]
    fn a_reason_keeps_the_limit_of_its_trip() {
        let last = std::sync::Arc::new(LastTrip::new(limits(Ratio::HALF, 10)));
        let monitor = Monitor::with_clock(Policy::default(), ManualClock::new());
        monitor.handle().observe({
            let last = std::sync::Arc::clone(&last);
            move |event: &Event| last.note(event, None)
        });
        assert_eq!(last.reason(), Reason::Restored);
        for _ in 0..10 {
            monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
        }
        last.amend(limits(Ratio::ONE, 25));
        let limit = Some(Limit { rate: Ratio::HALF, minimum_calls: 10 });
        assert_eq!(last.reason(), Reason::FailureRate { failures: 10, calls: 10, limit });
    }

    #[test]
    fn a_reason_is_read_as_it_was_written_and_one_of_an_earlier_version_without_its_limit() {
        let rate = Ratio::new(1, 3).unwrap();
        let limit = Some(Limit { rate, minimum_calls: 10 });
        let reason = Reason::SlowCalls { slow: 7, calls: 12, limit };
        let text = serde_json::to_string(&reason).unwrap();
        assert!(text.contains(r#""limit":{"rate":"1/3","minimumCalls":10}"#), "{text}");
        assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), reason);
        let earlier = r#"{"failureRate":{"failures":8,"calls":10}}"#;
        let expected = Reason::FailureRate { failures: 8, calls: 10, limit: None };
        assert_eq!(serde_json::from_str::<Reason>(earlier).unwrap(), expected);
        let wrong = text.replace("1/3", "1/0");
        assert!(serde_json::from_str::<Reason>(&wrong).is_err(), "{wrong}");
    }
}
