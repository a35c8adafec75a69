//! Ramp-up, backoff, jitter and `Retry-After`.

use failover::policy::{Backoff, RetryAfter};
use std::time::Duration;

use failover::event::Cause;
use failover::policy::{PolicyBuilder, Probing};
use failover::{Event, Outcome, Policy, Route, State};

use crate::common::{SECOND, Watched, counts, ratio};

fn watched(change: impl Fn(PolicyBuilder) -> PolicyBuilder) -> Watched {
    Watched::new(change(Policy::builder()).build().unwrap())
}

fn to_primary(watched: &Watched, calls: usize) -> usize {
    (0..calls).filter(|_| watched.monitor.admit().ticket().is_some()).count()
}

fn state(watched: &Watched) -> State {
    watched.snapshot().state
}

#[test]
fn the_share_of_calls_to_the_primary_grows_from_the_first_to_all() {
    let watched = watched(|p| p.ramp_up(ratio(1, 10), 90 * SECOND));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    for tenths in 1..10 {
        let dealt = to_primary(&watched, 1_000);
        assert!(dealt.abs_diff(100 * tenths) <= 6, "{dealt} of 1000 at {tenths}/10");
        assert_eq!(state(&watched), State::Ramping);
        watched.clock.advance(10 * SECOND);
    }
    assert_eq!(to_primary(&watched, 1_000), 1_000);
    assert_eq!(state(&watched), State::Primary);
}

#[test]
fn the_calls_of_a_share_are_spread_evenly_and_not_in_bursts() {
    let watched = watched(|p| p.ramp_up(ratio(3, 10), 86_400 * SECOND));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let dealt: Vec<bool> = (0..1_000).map(|_| watched.monitor.admit().ticket().is_some()).collect();
    for hundred in dealt.windows(100) {
        let to_primary = hundred.iter().filter(|primary| **primary).count();
        assert!((25..=35).contains(&to_primary), "{to_primary} of a hundred");
    }
    let bursts = dealt.chunk_by(|one, next| one == next);
    assert!(bursts.clone().filter(|burst| burst[0]).all(|burst| burst.len() <= 3));
    assert!(bursts.filter(|burst| !burst[0]).all(|burst| burst.len() <= 8));
}

/// With a periodic order one of them would get all calls to the primary.
#[test]
fn of_two_callers_that_take_turns_each_gets_the_share() {
    let watched = watched(|p| p.ramp_up(ratio(1, 2), 86_400 * SECOND));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let mut to_primary = [0_u32; 2];
    for call in 0..20_000 {
        to_primary[call % 2] += u32::from(watched.monitor.admit().ticket().is_some());
    }
    assert!(to_primary.iter().all(|calls| calls.abs_diff(5_000) < 100), "{to_primary:?}");
}

#[test]
fn a_primary_that_fails_again_while_calls_return_sends_all_to_the_fallback() {
    let watched = watched(|p| p.ramp_up(ratio(1, 2), 60 * SECOND));
    watched.trip();
    watched.clock.advance(310 * SECOND);
    while state(&watched) == State::Ramping {
        if let Some(ticket) = watched.monitor.admit().ticket() {
            watched.monitor.record(ticket, Outcome::Failure);
        }
    }
    assert_eq!((watched.route(), state(&watched)), (Route::Fallback, State::Fallback));
    assert_eq!(to_primary(&watched, 100), 0);
}

#[test]
fn calls_that_return_are_counted_and_the_window_begins_anew_when_all_have() {
    let watched = watched(|p| p.ramp_up(ratio(1, 2), 30 * SECOND));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    for _ in 0..10 {
        if let Some(ticket) = watched.monitor.admit().ticket() {
            watched.monitor.record(ticket, Outcome::Success);
        }
    }
    assert_eq!(counts(watched.tally()), (0, 5));
    assert_eq!(watched.snapshot().reverts_in, Some(30 * SECOND));
    watched.clock.advance(30 * SECOND);
    assert_eq!((state(&watched), watched.tally().calls()), (State::Primary, 0));
    watched.succeed(1);
    assert_eq!(counts(watched.tally()), (0, 1));
}

#[test]
fn probing_comes_before_a_ramp() {
    let watched =
        watched(|p| p.probing(Probing::new(1).successes(1)).ramp_up(ratio(0, 1), 60 * SECOND));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let probe = watched.monitor.admit().ticket().unwrap();
    assert_eq!(state(&watched), State::Probing);
    watched.monitor.record(probe, Outcome::Success);
    assert_eq!(state(&watched), State::Ramping);
    assert_eq!(to_primary(&watched, 100), 0);
    watched.clock.advance(60 * SECOND);
    assert_eq!(to_primary(&watched, 100), 100);
}

/// The time on the fallback of the next trip.
fn time_of_a_trip(watched: &Watched) -> Duration {
    watched.trip();
    watched.snapshot().reverts_in.unwrap()
}

#[test]
fn the_time_grows_with_repeated_trips_up_to_its_cap_and_shrinks_after_healthy_time() {
    let watched = watched(|p| {
        p.revert_after(60 * SECOND)
            .backoff(Backoff::new(ratio(2, 1)).max(300 * SECOND).reset_after(600 * SECOND))
    });
    for expected in [60, 120, 240, 300, 300] {
        let time = time_of_a_trip(&watched);
        assert_eq!(time, expected * SECOND);
        watched.clock.advance(time);
        watched.succeed(1);
    }
    // There were five steps. Thirty healthy minutes take back three and half of a fourth: two are
    // left.
    watched.clock.advance(2_100 * SECOND);
    assert_eq!(time_of_a_trip(&watched), 240 * SECOND);
    watched.clock.advance(240 * SECOND);
    watched.succeed(1);
    watched.clock.advance(86_400 * SECOND);
    assert_eq!(time_of_a_trip(&watched), 60 * SECOND);
}

#[test]
fn failed_probes_are_repeated_trips_and_time_on_the_fallback_is_not_healthy_time() {
    let watched = watched(|p| {
        p.revert_after(60 * SECOND)
            .backoff(Backoff::new(ratio(2, 1)).max(3_600 * SECOND).reset_after(SECOND))
            .probing(Probing::new(1).failures(1))
    });
    for expected in [60, 120, 240, 480] {
        watched.trip();
        let time = watched.snapshot().reverts_in.unwrap();
        assert_eq!(time, expected * SECOND);
        watched.clock.advance(time + 10 * SECOND);
    }
}

#[test]
fn a_reset_forgets_repeated_trips() {
    let watched = watched(|p| {
        p.backoff(Backoff::new(ratio(3, 1)).max(3_600 * SECOND).reset_after(3_600 * SECOND))
    });
    for _ in 0..2 {
        assert_eq!(time_of_a_trip(&watched), 300 * SECOND);
        watched.handle().reset();
    }
}

#[test]
fn jittered_times_lie_within_their_share_differ_and_follow_from_the_seed() {
    let times = |seed| {
        let watched = watched(|p| p.jitter(ratio(1, 5), seed));
        (0..50)
            .map(|_| {
                let time = time_of_a_trip(&watched);
                watched.clock.advance(time);
                time
            })
            .collect::<Vec<_>>()
    };
    let drawn = times(7);
    assert_eq!(drawn, times(7));
    assert_ne!(drawn, times(8));
    let (least, most) = (300 * SECOND, 360 * SECOND + Duration::from_millis(1));
    assert!(drawn.iter().all(|time| (least..most).contains(time)), "{drawn:?}");
    // Spread over the whole share: each fifth of it occurs.
    for fifth in 0..5 {
        let from = least + fifth * 12 * SECOND;
        assert!(drawn.iter().any(|t| (from..from + 12 * SECOND).contains(t)), "{drawn:?}");
    }
}

fn hint(seconds: u64) -> Outcome {
    Outcome::RetryAfter(Duration::from_secs(seconds))
}

fn fail_with(watched: &Watched, outcomes: impl IntoIterator<Item = Outcome>) -> Duration {
    outcomes.into_iter().for_each(|outcome| watched.call(outcome));
    watched.trip();
    watched.snapshot().reverts_in.unwrap()
}

#[test]
fn a_retry_after_sets_the_time_and_the_latest_end_counts() {
    let watched = watched(|p| p.retry_after(RetryAfter::between(SECOND, 600 * SECOND)));
    assert_eq!(fail_with(&watched, [hint(40), hint(70), hint(20)]), 70 * SECOND);
    watched.clock.advance(70 * SECOND);
    // It belongs to an earlier epoch.
    assert_eq!(fail_with(&watched, []), 300 * SECOND);
}

#[test]
fn a_retry_after_counts_from_its_response_and_not_once_it_is_over() {
    let watched = watched(|p| p.retry_after(RetryAfter::between(SECOND, 600 * SECOND)));
    watched.call(hint(40));
    watched.clock.advance(30 * SECOND);
    assert_eq!(fail_with(&watched, []), 10 * SECOND);
    watched.handle().reset();
    watched.call(hint(40));
    watched.clock.advance(40 * SECOND);
    assert_eq!(fail_with(&watched, []), 300 * SECOND);
}

#[test]
fn a_retry_after_is_kept_within_the_policys_bounds_and_without_the_option_is_an_ordinary_failure() {
    let bounded = watched(|p| p.retry_after(RetryAfter::between(10 * SECOND, 600 * SECOND)));
    assert_eq!(fail_with(&bounded, [hint(1)]), 10 * SECOND);
    bounded.handle().reset();
    // Zero, or a date in the past, once gave the policy's own time.
    assert_eq!(fail_with(&bounded, [hint(0)]), 10 * SECOND);
    bounded.handle().reset();
    // It is raised from its response on, and the trip comes later.
    bounded.call(hint(0));
    bounded.clock.advance(9 * SECOND);
    assert_eq!(fail_with(&bounded, []), 10 * SECOND);
    bounded.handle().reset();
    bounded.call(hint(0));
    bounded.clock.advance(10 * SECOND);
    assert_eq!(fail_with(&bounded, []), 300 * SECOND);
    bounded.handle().reset();
    assert_eq!(fail_with(&bounded, [hint(u64::MAX)]), 600 * SECOND);
    let plain = watched(|p| p);
    assert_eq!(fail_with(&plain, [hint(40)]), 300 * SECOND);
}

#[test]
fn a_probes_retry_after_sets_the_next_time_on_the_fallback() {
    let watched = watched(|p| {
        p.retry_after(RetryAfter::between(SECOND, 600 * SECOND)).probing(Probing::new(1))
    });
    watched.trip();
    watched.clock.advance(300 * SECOND);
    watched.monitor.record(watched.monitor.admit().ticket().unwrap(), hint(17));
    assert_eq!(watched.snapshot().reverts_in, Some(17 * SECOND));
}

#[test]
fn a_ramp_is_reported_at_its_beginning_and_at_its_end() {
    let watched = watched(|p| p.ramp_up(ratio(1, 2), 30 * SECOND));
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&told);
    watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.cause));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    to_primary(&watched, 1);
    watched.clock.advance(30 * SECOND);
    to_primary(&watched, 1);
    assert_eq!(told.lock().unwrap()[1..], [Cause::Ramping { over: 30 * SECOND }, Cause::Reverted]);
}

#[test]
fn a_dry_run_would_come_back_at_once() {
    let watched = watched(|p| p.dry_run().probing(Probing::new(1)).ramp_up(ratio(1, 2), SECOND));
    (0..10).for_each(|_| watched.call(Outcome::Failure));
    assert_eq!(watched.snapshot().advised, Route::Fallback);
    watched.clock.advance(300 * SECOND);
    watched.succeed(1);
    assert_eq!((watched.snapshot().advised, state(&watched)), (Route::Primary, State::Primary));
}

#[test]
fn senseless_ways_back_are_refused_by_their_name() {
    let refused = |change: &dyn Fn(PolicyBuilder) -> PolicyBuilder, field: &str| {
        let error = change(Policy::builder()).build().unwrap_err();
        assert!(error.to_string().starts_with(field), "{error}");
    };
    for probing in [
        Probing::new(0),
        Probing::new(1_001),
        Probing::new(1).successes(0),
        Probing::new(1).failures(0),
        Probing::new(1).lease(Duration::ZERO),
        Probing::new(1).lease(Duration::MAX),
    ] {
        refused(&move |p| p.probing(probing), "probing");
    }
    refused(&|p| p.ramp_up(ratio(1, 1), SECOND), "ramp_up");
    refused(&|p| p.ramp_up(ratio(1, 2), Duration::ZERO), "ramp_up");
    refused(
        &|p| p.backoff(Backoff::new(ratio(1, 1)).max(600 * SECOND).reset_after(SECOND)),
        "backoff",
    );
    refused(&|p| p.backoff(Backoff::new(ratio(2, 1)).max(SECOND).reset_after(SECOND)), "backoff");
    let too_long = Policy::LONGEST + Duration::from_nanos(1);
    refused(&|p| p.backoff(Backoff::new(ratio(2, 1)).max(too_long).reset_after(SECOND)), "backoff");
    refused(
        &|p| p.backoff(Backoff::new(ratio(2, 1)).max(600 * SECOND).reset_after(Duration::ZERO)),
        "backoff",
    );
    refused(&|p| p.jitter(ratio(0, 1), 1), "jitter");
    refused(&|p| p.jitter(ratio(3, 2), 1), "jitter");
    refused(&|p| p.retry_after(RetryAfter::between(Duration::ZERO, SECOND)), "retry_after");
    refused(&|p| p.retry_after(RetryAfter::between(2 * SECOND, SECOND)), "retry_after");
}
