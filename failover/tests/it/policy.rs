//! Senseless policies are refused: HARD-WON 33.

use std::time::Duration;

use failover::Policy;
use failover::policy::{PolicyBuilder, PolicyError, Probing, StallLimit};

use crate::common::{SECOND, ratio};

fn refused(change: impl Fn(PolicyBuilder) -> PolicyBuilder, field: &str) -> PolicyError {
    let error = change(Policy::builder()).build().unwrap_err();
    assert!(error.to_string().starts_with(field), "{error}");
    error
}

/// HARD-WON 33.
#[test]
fn every_senseless_policy_is_refused_with_an_error_that_names_the_field() {
    let rate = refused(|p| p.failure_rate(ratio(1, 1)), "failure_rate");
    assert_eq!(rate, PolicyError::FailureRate(ratio(1, 1)));
    refused(|p| p.failure_rate(ratio(3, 2)), "failure_rate");
    refused(|p| p.minimum_calls(0), "minimum_calls");
    refused(|p| p.window(60 * SECOND, 0), "window");
    refused(|p| p.window(60 * SECOND, 3_601), "window");
    refused(|p| p.window(Duration::ZERO, 1), "window");
    refused(|p| p.window(Duration::from_nanos(9_999_999), 10), "window");
    refused(|p| p.window(Duration::MAX, 10), "window");
    refused(|p| p.revert_after(Duration::ZERO), "revert_after");
    refused(|p| p.revert_after(Duration::from_micros(999)), "revert_after");
    refused(|p| p.revert_after(Duration::MAX), "revert_after");
}

/// HARD-WON 33, for the conditions and what counts.
#[test]
fn every_senseless_condition_is_refused_with_an_error_that_names_the_field() {
    let (micros, half, one) = (Duration::from_micros(999), ratio(1, 2), ratio(1, 1));
    let nothing = refused(PolicyBuilder::without_failure_rate, "failure_rate");
    assert_eq!(nothing, PolicyError::NoCondition);
    refused(|p| p.without_failure_rate().last_calls(100).dropped_after(SECOND), "failure_rate");
    refused(|p| p.consecutive_failures(0), "consecutive_failures");
    refused(|p| p.slow_calls(micros, half), "slow_calls");
    refused(|p| p.slow_calls(Duration::MAX, half), "slow_calls");
    refused(|p| p.slow_calls(SECOND, one), "slow_calls");
    refused(|p| p.slow_minimum_calls(5), "slow_minimum_calls");
    refused(|p| p.slow_calls(SECOND, half).slow_minimum_calls(0), "slow_minimum_calls");
    let too_short = Duration::from_nanos(3_999_999);
    refused(|p| p.stalled_calls(too_short, StallLimit::Calls(1)), "stalled_calls");
    refused(|p| p.stalled_calls(Duration::MAX, StallLimit::Calls(1)), "stalled_calls");
    refused(|p| p.stalled_calls(SECOND, StallLimit::Calls(0)), "stalled_calls");
    refused(|p| p.stalled_calls(SECOND, StallLimit::Share(one)), "stalled_calls");
    refused(|p| p.last_calls(0), "last_calls");
    refused(|p| p.last_calls(4_097), "last_calls");
    refused(|p| p.last_calls(9), "last_calls");
    let slow = |p: PolicyBuilder| p.slow_calls(SECOND, half).slow_minimum_calls(11);
    refused(|p| slow(p).last_calls(10), "last_calls");
    refused(|p| p.dropped_after(micros), "dropped_after");
    refused(|p| p.dropped_after(Duration::MAX), "dropped_after");
}

#[test]
fn the_limits_themselves_are_allowed() {
    assert_eq!(Policy::LONGEST, 366 * 86_400 * SECOND);
    for builder in [
        Policy::builder().failure_rate(ratio(0, 1)),
        Policy::builder().failure_rate(ratio(u32::MAX - 1, u32::MAX)),
        Policy::builder().minimum_calls(1),
        Policy::builder().minimum_calls(u64::MAX),
        Policy::builder().window(Duration::from_millis(1), 1),
        Policy::builder().window(Policy::LONGEST, Policy::MOST_BUCKETS),
        Policy::builder().revert_after(Duration::from_millis(1)),
        Policy::builder().revert_after(Policy::LONGEST),
        Policy::builder().last_calls(10),
        Policy::builder().last_calls(Policy::MOST_LAST_CALLS).minimum_calls(4_096),
        Policy::builder().without_failure_rate().consecutive_failures(1).last_calls(1),
        Policy::builder().consecutive_failures(u32::MAX),
        Policy::builder().slow_calls(Duration::from_millis(1), ratio(0, 1)),
        Policy::builder().slow_calls(Policy::LONGEST, ratio(1, 2)).slow_minimum_calls(1),
        Policy::builder().stalled_calls(Duration::from_millis(4), StallLimit::Calls(1)),
        Policy::builder().stalled_calls(Policy::LONGEST, StallLimit::Share(ratio(0, 1))),
        Policy::builder().dropped_after(Duration::from_millis(1)),
        Policy::builder().growing(ratio(2, 1), 300 * SECOND, SECOND),
        Policy::builder().growing(ratio(2, 1), Policy::LONGEST, SECOND),
        Policy::builder().jitter(ratio(1, 1), 0),
        Policy::builder().hints(SECOND, SECOND),
        // The window takes the place of the last calls.
        Policy::builder().last_calls(5).window(SECOND, 1),
    ] {
        builder.build().unwrap();
    }
}

#[test]
fn a_policy_says_what_it_was_built_with() {
    let (half, longest) = (ratio(1, 2), 3_600 * SECOND);
    let policy = Policy::builder()
        .probing(Probing::new(3))
        .ramp_up(half, SECOND)
        .growing(ratio(3, 2), longest, 60 * SECOND)
        .jitter(half, 7)
        .hints(SECOND, longest)
        .build()
        .unwrap();
    assert_eq!(policy.probing(), Some(Probing::new(3)));
    assert_eq!(policy.ramp_up(), Some((half, SECOND)));
    assert_eq!(policy.growing(), Some((ratio(3, 2), longest, 60 * SECOND)));
    assert_eq!(policy.jitter(), Some((half, 7)));
    assert_eq!(policy.hints(), Some((SECOND, longest)));
    let plain = Policy::default();
    assert_eq!((plain.probing(), plain.ramp_up(), plain.growing()), (None, None, None));
    assert_eq!((plain.jitter(), plain.hints()), (None, None));
}
