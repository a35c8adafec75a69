//! Random operations on a monitor, held against the naive model of the library's own tests: what
//! both admit, tell and show is the same after each step.
#![no_main]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use failover::clock::{ManualClock, Moment};
use failover::event::Cause;
use failover::monitor::Ticket;
use failover::{Event, Monitor, Outcome, Policy, Route};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the model knows more than is tried here")]
#[path = "../../failover/tests/it/naive/mod.rs"]
mod naive;
#[path = "support/policy.rs"]
mod policy;
#[path = "support/show.rs"]
mod show;

use naive::{Naive, Pass, Phase};
use show::show;

/// Where the monitor's clock starts; the model's starts at zero.
const START: u64 = 987_654_321;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum End {
    Success,
    Failure,
    Ignored,
    Hint(u16),
}

impl From<End> for Outcome {
    fn from(end: End) -> Self {
        match end {
            End::Success => Self::Success,
            End::Failure => Self::Failure,
            End::Ignored => Self::Ignored,
            End::Hint(units) => Self::RetryAfter(Duration::from_micros(u64::from(units) * 5)),
        }
    }
}

/// One more kind shifts what the bytes of every seed mean, those of findings too: they are to be written
/// anew then.
#[derive(Arbitrary, Debug)]
enum Operation {
    Admit,
    Record(u8, End),
    Drop(u8),
    Abandon(u8),
    /// Loses a ticket: its call stays in flight.
    Leak(u8),
    Call(End),
    Calls(u8, End),
    Micros(u16),
    Ages(u32),
    StepBack(u16),
    Force(bool),
    Release,
    Reset,
    Revert,
    /// Puts one of the policies in force.
    Swap(u8),
    /// Saves and restores, so many microseconds later.
    Restore(u16),
}

struct Pair {
    policies: Vec<Policy>,
    naive: Naive,
    monitor: Monitor<ManualClock>,
    clock: ManualClock,
    under_way: Vec<(Ticket, Pass)>,
    told: Arc<Mutex<Vec<(Route, Cause)>>>,
    /// A monitor's memory may have served another before.
    first_epoch: u32,
}

impl Pair {
    fn new(policies: Vec<Policy>) -> Self {
        let policy = policies[0].clone();
        let clock = ManualClock::new();
        clock.set(Moment::from_nanos(START));
        let monitor = Monitor::with_clock(policy.clone(), clock.clone());
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen = Arc::clone(&told);
        monitor.observe(move |event: &Event| {
            seen.lock().expect("one thread").push((event.route, event.cause));
        });
        let first_epoch = monitor.handle().snapshot().epoch;
        let naive = Naive::new(policy);
        Self { policies, naive, monitor, clock, under_way: Vec::new(), told, first_epoch }
    }

    fn admit(&mut self) -> Option<(Ticket, Pass)> {
        let real = self.monitor.admit().ticket();
        let naive = self.naive.admit(real.is_some());
        assert_eq!(real.is_some(), naive.is_some(), "the route of an admission");
        real.zip(naive)
    }

    fn call(&mut self, outcome: Outcome) {
        if let Some((ticket, pass)) = self.admit() {
            self.monitor.record(ticket, outcome);
            self.naive.record(pass, Some(outcome));
        }
    }

    fn take(&mut self, index: u8) -> Option<(Ticket, Pass)> {
        let calls = self.under_way.len();
        (calls > 0).then(|| self.under_way.swap_remove(usize::from(index) % calls))
    }

    fn set_time(&mut self, now: u128) {
        self.naive.now = now.min(1 << 62);
        let nanos = START + u64::try_from(self.naive.now).expect("bounded above");
        self.clock.set(Moment::from_nanos(nanos));
    }

    fn apply(&mut self, operation: &Operation) {
        let handle = self.monitor.handle();
        match *operation {
            Operation::Admit => {
                let call = self.admit();
                self.under_way.extend(call);
            }
            Operation::Record(index, end) => {
                if let Some((ticket, pass)) = self.take(index) {
                    self.monitor.record(ticket, end.into());
                    self.naive.record(pass, Some(end.into()));
                }
            }
            Operation::Drop(index) => {
                if let Some((ticket, pass)) = self.take(index) {
                    drop(ticket);
                    self.naive.drop(pass);
                }
            }
            Operation::Abandon(index) => {
                if let Some((ticket, pass)) = self.take(index) {
                    self.monitor.abandon(ticket);
                    self.naive.record(pass, None);
                }
            }
            Operation::Leak(index) => std::mem::forget(self.take(index)),
            Operation::Call(end) => self.call(end.into()),
            Operation::Calls(calls, end) => (0..calls % 32).for_each(|_| self.call(end.into())),
            Operation::Micros(by) => self.set_time(self.naive.now + u128::from(by) * 1_000),
            Operation::Ages(by) => self.set_time(self.naive.now + (u128::from(by) << 20)),
            // As no monotonic clock does.
            Operation::StepBack(by) => {
                self.set_time(self.naive.now.saturating_sub(u128::from(by) * 1_000));
            }
            Operation::Force(primary) => {
                let route = if primary { Route::Primary } else { Route::Fallback };
                let changes = self.naive.phase != Phase::Forced(route);
                assert_eq!(handle.force(route), changes);
                if changes {
                    self.naive.begin(Phase::Forced(route), Cause::Forced);
                }
            }
            Operation::Release => {
                let forced = matches!(self.naive.phase, Phase::Forced(_));
                assert_eq!(handle.release(), forced);
                if forced {
                    self.naive.released();
                    self.naive.begin(Phase::Primary, Cause::Released);
                }
            }
            Operation::Reset => {
                handle.reset();
                self.naive.forget();
                self.naive.begin(Phase::Primary, Cause::Released);
            }
            Operation::Swap(index) => {
                let policy = &self.policies[usize::from(index) % self.policies.len()];
                handle.swap_policy(policy.clone());
                assert_eq!(handle.policy(), *policy);
                self.naive.swap(policy.clone());
            }
            Operation::Restore(by) => {
                let elapsed = Duration::from_micros(u64::from(by));
                let saved = handle.save();
                handle.restore(&saved, elapsed);
                self.naive.restore(elapsed.as_nanos());
            }
            Operation::Revert => assert_eq!(handle.revert(), self.naive.revert()),
        }
    }

    fn compare(&self) {
        let snapshot = self.monitor.handle().snapshot();
        assert_eq!(snapshot.route, self.naive.route());
        assert_eq!(snapshot.route, self.monitor.route());
        assert_eq!(snapshot.forced, matches!(self.naive.phase, Phase::Forced(_)));
        let epoch = (u64::from(self.first_epoch) + self.naive.epoch) % (1 << 20);
        assert_eq!(u64::from(snapshot.epoch), epoch);
        assert_eq!(snapshot.state, self.naive.state());
        assert_eq!(snapshot.advised, self.naive.advised());
        assert_eq!(snapshot.reverts_in, self.naive.reverts_in());
        let counts = (snapshot.tally, snapshot.consecutive_failures, snapshot.stalled_calls);
        assert_eq!(counts, self.naive.counts());
        assert_eq!(*self.told.lock().expect("one thread"), self.naive.told);
    }
}

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let policies = 1 + bytes.int_in_range(0..=2)?;
    let policies = (0..policies).map(|_| policy::policy(bytes)).collect::<Result<Vec<_>>>()?;
    show(&policies);
    let mut pair = Pair::new(policies);
    // The model searches its lists at each step: longer histories would be slow, not deeper.
    for _ in 0..256 {
        if bytes.is_empty() {
            break;
        }
        let operation = Operation::arbitrary(bytes)?;
        show(&(&operation, pair.naive.now, pair.monitor.handle().snapshot()));
        pair.apply(&operation);
        pair.compare();
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // Bytes that end in the middle of something have done what they could.
    let _ = run(&mut Unstructured::new(bytes));
});
