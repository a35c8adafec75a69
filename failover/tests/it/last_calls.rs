//! The window of last calls: HARD-WON 1, 2, 3, 4, 8, 10 and 13.

use std::sync::Barrier;
use std::thread;

use failover::{Monitor, Outcome, Policy, Route};

use crate::common::{SECOND, Watched, counts, ratio};

fn watched(last_calls: u32, minimum_calls: u64) -> Watched {
    let builder = Policy::builder().last_calls(last_calls).minimum_calls(minimum_calls);
    Watched::new(builder.build().unwrap())
}

/// HARD-WON 1.
#[test]
fn in_a_window_of_ten_calls_a_thousand_successes_hold_off_a_trip_for_no_more_than_ten_failures() {
    let watched = watched(10, 10);
    watched.succeed(1_000);
    watched.fail(5);
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (5, 5)));
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn the_window_slides_call_by_call() {
    let watched = watched(7, 7);
    watched.fail(1);
    watched.succeed(6);
    assert_eq!(counts(watched.tally()), (1, 6));
    watched.succeed(1);
    assert_eq!(counts(watched.tally()), (0, 7));
    // Every pattern, compared with a list.
    let mut seen = vec![Outcome::Success; 7];
    for call in 0..1_000_u32 {
        let outcome = if call * call % 5 == 1 { Outcome::Failure } else { Outcome::Success };
        watched.call(outcome);
        seen.push(outcome);
        let failures = seen.iter().rev().take(7).filter(|o| **o == Outcome::Failure).count() as u64;
        assert_eq!(counts(watched.tally()), (failures, 7 - failures));
    }
}

#[test]
fn no_time_is_long_enough_to_forget_the_last_calls() {
    let watched = watched(10, 10);
    watched.fail(9);
    watched.clock.advance(365 * 86_400 * SECOND);
    assert_eq!(counts(watched.tally()), (9, 0));
    watched.succeed(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 2 and 3.
#[test]
fn the_minimum_of_calls_works_whatever_the_number_of_last_calls() {
    for last_calls in [1, 2, 3, 8, 100, 4_096] {
        for minimum in [1, 2, 10, 100] {
            if minimum > u64::from(last_calls) {
                continue;
            }
            let (watched, missing) =
                (watched(last_calls, minimum), usize::try_from(minimum).unwrap() - 1);
            watched.fail(missing);
            assert_eq!(watched.route(), Route::Primary, "{last_calls} {minimum}");
            // The call that completes the minimum may be a success.
            if missing > 1 {
                watched.succeed(1);
            } else {
                watched.fail(1);
            }
            assert_eq!(watched.route(), Route::Fallback, "{last_calls} {minimum}");
        }
    }
}

/// HARD-WON 4.
#[test]
fn exactly_half_of_the_last_calls_does_not_trip_and_one_more_does() {
    let watched = watched(200, 200);
    watched.succeed(1_000);
    watched.fail(100);
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (100, 100)));
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 11.
#[test]
fn results_of_before_a_transition_are_not_among_the_last_calls() {
    let watched = watched(10, 10);
    let late: Vec<_> = (0..20).map(|_| watched.ticket()).collect();
    watched.trip();
    watched.clock.advance(300 * SECOND);
    watched.succeed(3);
    for ticket in late {
        watched.monitor.record(ticket, Outcome::Failure);
    }
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (0, 3)));
}

/// HARD-WON 8.
#[test]
fn the_memory_of_the_last_calls_is_that_of_their_slots() {
    let monitor = Monitor::new(Policy::builder().last_calls(100).build().unwrap());
    let before = monitor.memory();
    assert!(before < 4 * 1_024, "{before}");
    let allocations = allocation_counter::measure(|| {
        for _ in 0..100_000 {
            monitor.record(monitor.admit().ticket().unwrap(), Outcome::Success);
        }
    });
    assert_eq!((allocations.count_total, monitor.memory()), (0, before));
}

/// HARD-WON 10. Calls of many threads, then a window full of one thread's: only those are left.
#[test]
fn the_last_calls_of_many_threads_add_up_exactly() {
    let builder = Policy::builder().last_calls(97).failure_rate(ratio(999, 1_000));
    let watched = Watched::new(builder.build().unwrap());
    for round in 0..200 {
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for number in 0..4 {
                let (watched, barrier) = (&watched, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for call in 0..100 {
                        if (call + number + round) % 3 == 0 {
                            watched.fail(1);
                        } else {
                            watched.succeed(1);
                        }
                    }
                });
            }
        });
        assert_eq!(watched.tally().calls(), 97);
        watched.succeed(60);
        watched.fail(37);
        assert_eq!(counts(watched.tally()), (37, 60));
    }
}

/// HARD-WON 13.
#[test]
fn no_trip_by_the_last_calls_is_missed_between_threads() {
    for _ in 0..500 {
        let watched = watched(10, 10);
        let barrier = Barrier::new(2);
        let calls = |outcome, calls: u32| {
            let (watched, barrier) = (&watched, &barrier);
            move || {
                let tickets: Vec<_> = (0..calls).map(|_| watched.ticket()).collect();
                barrier.wait();
                for ticket in tickets {
                    watched.monitor.record(ticket, outcome);
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(calls(Outcome::Failure, 7));
            scope.spawn(calls(Outcome::Success, 3));
        });
        if let Some(ticket) = watched.monitor.admit().ticket() {
            watched.monitor.record(ticket, Outcome::Failure);
        }
        assert_eq!(watched.route(), Route::Fallback);
    }
}
