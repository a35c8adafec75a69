//! A monitor compared with a naive list of events, over random histories.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p failover --test it model` runs it at length.

use failover::policy::{Backoff, RetryAfter, SlowCalls};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::clock::{ManualClock, Moment};
use failover::event::Cause;
use failover::monitor::Ticket;
use failover::policy::{PolicyBuilder, Probing, StallLimit};
use failover::{Event, Monitor, Outcome, Policy, Ratio, Route};
use proptest::option;
use proptest::prelude::*;

use crate::naive::{Naive, Pass, Phase};

/// Every operation on a monitor.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Admit,
    /// Ends one of the calls in flight, by its index.
    Record(prop::sample::Index, Outcome),
    /// Drops the ticket of one of the calls in flight.
    Drop(prop::sample::Index),
    /// Abandons one of the calls in flight.
    Abandon(prop::sample::Index),
    /// Leaks the ticket of one of the calls in flight, which stays in flight.
    Leak(prop::sample::Index),
    /// A whole call.
    Call(Outcome),
    Advance(Duration),
    /// The same by the handle, while the clock stands still.
    Pass(Duration),
    /// A step back of the clock.
    StepBack(Duration),
    Force(Route),
    Release,
    Reset,
    Revert,
    /// Saves, and restores after this time.
    Restore(Duration),
    /// Swaps to one of the policies.
    Swap(prop::sample::Index),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        5 => Just(Outcome::Success),
        6 => Just(Outcome::Failure),
        1 => Just(Outcome::Ignored),
        1 => (0_u64..300_000_000).prop_map(|nanos| Outcome::RetryAfter(Duration::from_nanos(nanos))),
    ]
}

/// Mostly around a bucket's width, sometimes around the window's length, rarely far longer.
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
        3 => any::<prop::sample::Index>().prop_map(Abandon),
        1 => any::<prop::sample::Index>().prop_map(Leak),
        24 => outcome().prop_map(Call),
        9 => pause(bucket).prop_map(Advance),
        3 => pause(bucket).prop_map(Pass),
        1 => pause(bucket).prop_map(StepBack),
        1 => route.prop_map(Force),
        1 => Just(Release),
        1 => Just(Reset),
        1 => Just(Revert),
        3 => any::<prop::sample::Index>().prop_map(Swap),
        1 => Just(Restore(Duration::ZERO)),
        1 => (0..=40_u32).prop_map(move |quarters| Restore(bucket * quarters / 4)),
    ]
}

fn ratio() -> impl Strategy<Value = Ratio> {
    (0_u32..20, 1_u32..20).prop_map(|(n, d)| Ratio::new(n % d, d).unwrap())
}

/// Times about as long as a window's bucket.
fn time(shortest: u64) -> impl Strategy<Value = Duration> {
    (shortest * 1_000_000..20_000_000).prop_map(Duration::from_nanos)
}

fn limit() -> impl Strategy<Value = StallLimit> {
    prop_oneof![(1_u64..6).prop_map(StallLimit::Calls), ratio().prop_map(StallLimit::Share)]
}

/// Options of recovery: each is set in half of the policies.
fn ways_back(policy: PolicyBuilder) -> impl Strategy<Value = PolicyBuilder> {
    let probing =
        (1_u32..4, 1_u32..4, 1_u32..3, time(1)).prop_map(|(max_in_flight, s, f, lease)| {
            Probing::new(max_in_flight).successes(s).failures(f).lease(lease)
        });
    let growing = (1_u32..5, 1_u32..5, time(1))
        .prop_map(|(n, d, forget_after)| (Ratio::new(n + d, d).unwrap(), forget_after));
    let ways = (
        option::of(probing),
        option::of((ratio(), time(1))),
        option::of(growing),
        option::of((time(1), time(1))),
    );
    ways.prop_map(move |(probing, gradual, growing, hints)| {
        let mut policy = policy.clone();
        if let Some(probing) = probing {
            policy = policy.probing(probing);
        }
        if let Some((first, over)) = gradual {
            policy = policy.ramp_up(first, over);
        }
        if let Some((factor, forget_after)) = growing {
            policy = policy.backoff(
                Backoff::new(factor).max(Duration::from_secs(1)).reset_after(forget_after),
            );
        }
        if let Some((one, other)) = hints {
            policy = policy.retry_after(RetryAfter::between(one.min(other), one.max(other)));
        }
        policy
    })
}

/// Each condition is set in half of the policies.
fn policy() -> impl Strategy<Value = Policy> {
    let window = (1_u32..13)
        .prop_flat_map(|buckets| (u64::from(buckets) * 1_000_000..40_000_000_u64, Just(buckets)));
    let basic = (option::weighted(0.8, ratio()), 1_u64..16, window, 1_u64..200_000_000);
    let conditions = (
        option::of(1_u32..8),
        option::of((time(1), ratio(), option::of(1_u64..16))),
        option::of((time(4), limit())),
    );
    let counting = (option::of(1_u32..24), option::of(time(1)), prop::bool::weighted(0.2));
    let policy = (basic, conditions, counting).prop_map(|(basic, conditions, counting)| {
        let (rate, minimum, window, revert) = basic;
        let (consecutive, slow, stalled) = conditions;
        let (last_calls, dropped, dry_run) = counting;
        let mut policy = Policy::builder()
            .window(Duration::from_nanos(window.0), window.1)
            .revert_after(Duration::from_nanos(revert.max(1_000_000)));
        policy = match rate {
            Some(rate) => policy.failure_rate(rate),
            None => policy.without_failure_rate(),
        };
        let most = last_calls.map_or(u64::MAX, u64::from);
        policy = policy.minimum_calls(minimum.min(most));
        if let Some(calls) = last_calls {
            policy = policy.last_calls(calls);
        }
        if let Some(failures) = consecutive {
            policy = policy.consecutive_failures(failures);
        }
        if let Some((after, rate, minimum)) = slow {
            let slow = SlowCalls::longer_than(after).more_than(rate);
            policy = policy.slow_calls(match minimum {
                Some(minimum) => slow.minimum_calls(minimum.min(most)),
                None => slow,
            });
        }
        if let Some((after, limit)) = stalled {
            policy = policy.stalled_calls(after, limit);
        }
        if let Some(after) = dropped {
            policy = policy.dropped_after(after);
        }
        if dry_run {
            policy = policy.dry_run();
        }
        policy
    });
    // Only a policy without any condition is rejected.
    policy.prop_flat_map(ways_back).prop_filter_map("refused", |policy| policy.build().ok())
}

/// Both, side by side.
struct Pair {
    policies: Vec<Policy>,
    naive: Naive,
    monitor: Monitor<ManualClock>,
    clock: ManualClock,
    /// By how much the clock is behind.
    passed: u128,
    /// By how much more than asked for, and since which epoch.
    rounding: (u64, u128),
    under_way: Vec<(Ticket, Pass)>,
    told: Arc<Mutex<Vec<(Route, Cause)>>>,
    /// A monitor may begin in any epoch, since its memory may have served another one.
    first_epoch: u32,
}

/// The real clock starts here; the naive one at zero.
const START: u64 = 987_654_321;

impl Pair {
    fn new(policies: Vec<Policy>) -> Self {
        let policy = policies[0].clone();
        let clock = ManualClock::new();
        clock.set(Moment::from_nanos(START));
        let monitor = Monitor::with_clock(policy.clone(), clock.clone());
        let told: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen = Arc::clone(&told);
        monitor.observe(move |event: &Event| {
            seen.lock().unwrap().push((event.route, event.cause));
        });
        let naive = Naive::new(policy);
        let first_epoch = monitor.handle().snapshot().epoch;
        let under_way = Vec::new();
        Self {
            policies,
            naive,
            monitor,
            clock,
            passed: 0,
            rounding: (0, 0),
            under_way,
            told,
            first_epoch,
        }
    }

    fn admit(&mut self) -> Result<Option<(Ticket, Pass)>, TestCaseError> {
        let real = self.monitor.admit().ticket();
        let naive = self.naive.admit(real.is_some());
        prop_assert_eq!(real.is_some(), naive.is_some());
        Ok(real.zip(naive))
    }

    fn record(&mut self, (ticket, pass): (Ticket, Pass), outcome: Outcome) {
        self.monitor.record(ticket, outcome);
        self.naive.record(pass, Some(outcome));
    }

    fn take(&mut self, index: prop::sample::Index) -> Option<(Ticket, Pass)> {
        let calls = self.under_way.len();
        (calls > 0).then(|| self.under_way.swap_remove(index.index(calls)))
    }

    fn set_time(&mut self, now: u128) {
        // The clock does not go back beyond its zero.
        let zero = self.passed.saturating_sub(START.into());
        self.naive.now = now.clamp(zero, 1 << 62);
        let nanos = u128::from(START) + self.naive.now - self.passed;
        self.clock.set(Moment::from_nanos(u64::try_from(nanos).unwrap()));
    }

    /// The sum of an epoch's advances is rounded up to a millisecond.
    fn pass(&mut self, by: u128) {
        if self.rounding.0 != self.naive.epoch {
            self.rounding = (self.naive.epoch, 0);
        }
        let least = self.naive.now + by;
        let exact = least.saturating_sub(self.rounding.1);
        let now = least.max(exact.next_multiple_of(1_000_000));
        self.rounding.1 = now - exact;
        self.passed += now - self.naive.now;
        self.naive.now = now;
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
            Operation::Call(outcome) => {
                if let Some(call) = self.admit()? {
                    self.record(call, outcome);
                }
            }
            Operation::Advance(by) => self.set_time(self.naive.now + by.as_nanos()),
            Operation::Pass(by) => {
                self.monitor.handle().advance(by);
                if !by.is_zero() {
                    self.pass(by.as_nanos());
                }
            }
            Operation::StepBack(by) => self.set_time(self.naive.now.saturating_sub(by.as_nanos())),
            Operation::Force(route) => {
                let changes = self.naive.phase != Phase::Forced(route);
                prop_assert_eq!(self.monitor.handle().force(route), changes);
                if changes {
                    self.naive.begin(Phase::Forced(route), Cause::Forced);
                }
            }
            Operation::Release => {
                let forced = matches!(self.naive.phase, Phase::Forced(_));
                prop_assert_eq!(self.monitor.handle().release(), forced);
                if forced {
                    self.naive.released();
                    self.naive.begin(Phase::Primary, Cause::Released);
                }
            }
            Operation::Revert => {
                let reverts = self.naive.revert();
                prop_assert_eq!(self.monitor.handle().revert(), reverts);
            }
            Operation::Restore(elapsed) => {
                let saved = self.monitor.handle().save();
                self.monitor.handle().restore(&saved, elapsed);
                self.naive.restore(elapsed.as_nanos());
            }
            Operation::Swap(index) => {
                let policy = index.get(&self.policies).clone();
                self.monitor.handle().swap_policy(policy.clone());
                prop_assert_eq!(self.monitor.handle().policy(), policy.clone());
                self.naive.swap(policy);
            }
            Operation::Reset => {
                self.monitor.handle().reset();
                self.naive.forget();
                self.naive.begin(Phase::Primary, Cause::Released);
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
        prop_assert_eq!(snapshot.state, self.naive.state());
        prop_assert_eq!(snapshot.advised, self.naive.advised());
        prop_assert_eq!(snapshot.reverts_in, self.naive.reverts_in());
        let counts = (snapshot.tally, snapshot.consecutive_failures, snapshot.stalled_calls);
        prop_assert_eq!(counts, self.naive.counts());
        prop_assert_eq!(&*self.told.lock().unwrap(), &self.naive.told);
        Ok(())
    }
}

fn history() -> impl Strategy<Value = (Vec<Policy>, Vec<Operation>)> {
    prop::collection::vec(policy(), 1..4).prop_flat_map(|policies| {
        let bucket = policies[0].window() / policies[0].buckets();
        (Just(policies), prop::collection::vec(operation(bucket), 1..200))
    })
}

proptest! {
    #[test]
    fn the_monitor_agrees_with_a_naive_list_of_events((policies, operations) in history()) {
        let mut pair = Pair::new(policies);
        for operation in operations {
            pair.apply(operation)?;
        }
    }
}
