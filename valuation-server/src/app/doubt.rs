//! Whether this node's evidence can be trusted: a fault of its own must not send the fleet to Premium.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use failover::FailoverHandle;
use failover::clock::Moment;
use failover::monitor::Tally;

use super::coverage::between;
use crate::domain::{ErrorCode, Provider, ProviderCall};

/// Why this node doubts its own evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Premium fails too, as seen from here.
    FallbackFailing {
        /// Failed calls.
        failures: u64,
        /// All calls in the window.
        calls: u64,
    },
    /// No name of a provider resolves here, or no connection to one can be made.
    NoConnection,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FallbackFailing { failures, calls } => {
                write!(f, "{failures} of the last {calls} calls to Premium failed as well")?;
            }
            Self::NoConnection => {
                f.write_str("neither SuperCar nor Premium can be connected to")?;
            }
        }
        f.write_str(
            ": the fault may be this node's, so its calls do not count in the fleet's decisions. Check its \
             network and its name resolution",
        )
    }
}

/// What this node has seen of both providers.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Whether the last attempt at each provider got a connection.
    connections: [Option<(Moment, bool)>; Provider::ALL.len()],
    /// When the fallback was last seen to fail, with its counts. Each change of the route empties its window.
    failing: Option<(Moment, Tally)>,
}

impl Doubts {
    /// Takes what an attempt says of the connection. One that was given up, or timed out, says nothing.
    pub(super) fn note(&self, call: &ProviderCall, now: Moment) {
        use ErrorCode::{Cancelled, Connect, Dns, Local, Panic, Timeout};
        let connected = match call.error.as_ref().map(|(code, _)| code) {
            Some(Connect | Dns) => false,
            Some(Cancelled | Local | Panic | Timeout) => return,
            _ => true,
        };
        let index = Provider::ALL.iter().position(|provider| *provider == call.provider);
        let Some(index) = index else { return };
        self.lock().connections[index] = Some((now, connected));
    }

    /// Takes the counts with which the fallback's window met a condition.
    pub(super) fn note_fallback(&self, tally: Tally, now: Moment) {
        self.lock().failing = Some((now, tally));
    }

    /// What there is to doubt now. Half of the minimum number of calls is enough for a doubt, since a trip
    /// of the primary, which the doubt should precede, empties the fallback's window.
    pub(super) fn look(&self, fallback: &FailoverHandle, now: Moment) -> Option<Doubt> {
        let (policy, tally) = (fallback.policy(), fallback.snapshot().tally);
        let is_recent = |at: Moment| between(at, now) <= policy.window();
        let mut seen = self.lock();
        let is_enough = tally.calls() >= policy.minimum_calls().div_ceil(2);
        let exceeded = policy.failure_rate().is_some_and(|rate| tally.exceeds(rate));
        if is_enough {
            seen.failing = exceeded.then_some((now, tally));
        }
        seen.failing = seen.failing.filter(|(at, _)| is_recent(*at));
        let is_missing = |last: &Option<(Moment, bool)>| {
            last.is_some_and(|(at, connected)| !connected && is_recent(at))
        };
        if seen.connections.iter().all(is_missing) {
            return Some(Doubt::NoConnection);
        }
        let (_, tally) = seen.failing?;
        Some(Doubt::FallbackFailing { failures: tally.failures, calls: tally.calls() })
    }

    // Each field is only replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use failover::clock::{Clock as _, ManualClock};
    use failover::{Monitor, Outcome, Policy};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::domain::{CallOutcome, Vrm};

    fn call(provider: Provider, error: Option<ErrorCode>) -> ProviderCall {
        ProviderCall {
            vrm: Vrm::parse("A").unwrap(),
            provider,
            requested_at: UNIX_EPOCH,
            duration: Duration::ZERO,
            url: String::new(),
            response_code: None,
            error: error.map(|code| (code, String::new())),
            outcome: CallOutcome::Failure,
            rescue: false,
        }
    }

    #[test]
    fn a_node_that_can_connect_to_neither_provider_doubts_itself_until_it_can_to_one() {
        let (clock, doubts) = (ManualClock::new(), Doubts::default());
        let monitor = Monitor::with_clock(Policy::default(), clock.clone());
        let doubt = || doubts.look(&monitor.handle(), clock.now());
        let note = |provider, error| doubts.note(&call(provider, error), clock.now());
        note(Provider::SuperCar, Some(ErrorCode::Connect));
        assert_eq!(doubt(), None, "Premium is not known");
        note(Provider::Premium, Some(ErrorCode::Dns));
        assert_eq!(doubt(), Some(Doubt::NoConnection));
        note(Provider::Premium, Some(ErrorCode::Cancelled));
        assert_eq!(doubt(), Some(Doubt::NoConnection), "it says nothing");
        note(Provider::Premium, Some(ErrorCode::Status));
        assert_eq!(doubt(), None);
        note(Provider::Premium, Some(ErrorCode::Connect));
        clock.advance(Policy::default().window() + Duration::from_secs(1));
        assert_eq!(doubt(), None, "nobody has tried for a window");
    }

    #[test]
    fn a_node_whose_fallback_fails_too_doubts_itself_until_its_calls_succeed() {
        let (clock, doubts) = (ManualClock::new(), Doubts::default());
        let policy = Policy::builder().minimum_calls(4).dry_run().build().unwrap();
        let window = policy.window();
        let monitor = Monitor::with_clock(policy, clock.clone());
        let doubt = || doubts.look(&monitor.handle(), clock.now());
        let record = |outcome| monitor.record(monitor.admit().ticket().unwrap(), outcome);
        record(Outcome::Failure);
        assert_eq!(doubt(), None, "one call");
        record(Outcome::Failure);
        let failing = Some(Doubt::FallbackFailing { failures: 2, calls: 2 });
        assert_eq!(doubt(), failing, "half of the minimum");
        monitor.handle().reset();
        assert_eq!(doubt(), failing, "the window was emptied, and nothing says otherwise");
        record(Outcome::Success);
        record(Outcome::Success);
        assert_eq!(doubt(), None);
        doubts.note_fallback(Tally::default(), clock.now());
        monitor.handle().reset();
        assert!(doubt().is_some());
        clock.advance(window + Duration::from_secs(1));
        assert_eq!(doubt(), None, "nobody has tried for a window");
    }
}
