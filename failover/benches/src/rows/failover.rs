//! `Failover` in the situations that matter.

use std::task::{Context, Poll};

use failover::clock::ManualClock;
use failover::policy::PolicyBuilder;
use failover::{FailoverLayer, Monitor, Policy, Ratio};
use tower::{Layer, Service};

use crate::peers::HOUR;
use crate::services::{Answer, Tested, fallback, primary};

/// A valid policy: all are constants of this package.
pub(super) fn built(policy: PolicyBuilder) -> Policy {
    policy.build().unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn ratio(numerator: u32, denominator: u32) -> Ratio {
    Ratio::new(numerator, denominator).unwrap_or(Ratio::HALF)
}

pub(super) fn of(policy: PolicyBuilder) -> impl Tested {
    FailoverLayer::with_fallback(fallback(), built(policy)).layer(primary())
}

/// The default policy, with a long time on the fallback.
pub(super) fn default() -> impl Tested {
    of(Policy::builder().revert_after(HOUR))
}

/// Trips if more than three of five calls fail. One half is far below: failures use the allowance.
pub(super) fn patient() -> impl Tested {
    of(Policy::builder().failure_rate(ratio(3, 5)))
}

pub(super) fn patient_by_calls() -> impl Tested {
    of(Policy::builder().failure_rate(ratio(3, 5)).last_calls(100))
}

/// The rate is far above the threshold but the calls are below the minimum, so it does not trip.
pub(super) fn never() -> PolicyBuilder {
    Policy::builder().minimum_calls(u64::MAX)
}

pub(super) fn waiting() -> impl Tested {
    of(never())
}

/// After ten failures and one call to the fallback, the time on the fallback is over.
pub(super) fn tripping() -> impl Tested {
    let clock = ManualClock::new();
    let monitor = Monitor::with_clock(Policy::default(), clock.clone());
    let service = FailoverLayer::with_monitor(fallback(), monitor).layer(primary());
    Stepping { service, clock, calls: 0 }
}

#[derive(Clone)]
struct Stepping<S> {
    service: S,
    clock: ManualClock,
    calls: u32,
}

impl<S: Service<bool, Response = Answer>> Service<bool> for Stepping<S> {
    type Response = Answer;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: bool) -> S::Future {
        self.calls += 1;
        if self.calls == 11 {
            self.calls = 0;
            self.clock.advance(HOUR);
        }
        self.service.call(request)
    }
}
