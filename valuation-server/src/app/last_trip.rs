//! Why calls go to the fallback. [`Standing`](super::standing::Standing) keeps it over a restart.

use std::sync::{Mutex, MutexGuard, PoisonError};

use failover::Event;
use failover::event::{Cause, Condition};
use failover::monitor::Tally;

use crate::web::operator::Reason;

/// The reason of the last change to the fallback. On the fallback the window is empty, so that only the
/// event knows its counts.
#[derive(Debug)]
pub(super) struct LastTrip(Mutex<Reason>);

impl Default for LastTrip {
    fn default() -> Self {
        Self(Mutex::new(Reason::Restored))
    }
}

impl LastTrip {
    /// Takes the reason from an event that has one.
    pub(super) fn note(&self, event: &Event) {
        let reason = match event.cause {
            Cause::Tripped { condition, tally, .. } | Cause::WouldTrip { condition, tally, .. } => {
                reason(condition, tally)
            }
            Cause::ProbesFailed { .. } => Reason::ProbeFailed,
            Cause::Restored => Reason::Restored,
            _ => return,
        };
        *self.lock() = reason;
    }

    pub(super) fn reason(&self) -> Reason {
        *self.lock()
    }

    /// Takes the reason that was saved before a restart.
    pub(super) fn resume(&self, reason: Reason) {
        *self.lock() = reason;
    }

    // It is only replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reason(condition: Condition, tally: Tally) -> Reason {
    match condition {
        Condition::SlowCalls => Reason::SlowCalls { slow: tally.slow, calls: tally.calls() },
        Condition::StalledCalls { stalled, admitted } => Reason::StalledCalls { stalled, admitted },
        // The failure rate. No setting leads to another condition.
        _ => Reason::FailureRate { failures: tally.failures, calls: tally.calls() },
    }
}
