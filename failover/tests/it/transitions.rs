//! Trip, revert, forced routes, and late results: HARD-WON 11, 14 and 15.

use std::time::Duration;

use failover::monitor::Admission;
use failover::{Outcome, Policy, Route};

use crate::common::{SECOND, Watched, counts};

fn watched() -> Watched {
    Watched::new(Policy::default())
}

#[test]
fn the_defaults_match_the_documentation() {
    let policy = Policy::default();
    assert_eq!(policy.failure_rate().unwrap().to_string(), "1/2");
    assert_eq!(policy.minimum_calls(), 10);
    assert_eq!((policy.window(), policy.buckets()), (60 * SECOND, 10));
    assert_eq!(policy.revert_after(), 300 * SECOND);
}

#[test]
fn a_trip_sends_calls_to_the_fallback_until_the_time_is_over_and_then_the_window_is_empty() {
    let watched = watched();
    watched.fail(10);
    assert_eq!(watched.route(), Route::Fallback);
    assert_eq!(watched.snapshot().reverts_in, Some(300 * SECOND));
    watched.clock.advance(300 * SECOND - Duration::from_millis(1));
    assert!(matches!(watched.monitor.admit(), Admission::Fallback));
    watched.clock.advance(Duration::from_millis(1));
    watched.fail(1);
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (1, 0)));
}

#[test]
fn a_snapshot_after_the_deadline_says_primary_before_any_call_made_the_revert() {
    let watched = watched();
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let snapshot = watched.snapshot();
    assert_eq!((snapshot.route, snapshot.reverts_in), (Route::Primary, None));
    assert_eq!(snapshot.tally.calls(), 0);
}

#[test]
fn a_policy_trips_again_after_each_revert() {
    let watched = watched();
    for _ in 0..5 {
        watched.fail(10);
        assert_eq!(watched.route(), Route::Fallback);
        watched.clock.advance(300 * SECOND);
        assert_eq!(watched.route(), Route::Primary);
    }
}

/// HARD-WON 11: ten failures admitted before the trip do nothing after the revert.
#[test]
fn failures_admitted_before_a_transition_do_not_trip_after_it() {
    let watched = watched();
    let late: Vec<_> = (0..20).map(|_| watched.ticket()).collect();
    watched.trip();
    watched.clock.advance(300 * SECOND);
    watched.succeed(1);
    for ticket in late {
        watched.monitor.record(ticket, Outcome::Failure);
    }
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (0, 1)));
}

/// HARD-WON 11.
#[test]
fn late_failures_do_not_extend_the_time_on_the_fallback() {
    let watched = watched();
    let late: Vec<_> = (0..20).map(|_| watched.ticket()).collect();
    watched.trip();
    watched.clock.advance(200 * SECOND);
    for ticket in late {
        watched.monitor.record(ticket, Outcome::Failure);
    }
    assert_eq!(watched.snapshot().reverts_in, Some(100 * SECOND));
}

/// HARD-WON 14: `Admission::Fallback` has no ticket to record.
#[test]
fn calls_to_the_fallback_are_not_outcomes_of_the_primary() {
    let watched = watched();
    watched.trip();
    for _ in 0..100 {
        assert!(watched.monitor.admit().ticket().is_none());
    }
    assert_eq!(watched.tally().calls(), 0);
}

/// HARD-WON 15.
#[test]
fn a_forced_fallback_outlives_the_revert_time_until_it_is_released() {
    let watched = watched();
    assert!(watched.handle().force(Route::Fallback));
    assert!(!watched.handle().force(Route::Fallback));
    watched.clock.advance(86_400 * SECOND);
    assert!(matches!(watched.monitor.admit(), Admission::Fallback));
    assert_eq!((watched.snapshot().forced, watched.snapshot().reverts_in), (true, None));
    assert!(watched.handle().release());
    assert!(!watched.handle().release());
    assert_eq!((watched.route(), watched.snapshot().forced), (Route::Primary, false));
}

/// HARD-WON 15.
#[test]
fn a_forced_primary_does_not_trip_and_its_calls_are_counted_for_display() {
    let watched = watched();
    watched.handle().force(Route::Primary);
    watched.fail(1_000);
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (1_000, 0)));
    watched.handle().release();
    assert_eq!(watched.tally().calls(), 0);
    watched.fail(10);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn forcing_overrides_a_trip_and_its_timer() {
    let watched = watched();
    watched.trip();
    watched.handle().force(Route::Fallback);
    watched.clock.advance(301 * SECOND);
    assert!(matches!(watched.monitor.admit(), Admission::Fallback));
    watched.handle().force(Route::Primary);
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn a_reset_ends_a_trip_and_empties_the_window() {
    let watched = watched();
    watched.trip();
    watched.handle().reset();
    assert_eq!(watched.route(), Route::Primary);
    watched.fail(9);
    watched.handle().reset();
    assert_eq!(watched.tally().calls(), 0);
    watched.fail(9);
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn a_revert_time_with_a_fraction_of_a_millisecond_is_rounded_up() {
    let time = Duration::from_nanos(1_000_001);
    let watched =
        Watched::new(Policy::builder().minimum_calls(1).revert_after(time).build().unwrap());
    watched.fail(1);
    watched.clock.advance(Duration::from_nanos(1_999_999));
    assert_eq!(watched.route(), Route::Fallback);
    watched.clock.advance(Duration::from_nanos(1));
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn a_ticket_that_outlives_every_service_changes_nothing_for_the_next_monitor() {
    let old = watched();
    let late: Vec<_> = (0..10).map(|_| old.ticket()).collect();
    let handle = old.handle();
    drop(old);
    assert_eq!(handle.snapshot().route, Route::Primary);
    drop(handle);
    // This monitor may reuse the other's memory.
    let new = watched();
    let watch = new.monitor.clone();
    for ticket in late {
        watch.record(ticket, Outcome::Failure);
    }
    assert!(new.tally().failures <= 10);
}
