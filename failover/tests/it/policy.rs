//! Invalid policies are rejected: HARD-WON 33.

use failover::policy::{Backoff, RetryAfter, SlowCalls};
use std::time::Duration;

use failover::Policy;
use failover::policy::{PolicyBuilder, PolicyError, Probing, StallLimit};

use crate::common::{SECOND, ratio};

fn rejected(change: impl Fn(PolicyBuilder) -> PolicyBuilder, field: &str) -> PolicyError {
    let error = change(Policy::builder()).build().unwrap_err();
    assert!(error.to_string().starts_with(field), "{error}");
    error
}

/// HARD-WON 33.
#[test]
fn every_invalid_policy_is_rejected_with_an_error_that_names_the_field() {
    let rate = rejected(|p| p.failure_rate(ratio(1, 1)), "failure_rate");
    assert_eq!(rate, PolicyError::FailureRate(ratio(1, 1)));
    rejected(|p| p.failure_rate(ratio(3, 2)), "failure_rate");
    rejected(|p| p.minimum_calls(0), "minimum_calls");
    rejected(|p| p.window(60 * SECOND, 0), "window");
    rejected(|p| p.window(60 * SECOND, 3_601), "window");
    rejected(|p| p.window(Duration::ZERO, 1), "window");
    rejected(|p| p.window(Duration::from_nanos(9_999_999), 10), "window");
    rejected(|p| p.window(Duration::MAX, 10), "window");
    rejected(|p| p.revert_after(Duration::ZERO), "revert_after");
    rejected(|p| p.revert_after(Duration::from_micros(999)), "revert_after");
    rejected(|p| p.revert_after(Duration::MAX), "revert_after");
}

/// HARD-WON 33, for the conditions and which calls are counted.
#[test]
fn every_invalid_condition_is_rejected_with_an_error_that_names_the_field() {
    let (micros, half, one) = (Duration::from_micros(999), ratio(1, 2), ratio(1, 1));
    let nothing = rejected(PolicyBuilder::without_failure_rate, "failure_rate");
    assert_eq!(nothing, PolicyError::NoCondition);
    rejected(|p| p.without_failure_rate().last_calls(100).dropped_after(SECOND), "failure_rate");
    rejected(|p| p.consecutive_failures(0), "consecutive_failures");
    rejected(|p| p.slow_calls(SlowCalls::longer_than(micros).more_than(half)), "slow_calls");
    rejected(|p| p.slow_calls(SlowCalls::longer_than(Duration::MAX).more_than(half)), "slow_calls");
    rejected(|p| p.slow_calls(SlowCalls::longer_than(SECOND).more_than(one)), "slow_calls");
    rejected(|p| p.slow_calls(SlowCalls::longer_than(SECOND).minimum_calls(0)), "slow_calls");
    let too_short = Duration::from_nanos(3_999_999);
    rejected(|p| p.stalled_calls(too_short, StallLimit::Calls(1)), "stalled_calls");
    rejected(|p| p.stalled_calls(Duration::MAX, StallLimit::Calls(1)), "stalled_calls");
    rejected(|p| p.stalled_calls(SECOND, StallLimit::Calls(0)), "stalled_calls");
    rejected(|p| p.stalled_calls(SECOND, StallLimit::Share(one)), "stalled_calls");
    rejected(|p| p.last_calls(0), "last_calls");
    rejected(|p| p.last_calls(4_097), "last_calls");
    rejected(|p| p.last_calls(9), "last_calls");
    let slow = |p: PolicyBuilder| p.slow_calls(SlowCalls::longer_than(SECOND).minimum_calls(11));
    rejected(|p| slow(p).last_calls(10), "last_calls");
    rejected(|p| p.dropped_after(micros), "dropped_after");
    rejected(|p| p.dropped_after(Duration::MAX), "dropped_after");
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
        Policy::builder()
            .slow_calls(SlowCalls::longer_than(Duration::from_millis(1)).more_than(ratio(0, 1))),
        Policy::builder().slow_calls(SlowCalls::longer_than(Policy::LONGEST).minimum_calls(1)),
        Policy::builder().stalled_calls(Duration::from_millis(4), StallLimit::Calls(1)),
        Policy::builder().stalled_calls(Policy::LONGEST, StallLimit::Share(ratio(0, 1))),
        Policy::builder().dropped_after(Duration::from_millis(1)),
        Policy::builder().backoff(Backoff::new(ratio(2, 1)).max(300 * SECOND).reset_after(SECOND)),
        Policy::builder()
            .backoff(Backoff::new(ratio(2, 1)).max(Policy::LONGEST).reset_after(SECOND)),
        Policy::builder().jitter(ratio(1, 1), 0),
        Policy::builder().retry_after(RetryAfter::between(SECOND, SECOND)),
        // `window` replaces `last_calls`.
        Policy::builder().last_calls(5).window(SECOND, 1),
    ] {
        builder.build().unwrap();
    }
}

#[test]
fn the_getters_return_the_built_values() {
    let (half, longest) = (ratio(1, 2), 3_600 * SECOND);
    let policy = Policy::builder()
        .probing(Probing::new(3))
        .ramp_up(half, SECOND)
        .backoff(Backoff::new(ratio(3, 2)).max(longest).reset_after(60 * SECOND))
        .jitter(half, 7)
        .retry_after(RetryAfter::between(SECOND, longest))
        .build()
        .unwrap();
    assert_eq!(policy.probing(), Some(Probing::new(3)));
    assert_eq!(policy.ramp_up(), Some((half, SECOND)));
    let backoff = Backoff::new(ratio(3, 2)).max(longest).reset_after(60 * SECOND);
    assert_eq!(policy.backoff(), Some(backoff));
    assert_eq!(policy.jitter().map(|jitter| (jitter.up_to, jitter.seed)), Some((half, 7)));
    assert_eq!(policy.retry_after(), Some(RetryAfter::between(SECOND, longest)));
    let plain = Policy::default();
    assert_eq!((plain.probing(), plain.ramp_up(), plain.backoff()), (None, None, None));
    assert_eq!((plain.jitter(), plain.retry_after()), (None, None));
}
