//! Several conditions together, and consecutive failures.

use failover::policy::SlowCalls;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::event::{Cause, Condition};
use failover::monitor::Tally;
use failover::policy::PolicyBuilder;
use failover::{Event, Outcome, Policy, Route};

use crate::common::{SECOND, Watched, counts};

/// A monitor, and its last trip.
fn with_last_trip(builder: PolicyBuilder) -> (Watched, impl Fn() -> Option<(Condition, Tally)>) {
    let watched = Watched::new(builder.build().unwrap());
    let last = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&last);
    watched.monitor.observe(move |event: &Event| {
        if let Cause::Tripped { condition, tally, .. } = event.cause {
            *seen.lock().unwrap() = Some((condition, tally));
        }
    });
    (watched, move || *last.lock().unwrap())
}

#[test]
fn a_policy_trips_by_the_first_condition_met_and_names_it() {
    let builder = || {
        Policy::builder()
            .consecutive_failures(3)
            .slow_calls(SlowCalls::longer_than(SECOND).minimum_calls(4))
    };

    let (watched, last) = with_last_trip(builder());
    watched.fail(3);
    let (condition, tally) = last().unwrap();
    assert_eq!(condition, Condition::ConsecutiveFailures { failures: 3 });
    assert_eq!(counts(tally), (3, 0));

    let (watched, last) = with_last_trip(builder());
    for call in 0..10 {
        watched.call(if call % 3 == 0 { Outcome::Success } else { Outcome::Failure });
    }
    let (condition, tally) = last().unwrap();
    assert_eq!((condition, counts(tally)), (Condition::FailureRate, (6, 4)));
}

#[test]
fn if_several_conditions_are_met_at_once_the_failure_rate_is_named() {
    let builder = Policy::builder().minimum_calls(3).consecutive_failures(3);
    let (watched, last) = with_last_trip(builder);
    watched.fail(3);
    assert_eq!(last().unwrap().0, Condition::FailureRate);
}

#[test]
fn without_the_failure_rate_no_share_of_failures_trips_and_calls_are_still_counted() {
    let builder = Policy::builder().without_failure_rate().consecutive_failures(3);
    let watched = Watched::new(builder.build().unwrap());
    for _ in 0..1_000 {
        watched.fail(2);
        watched.succeed(1);
    }
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (2_000, 1_000)));
    watched.fail(3);
    assert_eq!(watched.route(), Route::Fallback);
}

fn five_in_a_row() -> Watched {
    let builder = Policy::builder().without_failure_rate().consecutive_failures(5);
    Watched::new(builder.build().unwrap())
}

#[test]
fn failures_in_a_row_trip_however_far_apart_they_are() {
    let watched = five_in_a_row();
    for failures in 1..5 {
        watched.fail(1);
        watched.clock.advance(86_400 * SECOND);
        assert_eq!(watched.snapshot().consecutive_failures, failures);
    }
    assert_eq!(watched.route(), Route::Primary);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn a_streak_is_in_the_order_in_which_calls_end() {
    let watched = five_in_a_row();
    let early = watched.ticket();
    watched.fail(4);
    watched.monitor.record(early, Outcome::Success);
    watched.fail(4);
    assert_eq!(watched.route(), Route::Primary);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn ignored_and_dropped_calls_neither_extend_a_streak_nor_end_it() {
    let watched = five_in_a_row();
    watched.fail(4);
    watched.call(Outcome::Ignored);
    drop(watched.ticket());
    watched.monitor.abandon(watched.ticket());
    assert_eq!(watched.snapshot().consecutive_failures, 4);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 11.
#[test]
fn a_streak_starts_over_after_a_transition_and_late_failures_are_not_counted() {
    let watched = five_in_a_row();
    let late: Vec<_> = (0..10).map(|_| watched.ticket()).collect();
    watched.fail(4);
    watched.handle().reset();
    watched.fail(1);
    for ticket in late {
        watched.monitor.record(ticket, Outcome::Failure);
    }
    assert_eq!((watched.route(), watched.snapshot().consecutive_failures), (Route::Primary, 1));
    watched.fail(4);
    watched.clock.advance(300 * SECOND);
    watched.fail(4);
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn a_streak_on_a_forced_primary_trips_nothing_after_the_release() {
    let watched = five_in_a_row();
    watched.handle().force(Route::Primary);
    watched.fail(100);
    assert_eq!(watched.snapshot().consecutive_failures, 100);
    watched.handle().release();
    watched.fail(4);
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn a_reused_state_keeps_nothing_of_the_previous_policy() {
    for round in 0..50 {
        let policies = [
            Policy::builder().build(),
            Policy::builder().without_failure_rate().consecutive_failures(20).build(),
            Policy::builder().last_calls(10 + round % 5).build(),
            Policy::builder().last_calls(16).dry_run().build(),
            Policy::builder()
                .stalled_calls(SECOND, failover::policy::StallLimit::Calls(100))
                .dropped_after(Duration::from_millis(5))
                .build(),
        ];
        for policy in policies {
            let watched = Watched::new(policy.unwrap());
            assert_eq!(counts(watched.tally()), (0, 0));
            watched.fail(9);
            assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (9, 0)));
            watched.trip_or(11);
            let snapshot = watched.snapshot();
            assert_eq!(snapshot.advised, Route::Fallback, "{snapshot:?}");
        }
    }
}
