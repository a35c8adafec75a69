//! Replacing the policy while calls go on: HARD-WON 34, and 10 to 13 for a swap.

use failover::policy::{Backoff, SlowCalls};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use failover::event::Cause;
use failover::policy::{PolicyBuilder, Probing, StallLimit};
use failover::{Event, Monitor, Outcome, Policy, Route, State};

use crate::common::{SECOND, Watched, counts, ratio};

fn policy(change: impl FnOnce(PolicyBuilder) -> PolicyBuilder) -> Policy {
    change(Policy::builder()).build().unwrap()
}

/// Does not trip in these tests.
fn patient(length: Duration, buckets: u32) -> Policy {
    policy(|p| p.minimum_calls(1_000_000).window(length, buckets))
}

/// HARD-WON 34.
#[test]
fn a_swap_keeps_every_count_where_the_window_stays_the_same() {
    let watched = Watched::new(Policy::default());
    watched.succeed(5);
    watched.clock.advance(13 * SECOND);
    watched.fail(4);
    let old = watched.handle().swap_policy(policy(|p| p.minimum_calls(50).revert_after(SECOND)));
    assert_eq!(old, Policy::default());
    assert_eq!(watched.handle().policy().minimum_calls(), 50);
    assert_eq!(counts(watched.tally()), (4, 5));
    watched.succeed(1);
    assert_eq!(counts(watched.tally()), (4, 6));
    watched.clock.advance(47 * SECOND);
    assert_eq!(counts(watched.tally()), (4, 1));
}

#[test]
fn a_swap_begins_an_epoch_and_is_reported_once() {
    let watched = Watched::new(Policy::default());
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
    let before = watched.snapshot().epoch;
    let other = policy(|p| p.minimum_calls(3));
    watched.handle().swap_policy(other.clone());
    assert_eq!(watched.handle().swap_policy(other.clone()), other);
    let epoch_now = watched.snapshot().epoch;
    assert_eq!(epoch_now, (before + 2) % (1 << 20));
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 1, "an equal policy changes nothing: {events:?}");
    let Event { epoch, route, cause, .. } = events[0];
    assert_eq!((epoch, route, cause), (epoch_now, Route::Primary, Cause::PolicySwapped));
}

#[test]
fn calls_under_way_count_after_any_number_of_swaps() {
    let watched = Watched::new(Policy::default());
    let first = watched.ticket();
    for calls in 20..30 {
        let ticket = watched.ticket();
        watched.handle().swap_policy(policy(|p| p.minimum_calls(calls)));
        watched.monitor.record(ticket, Outcome::Failure);
    }
    watched.monitor.record(first, Outcome::Success);
    assert_eq!(counts(watched.tally()), (10, 1));
}

/// HARD-WON 11: a late result stays late after a swap.
#[test]
fn calls_from_before_a_transition_count_for_nothing_after_a_swap() {
    let other = || policy(|p| p.minimum_calls(2));
    let watched = Watched::new(Policy::default());
    let mut under_way: Vec<_> = (0..10).map(|_| watched.ticket()).collect();
    watched.handle().reset();
    watched.handle().swap_policy(other());
    watched.monitor.record(under_way.pop().unwrap(), Outcome::Failure);
    watched.handle().swap_policy(Policy::default());
    watched.handle().reset();
    for ticket in under_way {
        watched.monitor.record(ticket, Outcome::Failure);
    }
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 0));
    // On the fallback no outcome counts, carried or not.
    let ticket = watched.ticket();
    watched.handle().swap_policy(other());
    watched.trip();
    watched.handle().swap_policy(Policy::default());
    watched.monitor.record(ticket, Outcome::Failure);
    watched.clock.advance(300 * SECOND);
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 0));
}

/// HARD-WON 13: the swap itself trips; no further call is needed.
#[test]
fn a_window_over_the_new_threshold_trips_with_the_swap() {
    let watched = Watched::new(Policy::default());
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.cause));
    watched.succeed(6);
    watched.fail(5);
    let revert_after = 7 * SECOND;
    let stricter = policy(|p| p.failure_rate(ratio(1, 3)).revert_after(revert_after));
    watched.handle().swap_policy(stricter);
    assert_eq!(watched.snapshot().reverts_in, Some(revert_after));
    let told = told.lock().unwrap();
    let [Cause::PolicySwapped, Cause::Tripped { tally, .. }] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(counts(*tally), (5, 6));
}

#[test]
fn a_success_trips_where_the_new_policy_made_the_window_uneasy() {
    let watched = Watched::new(Policy::default());
    watched.succeed(6);
    watched.fail(4);
    watched.handle().swap_policy(policy(|p| p.failure_rate(ratio(1, 4)).minimum_calls(11)));
    assert_eq!(watched.route(), Route::Primary);
    watched.succeed(1);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn a_laxer_policy_lets_pass_what_the_old_one_would_have_tripped_on() {
    let watched = Watched::new(Policy::default());
    watched.fail(9);
    watched.handle().swap_policy(policy(|p| p.minimum_calls(20)));
    watched.fail(10);
    assert_eq!(watched.route(), Route::Primary);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn a_time_on_the_fallback_that_is_running_stays_and_the_next_one_is_the_new_policys() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    watched.handle().swap_policy(policy(|p| p.revert_after(9 * SECOND).window(SECOND, 1)));
    assert_eq!(watched.snapshot().reverts_in, Some(300 * SECOND));
    watched.clock.advance(300 * SECOND);
    watched.trip();
    assert_eq!(watched.snapshot().reverts_in, Some(9 * SECOND));
}

/// HARD-WON 15.
#[test]
fn a_forced_route_outlives_a_swap() {
    for route in [Route::Primary, Route::Fallback] {
        let watched = Watched::new(Policy::default());
        watched.handle().force(route);
        watched.handle().swap_policy(policy(|p| p.minimum_calls(1).window(9 * SECOND, 9)));
        assert_eq!((watched.snapshot().forced, watched.route()), (true, route));
    }
    let watched = Watched::new(Policy::default());
    watched.handle().force(Route::Primary);
    watched.fail(100);
    watched.handle().swap_policy(policy(|p| p.minimum_calls(1)));
    assert_eq!((watched.route(), watched.tally().failures), (Route::Primary, 100));
}

/// HARD-WON 34: a shorter window drops only counts that are too old for it.
#[test]
fn a_shorter_window_keeps_what_is_young_enough() {
    let watched = Watched::new(patient(60 * SECOND, 10));
    for _ in 0..10 {
        watched.fail(1);
        watched.clock.advance(6 * SECOND);
    }
    watched.clock.advance(5 * SECOND);
    // At 65 s the old window holds the buckets from 6 s on.
    assert_eq!(watched.tally().failures, 9);
    watched.handle().swap_policy(patient(30 * SECOND, 30));
    // From 36 s on: 36, 42, 48 and 54.
    assert_eq!(watched.tally().failures, 4);
    watched.clock.advance(SECOND);
    watched.succeed(1);
    watched.clock.advance(6 * SECOND);
    assert_eq!(counts(watched.tally()), (2, 1));
    watched.clock.advance(17 * SECOND);
    assert_eq!(counts(watched.tally()), (0, 1));
    watched.clock.advance(7 * SECOND);
    assert_eq!(watched.tally().calls(), 0);
}

/// HARD-WON 34: a longer window keeps all counts, for longer.
#[test]
fn a_longer_window_keeps_everything_and_for_its_own_length() {
    let watched = Watched::new(patient(10 * SECOND, 10));
    for _ in 0..10 {
        watched.fail(1);
        watched.clock.advance(SECOND);
    }
    watched.handle().swap_policy(patient(120 * SECOND, 12));
    // At 10 s; the first had expired in the old window.
    for tenth in 1..12 {
        assert_eq!(counts(watched.tally()), (9, tenth - 1));
        watched.succeed(1);
        watched.clock.advance(10 * SECOND);
    }
    // At 120 s the new window's first bucket, from 0 s to 10 s, expires.
    assert_eq!(counts(watched.tally()), (0, 11));
}

#[test]
fn a_swap_to_finer_buckets_counts_by_them_from_the_next_call_on() {
    let watched = Watched::new(patient(3_600 * SECOND, 1));
    watched.fail(3);
    watched.clock.advance(600 * SECOND);
    watched.handle().swap_policy(patient(10 * SECOND, 10));
    assert_eq!(watched.tally().calls(), 0);
    watched.fail(1);
    watched.clock.advance(9 * SECOND);
    assert_eq!(watched.tally().failures, 1);
    watched.clock.advance(SECOND);
    assert_eq!(watched.tally().failures, 0);
}

#[test]
fn swapping_to_and_fro_loses_nothing_that_both_windows_hold() {
    let watched = Watched::new(patient(60 * SECOND, 10));
    for round in 1..=200_u64 {
        watched.fail(1);
        let cut =
            [(60, 10), (70, 7), (90, 60), (60, 1), (61, 13)][usize::try_from(round % 5).unwrap()];
        watched.handle().swap_policy(patient(cut.0 * SECOND, cut.1));
        assert_eq!(watched.tally().failures, round);
        watched.clock.advance(Duration::from_millis(200));
    }
}

#[test]
fn the_memory_of_a_window_does_not_grow_with_the_number_of_swaps() {
    let watched = Watched::new(patient(60 * SECOND, 10));
    let round = || {
        for cut in [(60, 10), (30, 40), (600, 6)] {
            watched.fail(1);
            watched.handle().swap_policy(patient(cut.0 * SECOND, cut.1));
            watched.clock.advance(7 * SECOND);
        }
    };
    (0..100).for_each(|_| round());
    let before = watched.monitor.memory();
    (0..10_000).for_each(|_| round());
    assert_eq!(watched.monitor.memory(), before);
}

#[test]
fn an_observer_of_a_swap_may_swap_again() {
    let watched = Watched::new(Policy::default());
    let handle = watched.handle();
    watched.monitor.observe(move |event: &Event| {
        if event.cause == Cause::PolicySwapped && handle.policy().minimum_calls() < 5 {
            handle.swap_policy(policy(|p| p.minimum_calls(handle.policy().minimum_calls() + 1)));
        }
    });
    watched.handle().swap_policy(policy(|p| p.minimum_calls(1)));
    assert_eq!(watched.handle().policy().minimum_calls(), 5);
}

#[test]
fn monitors_that_use_the_memory_of_a_swapped_one_begin_with_their_own_policy() {
    for _ in 0..4 {
        let watched = Watched::new(Policy::default());
        watched.handle().swap_policy(policy(|p| p.minimum_calls(1).window(20 * SECOND, 20)));
        drop(watched);
        let watched = Watched::new(Policy::default());
        watched.fail(9);
        assert_eq!((watched.route(), watched.tally().failures), (Route::Primary, 9));
        watched.clock.advance(54 * SECOND);
        assert_eq!(watched.tally().failures, 9);
    }
}

/// HARD-WON 34: windows of the two kinds can't hold each other's counts.
#[test]
fn between_the_last_seconds_and_the_last_calls_the_window_begins_anew() {
    let watched = Watched::new(Policy::default());
    for calls in [20, 4_096, 7] {
        watched.fail(4);
        watched.handle().swap_policy(policy(|p| p.last_calls(calls).minimum_calls(7)));
        assert_eq!(watched.tally().calls(), 0);
        watched.fail(3);
        watched.clock.advance(3_600 * SECOND);
        assert_eq!(watched.tally().failures, 3);
        watched.handle().swap_policy(Policy::default());
        assert_eq!(watched.tally().calls(), 0);
    }
}

#[test]
fn a_window_over_time_serves_a_monitor_that_was_made_with_one_of_the_last_calls() {
    let watched = Watched::new(policy(|p| p.last_calls(10)));
    for _ in 0..3 {
        watched.handle().swap_policy(patient(60 * SECOND, 60));
        watched.fail(9);
        watched.clock.advance(59 * SECOND);
        assert_eq!(watched.tally().failures, 9);
        watched.clock.advance(SECOND);
        assert_eq!(watched.tally().failures, 0);
        watched.handle().swap_policy(policy(|p| p.last_calls(10)));
    }
}

/// HARD-WON 34.
#[test]
fn of_the_last_calls_the_latest_stay_in_their_order() {
    let last = |calls| {
        policy(|p| p.last_calls(calls).failure_rate(ratio(9, 10)).minimum_calls(calls.into()))
    };
    let watched = Watched::new(last(6));
    watched.succeed(1);
    watched.fail(2);
    watched.succeed(3);
    watched.handle().swap_policy(last(4));
    assert_eq!(counts(watched.tally()), (1, 3));
    // More than the first ring holds.
    watched.handle().swap_policy(last(100));
    assert_eq!(counts(watched.tally()), (1, 3));
    watched.handle().swap_policy(last(3));
    assert_eq!(counts(watched.tally()), (0, 3));
}

#[test]
fn a_run_of_failures_goes_on_where_both_policies_count_it() {
    let run = |failures| policy(|p| p.without_failure_rate().consecutive_failures(failures));
    let watched = Watched::new(run(9));
    watched.fail(4);
    watched.handle().swap_policy(run(6));
    assert_eq!(watched.snapshot().consecutive_failures, 4);
    watched.fail(1);
    watched.handle().swap_policy(run(5));
    assert_eq!(watched.route(), Route::Fallback);

    let watched = Watched::new(Policy::default());
    watched.fail(4);
    watched.handle().swap_policy(run(5));
    assert_eq!(watched.snapshot().consecutive_failures, 0);
}

#[test]
fn calls_stay_slow_by_the_time_that_they_were_measured_with() {
    let slow = |after| policy(|p| p.slow_calls(SlowCalls::longer_than(after).minimum_calls(1_000)));
    let watched = Watched::new(slow(SECOND));
    let ticket = watched.ticket();
    watched.clock.advance(2 * SECOND);
    watched.monitor.record(ticket, Outcome::Success);
    watched.handle().swap_policy(slow(10 * SECOND));
    assert_eq!(watched.tally().slow, 1);
    watched.handle().swap_policy(Policy::default());
    watched.handle().swap_policy(slow(SECOND));
    assert_eq!((watched.tally().slow, watched.tally().calls()), (0, 1));
}

#[test]
fn calls_that_hang_already_are_not_seen_after_a_swap_and_those_to_come_are() {
    let stalls = |after| policy(|p| p.stalled_calls(after, StallLimit::Calls(2)));
    let watched = Watched::new(stalls(4 * SECOND));
    let old: Vec<_> = (0..5).map(|_| watched.ticket()).collect();
    watched.handle().swap_policy(stalls(40 * SECOND));
    watched.clock.advance(100 * SECOND);
    let new = [watched.ticket(), watched.ticket()];
    drop(old);
    watched.clock.advance(40 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 0);
    watched.clock.advance(10 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 2);
    assert!(watched.monitor.admit().ticket().is_none());
    drop(new);
}

/// HARD-WON 17 and 20, for a swap.
#[test]
fn a_swap_while_probing_begins_the_way_back_anew_with_enough_permits() {
    let probing = |max_in_flight| policy(|p| p.probing(Probing::new(max_in_flight).successes(2)));
    let watched = Watched::new(probing(2));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let old = [watched.ticket(), watched.ticket()];
    assert!(watched.monitor.admit().ticket().is_none());
    watched.handle().swap_policy(probing(900));
    assert_eq!(watched.snapshot().state, State::Probing);
    for ticket in old {
        watched.monitor.record(ticket, Outcome::Success);
    }
    assert_eq!(watched.snapshot().state, State::Probing);
    let mut new: Vec<_> = (0..900).map(|_| watched.ticket()).collect();
    assert!(watched.monitor.admit().ticket().is_none());
    watched.handle().swap_policy(probing(1));
    watched.monitor.record(new.remove(0), Outcome::Failure);
    let probe = watched.ticket();
    assert!(watched.monitor.admit().ticket().is_none());
    watched.handle().swap_policy(Policy::default());
    watched.monitor.record(probe, Outcome::Failure);
    watched.succeed(1);
    assert_eq!(watched.snapshot().state, State::Primary);
}

#[test]
fn calls_that_return_gradually_go_on_by_the_new_share_or_are_all_back() {
    let gradual = |first| policy(|p| p.ramp_up(first, 60 * SECOND));
    for (next, state, to_primary) in [
        (gradual(ratio(1, 2)), State::Ramping, 50..90),
        (Policy::default(), State::Primary, 100..101),
        (policy(|p| p.ramp_up(ratio(0, 1), SECOND).dry_run()), State::Primary, 100..101),
    ] {
        let watched = Watched::new(gradual(ratio(0, 1)));
        watched.trip();
        watched.clock.advance(300 * SECOND);
        let _ = watched.monitor.admit();
        assert_eq!(watched.snapshot().state, State::Ramping);
        watched.handle().swap_policy(next);
        assert_eq!(watched.snapshot().state, state);
        let went = (0..100).filter(|_| watched.monitor.admit().ticket().is_some()).count();
        assert!(to_primary.contains(&went), "{state:?}: {went}");
    }
}

#[test]
fn a_longer_time_on_the_fallback_is_remembered_over_a_swap() {
    let growing = |after| {
        let two = ratio(2, 1);
        policy(|p| {
            p.revert_after(after)
                .backoff(Backoff::new(two).max(3_600 * SECOND).reset_after(3_600 * SECOND))
        })
    };
    let watched = Watched::new(growing(100 * SECOND));
    watched.trip();
    watched.clock.advance(100 * SECOND);
    watched.handle().swap_policy(growing(10 * SECOND));
    watched.trip();
    assert_eq!(watched.snapshot().reverts_in, Some(20 * SECOND));
}

/// HARD-WON 10 and 34 with real threads: calls that end during a swap may be lost, but none counts
/// twice. Without concurrent calls a swap keeps all counts.
#[test]
fn no_call_of_many_threads_is_counted_twice_by_swaps() {
    const CALLS: usize = 4_000;
    let cuts = [(60, 10), (70, 70), (300, 3), (61, 7)];
    let monitor = Monitor::new(patient(60 * SECOND, 10));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            for (length, buckets) in cuts.iter().cycle() {
                let before = monitor.handle().snapshot().tally;
                monitor.handle().swap_policy(patient(*length * SECOND, *buckets));
                let after = monitor.handle().snapshot().tally;
                assert!(after.failures >= before.failures, "{before:?} {after:?}");
                assert!(after.successes >= before.successes, "{before:?} {after:?}");
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let threads: Vec<_> = (0..40)
            .map(|_| {
                scope.spawn(|| {
                    for call in 0..CALLS {
                        let ticket = monitor.admit().ticket().expect("never trips");
                        let failed = call % 4 == 0;
                        let outcome = if failed { Outcome::Failure } else { Outcome::Success };
                        monitor.record(ticket, outcome);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
    });
    let (failures, successes) = counts(monitor.handle().snapshot().tally);
    let all = 40 * CALLS as u64;
    assert!(failures <= all / 4 && successes <= all * 3 / 4, "{failures} {successes}");
    for (length, buckets) in cuts {
        monitor.handle().swap_policy(patient(length * SECOND, buckets));
        assert_eq!(counts(monitor.handle().snapshot().tally), (failures, successes));
    }
}

/// HARD-WON 12 and 13: a swap concurrent with the calls that then trip.
#[test]
fn a_trip_that_a_swap_and_many_threads_see_coming_is_one_event() {
    for round in 0..300 {
        let watched = Watched::new(patient(60 * SECOND, 10));
        let trips = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&trips);
        watched.monitor.observe(move |event: &Event| {
            if matches!(event.cause, Cause::Tripped { .. }) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        watched.fail(12);
        let next = if round % 2 == 0 { (60, 10) } else { (90, 7) };
        thread::scope(|scope| {
            scope.spawn(|| {
                let policy = policy(|p| p.minimum_calls(12).window(next.0 * SECOND, next.1));
                watched.handle().swap_policy(policy)
            });
            for _ in 0..6 {
                scope.spawn(|| watched.trip_or(1));
            }
        });
        assert_eq!((watched.route(), trips.load(Ordering::Relaxed)), (Route::Fallback, 1));
    }
}

/// HARD-WON 15: a command concurrent with a swap is not lost.
#[test]
fn a_forced_route_and_a_swap_at_once_both_come_true() {
    for round in 0..300 {
        let watched = Watched::new(Policy::default());
        let next = policy(|p| p.minimum_calls(round + 20));
        thread::scope(|scope| {
            scope.spawn(|| watched.handle().swap_policy(next.clone()));
            scope.spawn(|| watched.handle().force(Route::Fallback));
        });
        assert_eq!((watched.snapshot().forced, watched.route()), (true, Route::Fallback));
        assert_eq!(watched.handle().policy(), next);
    }
}

#[test]
fn a_dry_runs_trip_diverts_no_call_when_the_dry_run_ends_but_later_counts_do() {
    for (failures, route) in [(9, Route::Primary), (10, Route::Fallback)] {
        let watched = Watched::new(policy(PolicyBuilder::dry_run));
        watched.fail(10);
        assert_eq!(watched.snapshot().advised, Route::Fallback);
        watched.fail(failures);
        watched.handle().swap_policy(Policy::default());
        assert_eq!((watched.route(), watched.snapshot().advised), (route, route));
    }
}

#[test]
fn calls_on_the_fallback_come_back_when_a_rehearsal_begins() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    watched.handle().swap_policy(policy(PolicyBuilder::dry_run));
    assert_eq!((watched.route(), watched.snapshot().advised), (Route::Primary, Route::Fallback));
}
