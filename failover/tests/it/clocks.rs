//! A clock that reads ahead on one thread.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use failover::clock::{Clock, ManualClock, Moment};
use failover::policy::StallLimit;
use failover::{Monitor, Outcome, Policy, Route};

use crate::common::{SECOND, ratio};

thread_local!(static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) });

/// Reads ahead on threads that ask for it.
#[derive(Clone, Default)]
struct Skewed(ManualClock);

impl Clock for Skewed {
    fn now(&self) -> Moment {
        let ahead = u64::try_from(AHEAD.get().as_nanos()).unwrap();
        Moment::from_nanos(self.0.now().as_nanos() + ahead)
    }
}

fn monitor(policy: Policy) -> (Monitor<Skewed>, ManualClock) {
    let clock = Skewed::default();
    clock.0.advance(SECOND);
    (Monitor::with_clock(policy, clock.clone()), clock.0)
}

fn call(monitor: &Monitor<Skewed>, outcome: Outcome) {
    monitor.record(monitor.admit().ticket().expect("on the primary"), outcome);
}

/// One successful call on a thread whose clock reads that far ahead.
fn call_ahead(monitor: &Monitor<Skewed>, ahead: Duration) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            AHEAD.set(ahead);
            call(monitor, Outcome::Success);
        });
        thread.join().unwrap();
    });
}

/// Fails until the monitor trips: how many failures that took.
fn failures(monitor: &Monitor<Skewed>) -> usize {
    let fail = |_: &usize| monitor.route() == Route::Primary;
    (0..1_000).take_while(fail).inspect(|_| call(monitor, Outcome::Failure)).count()
}

#[test]
fn a_reading_ahead_on_one_thread_does_not_hide_the_window_from_the_others() {
    for ahead in [10, 30, 60, 61, 600, 86_400 * 365] {
        for calls_before in [0, 1, 5] {
            let (monitor, _) = monitor(Policy::default());
            (0..calls_before).for_each(|_| call(&monitor, Outcome::Success));
            call_ahead(&monitor, ahead * SECOND);
            // The window's counts expire by that reading.
            let held = if ahead < 55 { calls_before + 1 } else { 1 };
            let expected = (10 - held).max(held + 1);
            assert_eq!(failures(&monitor), expected, "{ahead} s ahead, {calls_before} before");
        }
    }
}

#[test]
fn calls_of_all_threads_count_together_while_the_clock_catches_up() {
    let (monitor, clock) = monitor(Policy::default());
    for second in 0..120 {
        if second == 30 {
            call_ahead(&monitor, 600 * SECOND);
        }
        thread::scope(|scope| {
            scope.spawn(|| (0..10).for_each(|_| call(&monitor, Outcome::Success)));
        });
        // One call in eleven fails, on either thread.
        call(&monitor, Outcome::Failure);
        clock.advance(SECOND);
    }
    assert_eq!(monitor.route(), Route::Primary);
    let tally = monitor.handle().snapshot().tally;
    assert_eq!((tally.failures, tally.successes), (90, 901));
}

#[test]
fn a_reading_ahead_makes_no_call_that_has_just_begun_a_stalled_one() {
    let limits = [StallLimit::Calls(3), StallLimit::Share(ratio(1, 2))];
    for limit in limits {
        let policy = Policy::builder().stalled_calls(SECOND, limit).minimum_calls(3);
        let (monitor, clock) = monitor(policy.build().unwrap());
        call(&monitor, Outcome::Success);
        call_ahead(&monitor, 60 * SECOND);
        let _in_flight: Vec<_> = (0..5).map(|_| monitor.admit()).collect();
        clock.advance(SECOND / 2);
        assert!(monitor.admit().ticket().is_some(), "{limit:?}");
        assert_eq!(monitor.handle().snapshot().stalled_calls, 0);
    }
}
