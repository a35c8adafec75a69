//! The rolling window and its rate: HARD-WON 1 to 7 and 9.

use std::time::Duration;

use failover::clock::Moment;
use failover::{Outcome, Policy, Route};

use crate::common::{SECOND, Watched, counts, ratio};

fn policy(minimum_calls: u64) -> Policy {
    Policy::builder().minimum_calls(minimum_calls).build().unwrap()
}

/// HARD-WON 1, for the time window: successes that left the window do not dilute the rate.
#[test]
fn old_successes_do_not_hold_off_a_trip() {
    let watched = Watched::new(policy(10));
    watched.succeed(1_000);
    watched.clock.advance(60 * SECOND);
    watched.fail(10);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 2.
#[test]
fn the_minimum_of_calls_works_whatever_the_size_of_the_window() {
    for (length, buckets) in [(1, 1), (2, 2), (60_000, 10), (86_400_000, 3_600)] {
        for minimum in [1, 2, 10, 1_000] {
            let length = Duration::from_millis(length);
            let builder = Policy::builder().window(length.max(Duration::from_millis(buckets)), 1);
            let buckets = u32::try_from(buckets).unwrap();
            let policy = builder.window(length, buckets).minimum_calls(minimum).build().unwrap();
            let watched = Watched::new(policy);
            watched.fail(usize::try_from(minimum).unwrap() - 1);
            assert_eq!(watched.route(), Route::Primary, "{length:?} {buckets} {minimum}");
            watched.fail(1);
            assert_eq!(watched.route(), Route::Fallback, "{length:?} {buckets} {minimum}");
        }
    }
}

/// HARD-WON 3.
#[test]
fn a_success_that_makes_up_the_minimum_of_calls_is_evaluated() {
    let watched = Watched::new(policy(10));
    watched.fail(9);
    assert_eq!(watched.route(), Route::Primary);
    watched.succeed(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// The same if the rate first fell to the threshold and rose again: it is armed again.
#[test]
fn a_window_that_calmed_down_and_became_uneasy_again_is_evaluated() {
    let watched = Watched::new(policy(10));
    watched.fail(2);
    watched.succeed(2);
    watched.fail(3);
    watched.succeed(2);
    assert_eq!(counts(watched.tally()), (5, 4));
    watched.call(Outcome::Ignored);
    assert_eq!(watched.route(), Route::Primary);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 4, with its numbers, in an order in which the rate exceeds only at the end.
#[test]
fn exactly_half_failing_does_not_trip_and_one_more_does() {
    let watched = Watched::new(policy(200));
    watched.succeed(101);
    watched.fail(99);
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 200));

    let watched = Watched::new(policy(200));
    watched.succeed(100);
    watched.fail(100);
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 200));
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);

    let watched = Watched::new(policy(200));
    watched.succeed(99);
    watched.fail(101);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 4.
#[test]
fn a_threshold_of_one_third_is_exact() {
    let policy = Policy::builder().failure_rate(ratio(1, 3)).minimum_calls(3).build().unwrap();
    let watched = Watched::new(policy);
    watched.succeed(200_000);
    watched.fail(100_000);
    assert_eq!(watched.route(), Route::Primary);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn a_threshold_of_zero_trips_at_one_failure_among_the_minimum_of_calls() {
    let policy = Policy::builder().failure_rate(ratio(0, 1)).minimum_calls(100).build().unwrap();
    let watched = Watched::new(policy);
    watched.succeed(99);
    assert_eq!(watched.route(), Route::Primary);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 5.
#[test]
fn one_failure_after_a_long_idle_time_does_not_trip_and_the_snapshot_is_empty() {
    let watched = Watched::new(policy(10));
    watched.succeed(10);
    watched.fail(9);
    watched.clock.advance(3_600 * SECOND);
    assert_eq!(watched.tally().calls(), 0);
    assert_eq!(watched.tally().failure_rate(), None);
    watched.fail(1);
    assert_eq!(watched.route(), Route::Primary);
    assert_eq!(counts(watched.tally()), (1, 0));
}

/// HARD-WON 6: the boundaries of 900 ms in 7 buckets are at k × 900/7 ms, exact to the nanosecond.
#[test]
fn an_odd_window_is_exact() {
    let nanos = Duration::from_nanos;
    let window = Duration::from_millis(900);
    let policy = Policy::builder().window(window, 7).minimum_calls(1_000).build().unwrap();
    // A call in the first bucket, [0, 900/7 ms), is in the window until bucket 7 begins, at 900 ms.
    for at in [0, 128_571_428] {
        let watched = Watched::new(policy.clone());
        watched.clock.advance(nanos(at));
        watched.fail(1);
        watched.clock.advance(nanos(899_999_999 - at));
        assert_eq!(watched.tally().failures, 1, "{at}");
        watched.clock.advance(nanos(1));
        assert_eq!(watched.tally().failures, 0, "{at}");
    }
    // 128,571,429 is in the second bucket, which is in the window one bucket longer.
    let watched = Watched::new(policy);
    watched.clock.advance(nanos(128_571_429));
    watched.fail(1);
    watched.clock.advance(nanos(1_028_571_428 - 128_571_429));
    assert_eq!(watched.tally().failures, 1);
    watched.clock.advance(nanos(1));
    assert_eq!(watched.tally().failures, 0);
}

/// HARD-WON 6.
#[test]
fn the_shortest_window_works() {
    let window = Duration::from_millis(1);
    let policy = Policy::builder().window(window, 1).minimum_calls(2).build().unwrap();
    let watched = Watched::new(policy);
    watched.fail(1);
    watched.clock.advance(Duration::from_nanos(999_999));
    assert_eq!(watched.tally().failures, 1);
    watched.clock.advance(Duration::from_nanos(1));
    assert_eq!(watched.tally().failures, 0);
    watched.fail(2);
    assert_eq!(watched.route(), Route::Fallback);
}

#[test]
fn the_window_slides_by_a_bucket_at_a_time() {
    let watched = Watched::new(policy(1_000));
    for second in 0..60 {
        watched.fail(1);
        assert_eq!(watched.tally().failures, second + 1);
        watched.clock.advance(SECOND);
    }
    for bucket in 1..=10 {
        assert_eq!(watched.tally().failures, 60 - 6 * bucket);
        watched.clock.advance(6 * SECOND);
    }
}

/// A call that opens a bucket is evaluated: successes may have left the window meanwhile.
#[test]
fn a_success_trips_when_the_window_slid_and_left_failures_behind() {
    let watched = Watched::new(policy(10));
    watched.succeed(20);
    watched.clock.advance(30 * SECOND);
    watched.fail(15);
    assert_eq!(watched.route(), Route::Primary);
    watched.clock.advance(30 * SECOND);
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (15, 0)));
    watched.succeed(1);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 7: idle for a little more than 2^31, 2^32 and 2^33 buckets.
#[test]
fn idling_longer_than_any_counter_reaches_leaves_the_window_working() {
    let builder = Policy::builder().window(Duration::from_millis(2), 2).minimum_calls(10);
    let policy = builder.build().unwrap();
    for buckets in [u64::from(u32::MAX) / 2, u64::from(u32::MAX), 1 << 32, 1 << 33] {
        for more in 0..3 {
            let watched = Watched::new(policy.clone());
            watched.fail(9);
            watched.clock.advance(Duration::from_millis(buckets + more));
            assert_eq!(watched.tally().calls(), 0);
            watched.fail(9);
            assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (9, 0)));
            watched.fail(1);
            assert_eq!(watched.route(), Route::Fallback);
        }
    }
}

/// HARD-WON 9. The crate never reads the wall clock (`sources_read_the_time_through_one_door`). If
/// its clock still steps back, no call is lost and nothing trips.
#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let watched = Watched::new(policy(10));
    watched.succeed(5);
    watched.clock.advance(20 * SECOND);
    watched.fail(2);
    watched.clock.set(Moment::from_nanos(0));
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (2, 5)));
    watched.fail(2);
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (4, 5)));
    watched.fail(2);
    assert_eq!(watched.route(), Route::Fallback);
}

/// HARD-WON 9.
#[test]
fn sources_read_the_time_through_one_door() {
    fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    files(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 15);
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        let door = path.ends_with("clock/system.rs") || path.ends_with("clock/tokio.rs");
        for word in ["Instant::now", "clock_gettime", "SystemTime::now"] {
            assert!(door || !text.contains(word), "{} calls {word}", path.display());
        }
    }
}

#[test]
fn ignored_outcomes_are_not_counted_at_all() {
    let watched = Watched::new(policy(10));
    watched.fail(9);
    (0..100).for_each(|_| watched.call(Outcome::Ignored));
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (9, 0)));
}
