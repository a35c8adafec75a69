//! Senseless policies are refused: HARD-WON 33.

use std::time::Duration;

use failover::{Policy, PolicyBuilder, PolicyError};

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

#[test]
fn the_limits_themselves_are_allowed() {
    for builder in [
        Policy::builder().failure_rate(ratio(0, 1)),
        Policy::builder().failure_rate(ratio(u32::MAX - 1, u32::MAX)),
        Policy::builder().minimum_calls(1),
        Policy::builder().minimum_calls(u64::MAX),
        Policy::builder().window(Duration::from_millis(1), 1),
        Policy::builder().window(Policy::LONGEST, Policy::MOST_BUCKETS),
        Policy::builder().revert_after(Duration::from_millis(1)),
        Policy::builder().revert_after(Policy::LONGEST),
    ] {
        builder.build().unwrap();
    }
}
