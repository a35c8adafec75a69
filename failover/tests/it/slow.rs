//! Slow calls.

use failover::policy::SlowCalls;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::event::{Cause, Condition};
use failover::policy::PolicyBuilder;
use failover::{Event, Outcome, Policy, Route};

use crate::common::{SECOND, Watched, counts};

const LIMIT: Duration = Duration::from_millis(500);

fn builder() -> PolicyBuilder {
    Policy::builder().slow_calls(SlowCalls::longer_than(LIMIT))
}

impl Watched {
    fn take(&self, time: Duration, outcome: Outcome) {
        let ticket = self.ticket();
        self.clock.advance(time);
        self.monitor.record(ticket, outcome);
    }
}

#[test]
fn more_than_the_share_of_slow_calls_trips_and_the_event_shows_them() {
    let watched = Watched::new(builder().build().unwrap());
    let last = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&last);
    watched.monitor.observe(move |event: &Event| *seen.lock().unwrap() = Some(event.cause));
    watched.succeed(5);
    for _ in 0..5 {
        watched.take(LIMIT + Duration::from_nanos(1), Outcome::Success);
    }
    assert_eq!((watched.route(), watched.tally().slow), (Route::Primary, 5));
    watched.take(SECOND, Outcome::Success);
    assert_eq!(watched.route(), Route::Fallback);
    let Some(Cause::Tripped { condition, tally, .. }) = *last.lock().unwrap() else { panic!() };
    assert_eq!((condition, tally.slow, counts(tally)), (Condition::SlowCalls, 6, (0, 11)));
}

#[test]
fn a_call_that_takes_exactly_the_time_is_not_slow() {
    let watched = Watched::new(builder().build().unwrap());
    (0..20).for_each(|_| watched.take(LIMIT, Outcome::Success));
    assert_eq!((watched.route(), watched.tally().slow), (Route::Primary, 0));
}

#[test]
fn a_slow_success_is_a_success_for_the_failure_rate_and_a_slow_failure_counts_for_both() {
    let watched = Watched::new(builder().build().unwrap());
    watched.succeed(6);
    watched.take(SECOND, Outcome::Success);
    watched.take(SECOND, Outcome::Failure);
    let tally = watched.tally();
    assert_eq!((tally.failures, tally.successes, tally.slow), (1, 7, 2));
    assert_eq!((tally.failure_rate(), tally.slow_rate()), (Some(0.125), Some(0.25)));
}

#[test]
fn slow_calls_can_have_their_own_minimum() {
    let watched = Watched::new(
        Policy::builder()
            .slow_calls(SlowCalls::longer_than(LIMIT).minimum_calls(3))
            .build()
            .unwrap(),
    );
    (0..2).for_each(|_| watched.take(SECOND, Outcome::Success));
    assert_eq!(watched.route(), Route::Primary);
    watched.succeed(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 3, for slow calls: the call that completes the minimum is fast and succeeds.
#[test]
fn a_fast_success_that_makes_up_the_minimum_is_evaluated_for_slow_calls() {
    let watched = Watched::new(builder().build().unwrap());
    let tickets: Vec<_> = (0..9).map(|_| watched.ticket()).collect();
    watched.clock.advance(SECOND);
    for ticket in tickets {
        watched.monitor.record(ticket, Outcome::Success);
    }
    assert_eq!(watched.route(), Route::Primary);
    watched.succeed(1);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn slow_calls_leave_the_window_of_the_last_calls_one_by_one() {
    let watched = Watched::new(builder().last_calls(10).build().unwrap());
    (0..5).for_each(|_| watched.take(SECOND, Outcome::Success));
    watched.succeed(5);
    for slow in (0..5).rev() {
        watched.succeed(1);
        assert_eq!(watched.tally().slow, slow);
    }
}

#[test]
fn slow_calls_are_not_counted_by_default() {
    let watched = Watched::new(Policy::default());
    (0..9).for_each(|_| watched.take(3_600 * SECOND, Outcome::Success));
    assert_eq!(watched.tally().slow, 0);
}
