//! Saved before a restart and restored after it. A restart is another monitor on another clock.

use failover::policy::{Backoff, SlowCalls};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::event::Cause;
use failover::policy::{PolicyBuilder, Probing};
use failover::{Event, Outcome, Policy, Route, State};

use crate::common::{SECOND, Watched, counts, ratio};

fn watched() -> Watched {
    Watched::new(Policy::default())
}

/// Another process, with an unrelated clock near its origin.
fn restarted(old: &Watched, elapsed: Duration) -> Watched {
    restarted_by(Policy::default(), old, elapsed)
}

fn restarted_by(policy: Policy, old: &Watched, elapsed: Duration) -> Watched {
    let new = Watched::new(policy);
    new.clock.advance(Duration::from_millis(17));
    new.handle().restore(&old.handle().save(), elapsed);
    new
}

fn policy(change: impl FnOnce(PolicyBuilder) -> PolicyBuilder) -> Policy {
    change(Policy::builder()).build().unwrap()
}

#[test]
fn a_time_on_the_fallback_goes_on_where_it_was() {
    let old = watched();
    old.trip();
    old.clock.advance(100 * SECOND);
    let saved = old.handle().save();
    assert_eq!(saved.state(), State::Fallback);
    assert_eq!(saved.reverts_in(), Some(200 * SECOND));
    for elapsed in [0, 30, 199] {
        let new = watched();
        new.handle().restore(&saved, elapsed * SECOND);
        assert_eq!(new.snapshot().reverts_in, Some((200 - elapsed) * SECOND));
        new.clock.advance((200 - elapsed) * SECOND);
        assert!(new.monitor.admit().ticket().is_some());
    }
}

#[test]
fn a_time_on_the_fallback_that_ran_out_meanwhile_is_over_and_the_window_empty() {
    let old = watched();
    old.trip();
    for elapsed in [300 * SECOND, 301 * SECOND, Duration::MAX] {
        let new = restarted(&old, elapsed);
        assert_eq!((new.route(), new.tally().calls()), (Route::Primary, 0));
    }
    old.clock.advance(300 * SECOND);
    assert_eq!(old.handle().save().reverts_in(), Some(Duration::ZERO));
    assert_eq!(restarted(&old, Duration::ZERO).route(), Route::Primary);
}

/// HARD-WON 15, over a restart.
#[test]
fn a_forced_route_stays_forced_over_a_restart() {
    for route in [Route::Primary, Route::Fallback] {
        let old = watched();
        old.handle().force(route);
        let new = restarted(&old, 86_400 * SECOND);
        assert_eq!((new.snapshot().forced, new.route()), (true, route));
        assert!(new.handle().release());
    }
}

#[test]
fn the_window_comes_back_and_slides_on() {
    let old = watched();
    old.succeed(7);
    old.clock.advance(30 * SECOND);
    old.fail(3);
    assert_eq!(counts(old.handle().save().tally()), (3, 7));
    let new = restarted(&old, 10 * SECOND);
    assert_eq!(counts(new.tally()), (3, 7));
    // Without the restart, the successes would expire after 20 s and the failures after 50 s. Both
    // expire within a bucket's width, 6 s, of that.
    new.clock.advance(14 * SECOND);
    assert_eq!(counts(new.tally()), (3, 7));
    new.clock.advance(12 * SECOND);
    assert_eq!(counts(new.tally()), (3, 0));
    new.fail(1);
    new.clock.advance(18 * SECOND);
    assert_eq!(counts(new.tally()), (4, 0));
    new.clock.advance(12 * SECOND);
    assert_eq!(counts(new.tally()), (1, 0));
}

#[test]
fn restored_counts_too_old_for_the_window_are_dropped() {
    let old = watched();
    old.fail(9);
    assert_eq!(restarted(&old, 60 * SECOND).tally().calls(), 0);
    assert_eq!(restarted(&old, Duration::MAX).tally().calls(), 0);
    assert_eq!(restarted(&old, SECOND).tally().calls(), 9);
}

/// HARD-WON 13: restored counts are evaluated by the policy in force.
#[test]
fn a_window_that_comes_back_over_the_threshold_trips() {
    let old = Watched::new(Policy::builder().minimum_calls(100).build().unwrap());
    old.fail(20);
    let new = restarted(&old, SECOND);
    assert_eq!(new.route(), Route::Fallback);
    let old = watched();
    old.fail(9);
    let new = restarted(&old, SECOND);
    assert_eq!(new.route(), Route::Primary);
    new.succeed(1);
    assert_eq!(new.route(), Route::Fallback);
}

/// HARD-WON 11.
#[test]
fn restoring_begins_an_epoch_and_is_one_event() {
    let old = watched();
    old.trip();
    let new = watched();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    new.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
    let under_way: Vec<_> = (0..20).map(|_| new.ticket()).collect();
    let before = new.snapshot().epoch;
    new.handle().restore(&old.handle().save(), Duration::ZERO);
    new.handle().restore(&watched().handle().save(), Duration::ZERO);
    for ticket in under_way {
        new.monitor.record(ticket, Outcome::Failure);
    }
    assert_eq!((new.route(), new.tally().calls()), (Route::Primary, 0));
    let told: Vec<_> = events.lock().unwrap().iter().map(|e| (e.epoch, e.route, e.cause)).collect();
    let restored = [
        (before + 2, Route::Fallback, Cause::Restored),
        (before + 4, Route::Primary, Cause::Restored),
    ];
    assert_eq!(told, restored);
}

#[test]
fn a_window_of_another_cut_takes_what_fits() {
    let old = Watched::new(Policy::builder().minimum_calls(1_000).build().unwrap());
    for _ in 0..10 {
        old.fail(1);
        old.clock.advance(6 * SECOND);
    }
    let saved = old.handle().save();
    let cut = |length, buckets| {
        let policy = Policy::builder().minimum_calls(1_000).window(length, buckets).build();
        let new = Watched::new(policy.unwrap());
        new.handle().restore(&saved, Duration::ZERO);
        new.tally().failures
    };
    // At 60 s the first has expired; the buckets of the others began 6 to 54 s ago.
    assert_eq!(saved.tally().failures, 9);
    assert_eq!(cut(3_600 * SECOND, 3_600), 9);
    assert_eq!(cut(60 * SECOND, 10), 9);
    assert_eq!(cut(49 * SECOND, 1_000), 8);
    assert_eq!(cut(31 * SECOND, 31), 5);
    assert_eq!(cut(5 * SECOND, 5), 0);
}

#[test]
fn counts_made_after_a_restore_add_to_those_that_came_back() {
    let old = watched();
    old.succeed(100);
    let new = restarted(&old, Duration::ZERO);
    new.fail(50);
    assert_eq!((new.route(), counts(new.tally())), (Route::Primary, (50, 100)));
    new.fail(51);
    assert_eq!(new.route(), Route::Fallback);
}

#[test]
fn probing_begins_anew_after_a_restart_without_the_probes_outcomes() {
    let probing = || policy(|p| p.probing(Probing::new(1).successes(2)));
    let old = Watched::new(probing());
    old.trip();
    old.clock.advance(300 * SECOND);
    old.succeed(1);
    assert_eq!(old.handle().save().state(), State::Probing);
    let new = restarted_by(probing(), &old, SECOND);
    assert_eq!(new.snapshot().state, State::Probing);
    new.succeed(1);
    assert_eq!(new.snapshot().state, State::Probing);
    new.succeed(1);
    assert_eq!(new.snapshot().state, State::Primary);
    // A policy without probing reverts at once.
    assert_eq!(restarted(&old, SECOND).snapshot().state, State::Primary);
}

#[test]
fn a_ramp_goes_on_with_the_share_of_then() {
    let gradual = || policy(|p| p.ramp_up(ratio(0, 1), 100 * SECOND));
    let old = Watched::new(gradual());
    old.trip();
    old.clock.advance(300 * SECOND);
    assert!(old.monitor.admit().ticket().is_none());
    old.clock.advance(20 * SECOND);
    let new = restarted_by(gradual(), &old, 30 * SECOND);
    assert_eq!(new.snapshot().state, State::Ramping);
    assert_eq!(new.snapshot().reverts_in, Some(50 * SECOND));
    let went = (0..100).filter(|_| new.monitor.admit().ticket().is_some()).count();
    assert_eq!(went, 50);
    for (policy, elapsed) in [(gradual(), 80), (Policy::default(), 0)] {
        let new = restarted_by(policy, &old, elapsed * SECOND);
        assert_eq!(new.snapshot().state, State::Primary);
    }
}

#[test]
fn the_last_calls_come_back_in_their_order() {
    let last = |calls| policy(|p| p.last_calls(calls).minimum_calls(4).failure_rate(ratio(9, 10)));
    let old = Watched::new(last(6));
    old.fail(3);
    old.succeed(3);
    for (calls, expected) in [(6, (3, 3)), (4, (1, 3)), (5, (2, 3)), (100, (3, 3))] {
        let new = restarted_by(last(calls), &old, 86_400 * SECOND);
        assert_eq!(counts(new.tally()), expected, "{calls}");
    }
    assert_eq!(counts(old.handle().save().tally()), (3, 3));
    assert_eq!(restarted(&old, SECOND).tally().calls(), 0, "a window of another kind");
}

#[test]
fn a_run_of_failures_goes_on_after_a_restart() {
    let in_a_row = || policy(|p| p.consecutive_failures(5));
    let old = Watched::new(in_a_row());
    old.fail(4);
    let new = restarted_by(in_a_row(), &old, 3_600 * SECOND);
    assert_eq!((new.tally().calls(), new.snapshot().consecutive_failures), (0, 4));
    new.fail(1);
    assert_eq!(new.route(), Route::Fallback);
}

#[test]
fn slow_calls_come_back_slow() {
    let slow = || {
        policy(|p| {
            p.slow_calls(SlowCalls::longer_than(SECOND).more_than(ratio(1, 2))).minimum_calls(4)
        })
    };
    let old = Watched::new(slow());
    for _ in 0..3 {
        let ticket = old.ticket();
        old.clock.advance(2 * SECOND);
        old.monitor.record(ticket, Outcome::Success);
    }
    let new = restarted_by(slow(), &old, SECOND);
    assert_eq!(new.tally().slow, 3);
    new.succeed(1);
    assert_eq!(new.route(), Route::Fallback);
}

#[test]
fn a_longer_time_on_the_fallback_is_remembered_over_a_restart_until_healthy_time_shrinks_it() {
    let growing = || {
        policy(|p| {
            p.backoff(Backoff::new(ratio(2, 1)).max(86_400 * SECOND).reset_after(600 * SECOND))
        })
    };
    let old = Watched::new(growing());
    for _ in 0..3 {
        old.trip();
        old.clock.advance(old.snapshot().reverts_in.unwrap());
        old.succeed(1);
    }
    old.clock.advance(500 * SECOND);
    for (elapsed, time) in [(0, 2_400), (99, 2_400), (100, 1_200), (700, 600), (86_400, 300)] {
        let new = restarted_by(growing(), &old, elapsed * SECOND);
        new.trip();
        assert_eq!(new.snapshot().reverts_in, Some(time * SECOND), "after {elapsed} s");
    }
}

#[test]
fn a_dry_runs_trip_diverts_no_call_after_a_restart() {
    let dry = || policy(PolicyBuilder::dry_run);
    let old = Watched::new(dry());
    old.fail(10);
    old.fail(9);
    let real = restarted(&old, SECOND);
    assert_eq!((real.route(), counts(real.tally())), (Route::Primary, (9, 0)));
    let rehearsed = restarted_by(dry(), &old, SECOND);
    assert_eq!(rehearsed.snapshot().advised, Route::Fallback);
    assert_eq!(rehearsed.snapshot().reverts_in, Some(299 * SECOND));
}

#[cfg(feature = "serde")]
mod written {
    use super::*;
    use failover::monitor::Saved;

    fn read(text: &str) -> Result<Saved, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Serialized; it deserializes to the same.
    fn written(old: &Watched) -> String {
        let saved = old.handle().save();
        let text = serde_json::to_string(&saved).unwrap();
        assert_eq!(read(&text), Ok(saved), "{text}");
        text
    }

    #[test]
    fn a_serialized_state_deserializes_to_the_same() {
        let old = Watched::new(policy(|p| {
            p.backoff(Backoff::new(ratio(2, 1)).max(3_600 * SECOND).reset_after(60 * SECOND))
                .consecutive_failures(100)
        }));
        assert_eq!(written(&old), r#"{"version":1,"state":"primary"}"#);
        old.succeed(3);
        old.clock.advance(7 * SECOND);
        old.fail(2);
        let counts = concat!(
            r#""consecutive_failures":2,"window":[{"age_ns":7000000000,"successes":3,"failures":0},"#,
            r#"{"age_ns":1000000000,"successes":0,"failures":2}]"#
        );
        assert_eq!(written(&old), format!(r#"{{"version":1,"state":"primary",{counts}}}"#));
        old.trip();
        let trips = r#""trips":{"made":1,"grown":1}"#;
        let timed = r#""reverts_in_ns":300000000000"#;
        assert_eq!(written(&old), format!(r#"{{"version":1,"state":"fallback",{timed},{trips}}}"#));
        old.clock.advance(300 * SECOND);
        old.succeed(1);
        old.clock.advance(5 * SECOND);
        assert!(written(&old).contains(r#""trips":{"made":1,"grown":1,"back_for_ns":5000000000}"#));
        old.handle().force(Route::Fallback);
        let forced = format!(r#"{{"version":1,"state":"forced_fallback",{trips}}}"#);
        assert_eq!(written(&old), forced);
    }

    #[test]
    fn the_last_calls_are_written_a_letter_each() {
        let old = Watched::new(policy(|p| {
            p.last_calls(5)
                .slow_calls(SlowCalls::longer_than(SECOND).more_than(ratio(9, 10)))
                .failure_rate(ratio(9, 10))
                .minimum_calls(5)
        }));
        assert_eq!(written(&old), r#"{"version":1,"state":"primary","last_calls":""}"#);
        for (outcome, takes) in [
            (Outcome::Failure, 0),
            (Outcome::Success, 0),
            (Outcome::Success, 2),
            (Outcome::Failure, 2),
            (Outcome::Failure, 0),
            (Outcome::Success, 0),
        ] {
            let ticket = old.ticket();
            old.clock.advance(takes * SECOND);
            old.monitor.record(ticket, outcome);
        }
        assert_eq!(written(&old), r#"{"version":1,"state":"primary","last_calls":"sSFfs"}"#);
    }

    /// Deserialized, as by another process.
    fn reread(old: &Watched) -> Saved {
        read(&written(old)).unwrap()
    }

    #[test]
    fn a_rehearsed_trip_that_was_written_diverts_no_call() {
        let old = Watched::new(policy(PolicyBuilder::dry_run));
        old.fail(10);
        old.fail(9);
        let text = written(&old);
        assert!(text.contains(r#""state":"fallback","dry_run":true"#), "{text}");
        let real = watched();
        real.handle().restore(&reread(&old), SECOND);
        assert_eq!((real.route(), counts(real.tally())), (Route::Primary, (9, 0)));
    }

    #[test]
    fn a_bucket_of_slow_failures_comes_back_slow_and_failed() {
        let slow = || policy(|p| p.slow_calls(SlowCalls::longer_than(SECOND)).minimum_calls(4));
        let old = Watched::new(slow());
        for _ in 0..3 {
            let ticket = old.ticket();
            old.clock.advance(2 * SECOND);
            old.monitor.record(ticket, Outcome::Failure);
        }
        let new = Watched::new(slow());
        new.handle().restore(&reread(&old), SECOND);
        assert_eq!((new.tally().slow, counts(new.tally())), (3, (3, 0)));
        new.succeed(1);
        assert_eq!(new.route(), Route::Fallback);
    }

    #[test]
    fn an_unknown_field_is_refused_by_its_name_unless_the_version_is_another() {
        for text in [
            r#"{"version":1,"state":"primary","windw":[]}"#,
            r#"{"version":1,"state":"primary","trips":{"made":1,"grown":1,"windw":1}}"#,
            concat!(
                r#"{"version":1,"state":"primary","window":"#,
                r#"[{"age_ns":1,"successes":1,"failures":1,"windw":{"a":1}}]}"#
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("`windw`"), "{text}: {error}");
            let error = read(&text.replace(r#""version":1"#, r#""version":2"#)).unwrap_err();
            assert!(error.starts_with("a saved failover of version 2"), "{text}: {error}");
        }
    }

    #[test]
    fn every_state_is_written_by_its_name() {
        let old = Watched::new(policy(|p| {
            p.probing(Probing::new(1).successes(1)).ramp_up(ratio(0, 1), 100 * SECOND)
        }));
        let state = |old: &Watched| {
            let text = written(old);
            let rest = text.split(r#""state":""#).nth(1).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let mut states = vec![state(&old)];
        old.trip();
        states.push(state(&old));
        old.clock.advance(300 * SECOND);
        old.succeed(1);
        states.push(state(&old));
        old.handle().reset();
        old.trip();
        old.clock.advance(300 * SECOND);
        drop(old.monitor.admit());
        states.push(state(&old));
        for route in [Route::Primary, Route::Fallback] {
            old.handle().force(route);
            states.push(state(&old));
        }
        let all =
            ["primary", "fallback", "ramping", "probing", "forced_primary", "forced_fallback"];
        assert_eq!(states, all);
    }

    #[test]
    fn a_text_of_another_version_is_refused_as_one() {
        let error = read(r#"{"version":2,"phase":"probing"}"#).unwrap_err();
        let expected = "a saved failover of version 2: this one reads 1 only";
        assert!(error.starts_with(expected), "{error}");
        assert!(read(r#"{"version":0}"#).is_err());
        assert!(read(r#"{"state":"primary"}"#).unwrap_err().contains("version"));
    }

    #[test]
    fn a_text_that_makes_no_sense_is_refused_with_an_error_that_names_the_field() {
        let window = |rest: &str| format!(r#""state":"primary","window":[{rest}]"#);
        let bucket = |age: u64, successes: u64, slow: u64| {
            format!(r#"{{"age_ns":{age},"successes":{successes},"failures":1,"slow":{slow}}}"#)
        };
        let calls = |calls: &str| format!(r#""state":"primary","last_calls":"{calls}""#);
        for (rest, field) in [
            (r#""dry_run":false"#.to_owned(), "state"),
            (r#""state":"sideways""#.to_owned(), "`state`"),
            (r#""state":"fallback""#.to_owned(), "reverts_in_ns"),
            (r#""state":"ramping""#.to_owned(), "reverts_in_ns"),
            (r#""state":"forced_fallback","reverts_in_ns":5"#.to_owned(), "reverts_in_ns"),
            (r#""state":"primary","reverts_in_ns":5"#.to_owned(), "reverts_in_ns"),
            (r#""state":"fallback","reverts_in_ns":63244800000000001"#.to_owned(), "reverts_in_ns"),
            (r#""state":"fallback","reverts_in_ns":-5"#.to_owned(), "-5"),
            (format!(r#""state":"probing","window":[{}]"#, bucket(1, 1, 0)), "window"),
            (r#""state":"probing","last_calls":"s""#.to_owned(), "last_calls"),
            (window(&bucket(1, u64::MAX, 0)), "window"),
            (window(&bucket(1, 1, 3)), "window"),
            (window(&format!("{},{}", bucket(1, 1, 0), bucket(2, 1, 0))), "window"),
            (window(r#"{"age_ns":1}"#), "successes"),
            (calls("sfx"), "last_calls"),
            (calls(&"s".repeat(Policy::MOST_LAST_CALLS as usize + 1)), "last_calls"),
            (r#""state":"primary","window":[],"last_calls":"""#.to_owned(), "last_calls"),
            (r#""state":"primary","trips":{"made":65536,"grown":0}"#.to_owned(), "trips"),
            (r#""state":"primary","trips":{"made":0,"grown":256}"#.to_owned(), "trips"),
            (
                r#""state":"primary","consecutive_failures":281474976710657"#.to_owned(),
                "consecutive_failures",
            ),
        ] {
            let error = read(&format!(r#"{{"version":1,{rest}}}"#)).unwrap_err();
            assert!(error.contains(field), "{rest}: {error}");
        }
    }

    #[test]
    fn the_longest_times_that_are_allowed_are_restored() {
        let text = r#"{"version":1,"state":"fallback","reverts_in_ns":63244800000000000}"#;
        let new = watched();
        new.handle().restore(&read(text).unwrap(), Duration::ZERO);
        assert_eq!(new.snapshot().reverts_in, Some(2 * Policy::LONGEST));
        let text = concat!(
            r#"{"version":1,"state":"primary","window":"#,
            r#"[{"age_ns":18446744073709551615,"successes":1,"failures":1}]}"#
        );
        new.handle().restore(&read(text).unwrap(), Duration::MAX);
        assert_eq!((new.route(), new.tally().calls()), (Route::Primary, 0));
    }
}

#[test]
fn counts_restored_from_before_the_monitors_time_are_kept_by_a_swap() {
    let cut = |nanos, buckets| policy(|p| p.window(Duration::from_nanos(nanos), buckets));
    let new = Watched::new(cut(20_178_198, 8));
    new.clock.advance(Duration::from_nanos(5_044_550));
    new.succeed(1);
    new.handle().restore(&new.handle().save(), Duration::from_nanos(5_427_177));
    assert_eq!(new.tally().successes, 1);
    new.clock.set(failover::clock::Moment::from_nanos(1_234_567_891_234 + 5_044_550 - 392_683));
    new.handle().swap_policy(cut(7_753_112, 5));
    assert_eq!(new.tally().successes, 1);
}
