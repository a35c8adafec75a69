//! A monitor on a manual clock, and helpers to drive it.

use std::time::Duration;

use failover::clock::ManualClock;
use failover::monitor::{Admission, Tally, Ticket};
use failover::{FailoverHandle, Monitor, Outcome, Policy, Ratio, Route, Snapshot};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Watched {
    pub(crate) clock: ManualClock,
    pub(crate) monitor: Monitor<ManualClock>,
}

impl Watched {
    pub(crate) fn new(policy: Policy) -> Self {
        let clock = ManualClock::new();
        // Not at the origin: no behaviour may depend on a clock that starts at zero.
        clock.advance(Duration::from_nanos(1_234_567_891_234));
        Self { monitor: Monitor::with_clock(policy, clock.clone()), clock }
    }

    pub(crate) fn handle(&self) -> FailoverHandle {
        self.monitor.handle()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.handle().snapshot()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.snapshot().tally
    }

    /// The route, by the snapshot and by the monitor, which must agree.
    pub(crate) fn route(&self) -> Route {
        assert_eq!(self.snapshot().route, self.monitor.route());
        self.monitor.route()
    }

    pub(crate) fn ticket(&self) -> Ticket {
        match self.monitor.admit() {
            Admission::Primary(ticket) => ticket,
            Admission::Fallback => panic!("the route is the fallback"),
        }
    }

    pub(crate) fn call(&self, outcome: Outcome) {
        self.monitor.record(self.ticket(), outcome);
    }

    pub(crate) fn succeed(&self, calls: usize) {
        (0..calls).for_each(|_| self.call(Outcome::Success));
    }

    pub(crate) fn fail(&self, calls: usize) {
        (0..calls).for_each(|_| self.call(Outcome::Failure));
    }

    /// Records up to `calls` failures, until a trip.
    pub(crate) fn trip_or(&self, calls: usize) {
        for _ in 0..calls {
            if let Some(ticket) = self.monitor.admit().ticket() {
                self.monitor.record(ticket, Outcome::Failure);
            }
        }
    }

    /// Records failures until a trip, which must come.
    pub(crate) fn trip(&self) {
        for _ in 0..10_000 {
            let Some(ticket) = self.monitor.admit().ticket() else { return };
            self.monitor.record(ticket, Outcome::Failure);
        }
        panic!("no trip after 10,000 failures");
    }
}

pub(crate) fn counts(tally: Tally) -> (u64, u64) {
    (tally.failures, tally.successes)
}

pub(crate) fn ratio(numerator: u32, denominator: u32) -> Ratio {
    Ratio::new(numerator, denominator).unwrap()
}
