//! A monitor against a naive list of events, over random histories.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p failover --test it model` runs it at length.

use std::time::Duration;

use failover::{ManualClock, Moment, Monitor, Outcome, Policy, Ratio, Route, Ticket};
use proptest::prelude::*;

/// Everything that can happen to a monitor.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Admit,
    /// Ends one of the calls under way, by its place among them.
    Record(prop::sample::Index, Outcome),
    /// Drops one of the calls under way.
    Drop(prop::sample::Index),
    /// A whole call.
    Call(Outcome),
    Advance(Duration),
    /// A step back of a clock that should know none.
    StepBack(Duration),
    Force(Route),
    Release,
    Reset,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        5 => Just(Outcome::Success),
        6 => Just(Outcome::Failure),
        1 => Just(Outcome::Ignored),
    ]
}

/// Mostly around a bucket's width, at times around the whole window, now and then for ages.
fn pause(bucket: Duration) -> impl Strategy<Value = Duration> {
    let nanos = u64::try_from(bucket.as_nanos()).unwrap();
    prop_oneof![
        6 => (0..=2 * nanos).prop_map(Duration::from_nanos),
        1 => (0..=40 * nanos).prop_map(Duration::from_nanos),
        1 => (0_u32..20).prop_map(move |k| bucket * k),
        1 => (0..=1_u64 << 52).prop_map(Duration::from_nanos),
    ]
}

fn operation(bucket: Duration) -> impl Strategy<Value = Operation> {
    use Operation::*;
    let route = prop_oneof![Just(Route::Primary), Just(Route::Fallback)];
    prop_oneof![
        12 => Just(Admit),
        12 => (any::<prop::sample::Index>(), outcome()).prop_map(|(i, o)| Record(i, o)),
        1 => any::<prop::sample::Index>().prop_map(Drop),
        24 => outcome().prop_map(Call),
        12 => pause(bucket).prop_map(Advance),
        1 => pause(bucket).prop_map(StepBack),
        1 => route.prop_map(Force),
        1 => Just(Release),
        1 => Just(Reset),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let ratio = (0_u32..20, 1_u32..20).prop_map(|(n, d)| Ratio::new(n % d, d).unwrap());
    let window = (1_u32..13)
        .prop_flat_map(|buckets| (u64::from(buckets) * 1_000_000..40_000_000_u64, Just(buckets)));
    (ratio, 1_u64..16, window, 1_u64..200_000_000).prop_map(|(rate, minimum, window, revert)| {
        Policy::builder()
            .failure_rate(rate)
            .minimum_calls(minimum)
            .window(Duration::from_nanos(window.0), window.1)
            .revert_after(Duration::from_nanos(revert.max(1_000_000)))
            .build()
            .unwrap()
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Primary,
    Fallback { deadline: u128 },
    Forced(Route),
}

/// The same thing said as simply as can be: a list of events, searched at every step.
struct Naive {
    policy: Policy,
    now: u128,
    phase: Phase,
    epoch: u64,
    /// The tick and the outcome of each call that counted in this epoch.
    events: Vec<(u128, bool)>,
}

impl Naive {
    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
        self.events.clear();
    }

    /// The bucket of now. A clock that went back does not close the one that is open.
    fn tick(&self) -> u128 {
        let tick = self.now * u128::from(self.policy.buckets()) / self.policy.window().as_nanos();
        self.events.iter().map(|(tick, _)| *tick).max().unwrap_or(0).max(tick)
    }

    fn counts(&self) -> (u64, u64) {
        let (tick, buckets) = (self.tick(), u128::from(self.policy.buckets()));
        let within = |failed| {
            let inside = |e: &&(u128, bool)| e.0 + buckets > tick && e.1 == failed;
            self.events.iter().filter(inside).count() as u64
        };
        (within(true), within(false))
    }

    fn is_due(&self) -> bool {
        matches!(self.phase, Phase::Fallback { deadline } if self.now >= deadline)
    }

    fn route(&self) -> Route {
        match self.phase {
            Phase::Primary => Route::Primary,
            Phase::Fallback { .. } if self.is_due() => Route::Primary,
            Phase::Fallback { .. } => Route::Fallback,
            Phase::Forced(route) => route,
        }
    }

    fn admit(&mut self) -> Option<u64> {
        if self.is_due() {
            self.begin(Phase::Primary);
        }
        (self.route() == Route::Primary).then_some(self.epoch)
    }

    fn record(&mut self, epoch: u64, outcome: Outcome) {
        if epoch != self.epoch || outcome == Outcome::Ignored {
            return;
        }
        self.events.push((self.tick(), outcome == Outcome::Failure));
        let (failures, successes) = self.counts();
        let (calls, rate) = (failures + successes, self.policy.failure_rate().unwrap());
        let exceeds = u128::from(failures) * u128::from(rate.denominator())
            > u128::from(calls) * u128::from(rate.numerator());
        if self.phase == Phase::Primary && calls >= self.policy.minimum_calls() && exceeds {
            let end = self.now + self.policy.revert_after().as_nanos();
            self.begin(Phase::Fallback { deadline: end.div_ceil(1_000_000) * 1_000_000 });
        }
    }
}

/// Both, side by side.
struct Pair {
    naive: Naive,
    monitor: Monitor<ManualClock>,
    clock: ManualClock,
    under_way: Vec<(Ticket, u64)>,
    /// A monitor may begin in any epoch: its memory may have served another before.
    first_epoch: u32,
}

/// The clock of the real one starts here; the naive one's at zero.
const START: u64 = 987_654_321;

impl Pair {
    fn new(policy: Policy) -> Self {
        let clock = ManualClock::new();
        clock.set(Moment::from_nanos(START));
        let monitor = Monitor::with_clock(policy.clone(), clock.clone());
        let naive = Naive { policy, now: 0, phase: Phase::Primary, epoch: 0, events: Vec::new() };
        let first_epoch = monitor.handle().snapshot().epoch;
        Self { naive, monitor, clock, under_way: Vec::new(), first_epoch }
    }

    fn admit(&mut self) -> Result<Option<(Ticket, u64)>, TestCaseError> {
        let (real, naive) = (self.monitor.admit().ticket(), self.naive.admit());
        prop_assert_eq!(real.is_some(), naive.is_some());
        Ok(real.zip(naive))
    }

    fn record(&mut self, (ticket, epoch): (Ticket, u64), outcome: Outcome) {
        self.monitor.record(ticket, outcome);
        self.naive.record(epoch, outcome);
    }

    fn take(&mut self, index: prop::sample::Index) -> Option<(Ticket, u64)> {
        let calls = self.under_way.len();
        (calls > 0).then(|| self.under_way.swap_remove(index.index(calls)))
    }

    fn set_time(&mut self, now: u128) {
        self.naive.now = now.min(1 << 62);
        let nanos = START + u64::try_from(self.naive.now).unwrap();
        self.clock.set(Moment::from_nanos(nanos));
    }

    fn apply(&mut self, operation: Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Admit => {
                let call = self.admit()?;
                self.under_way.extend(call);
            }
            Operation::Record(index, outcome) => {
                if let Some(call) = self.take(index) {
                    self.record(call, outcome);
                }
            }
            Operation::Drop(index) => drop(self.take(index)),
            Operation::Call(outcome) => {
                if let Some(call) = self.admit()? {
                    self.record(call, outcome);
                }
            }
            Operation::Advance(by) => self.set_time(self.naive.now + by.as_nanos()),
            Operation::StepBack(by) => self.set_time(self.naive.now.saturating_sub(by.as_nanos())),
            Operation::Force(route) => {
                let changes = self.naive.phase != Phase::Forced(route);
                prop_assert_eq!(self.monitor.handle().force(route), changes);
                if changes {
                    self.naive.begin(Phase::Forced(route));
                }
            }
            Operation::Release => {
                let forced = matches!(self.naive.phase, Phase::Forced(_));
                prop_assert_eq!(self.monitor.handle().release(), forced);
                if forced {
                    self.naive.begin(Phase::Primary);
                }
            }
            Operation::Reset => {
                self.monitor.handle().reset();
                self.naive.begin(Phase::Primary);
            }
        }
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let snapshot = self.monitor.handle().snapshot();
        prop_assert_eq!(snapshot.route, self.naive.route());
        prop_assert_eq!(snapshot.forced, matches!(self.naive.phase, Phase::Forced(_)));
        let epoch = (u64::from(self.first_epoch) + self.naive.epoch) % (1 << 20);
        prop_assert_eq!(u64::from(snapshot.epoch), epoch);
        let reverts_in = match self.naive.phase {
            Phase::Fallback { deadline } if deadline > self.naive.now => {
                Some(u64::try_from(deadline - self.naive.now).unwrap())
            }
            _ => None,
        };
        prop_assert_eq!(snapshot.reverts_in, reverts_in.map(Duration::from_nanos));
        let on_primary = snapshot.route == Route::Primary && !self.naive.is_due();
        let expected = if on_primary { self.naive.counts() } else { (0, 0) };
        prop_assert_eq!((snapshot.tally.failures, snapshot.tally.successes), expected);
        Ok(())
    }
}

fn history() -> impl Strategy<Value = (Policy, Vec<Operation>)> {
    policy().prop_flat_map(|policy| {
        let bucket = policy.window() / policy.buckets();
        (Just(policy), prop::collection::vec(operation(bucket), 1..200))
    })
}

proptest! {
    #[test]
    fn the_monitor_does_what_a_naive_list_of_events_says((policy, operations) in history()) {
        let mut pair = Pair::new(policy);
        for operation in operations {
            pair.apply(operation)?;
        }
    }
}
