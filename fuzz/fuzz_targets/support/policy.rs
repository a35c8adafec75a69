//! Policies out of bytes: every condition, and every way back.

use failover::policy::{Backoff, RetryAfter, SlowCalls};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use failover::policy::{PolicyBuilder, Probing, StallLimit};
use failover::{Policy, Ratio};

/// A policy, or the one that is there by default where the bytes make a contradictory one.
pub(crate) fn policy(bytes: &mut Unstructured<'_>) -> Result<Policy> {
    let policy = basic(bytes)?;
    let policy = conditions(bytes, policy)?;
    let policy = ways_back(bytes, policy)?;
    Ok(policy.build().unwrap_or_default())
}

fn basic(bytes: &mut Unstructured<'_>) -> Result<PolicyBuilder> {
    let buckets = bytes.int_in_range(1..=12_u32)?;
    let window = Duration::from_micros(bytes.int_in_range(u64::from(buckets) * 1_000..=40_000)?);
    let mut policy = Policy::builder()
        .window(window, buckets)
        .minimum_calls(bytes.int_in_range(1..=16)?)
        .revert_after(time(bytes, 1)?);
    policy = match bytes.ratio(4, 5)? {
        true => policy.failure_rate(ratio(bytes)?),
        false => policy.without_failure_rate(),
    };
    Ok(policy)
}

fn conditions(bytes: &mut Unstructured<'_>, mut policy: PolicyBuilder) -> Result<PolicyBuilder> {
    if bytes.arbitrary()? {
        policy = policy.last_calls(bytes.int_in_range(1..=24)?);
    }
    if bytes.arbitrary()? {
        policy = policy.consecutive_failures(bytes.int_in_range(1..=8)?);
    }
    if bytes.arbitrary()? {
        let mut slow = SlowCalls::longer_than(time(bytes, 1)?).more_than(ratio(bytes)?);
        if bytes.arbitrary()? {
            slow = slow.minimum_calls(bytes.int_in_range(1..=16)?);
        }
        policy = policy.slow_calls(slow);
    }
    if bytes.arbitrary()? {
        let limit = match bytes.arbitrary()? {
            true => StallLimit::Calls(bytes.int_in_range(1..=6)?),
            false => StallLimit::Share(ratio(bytes)?),
        };
        policy = policy.stalled_calls(time(bytes, 4)?, limit);
    }
    if bytes.arbitrary()? {
        policy = policy.dropped_after(time(bytes, 1)?);
    }
    if bytes.ratio(1, 5)? {
        policy = policy.dry_run();
    }
    Ok(policy)
}

fn ways_back(bytes: &mut Unstructured<'_>, mut policy: PolicyBuilder) -> Result<PolicyBuilder> {
    if bytes.arbitrary()? {
        let probing = Probing::new(bytes.int_in_range(1..=4)?)
            .successes(bytes.int_in_range(1..=4)?)
            .failures(bytes.int_in_range(1..=3)?)
            .lease(time(bytes, 1)?);
        policy = policy.probing(probing);
    }
    if bytes.arbitrary()? {
        policy = policy.ramp_up(ratio(bytes)?, time(bytes, 1)?);
    }
    if bytes.arbitrary()? {
        let (above, denominator) = (bytes.int_in_range(1..=4)?, bytes.int_in_range(1..=4)?);
        let factor = Ratio::new(above + denominator, denominator).expect("a denominator above 0");
        policy = policy
            .backoff(Backoff::new(factor).max(Duration::from_secs(1)).reset_after(time(bytes, 1)?));
    }
    if bytes.arbitrary()? {
        let (one, other) = (time(bytes, 1)?, time(bytes, 1)?);
        policy = policy.retry_after(RetryAfter::between(one.min(other), one.max(other)));
    }
    Ok(policy)
}

fn ratio(bytes: &mut Unstructured<'_>) -> Result<Ratio> {
    let denominator = bytes.int_in_range(1..=20_u32)?;
    let numerator = bytes.int_in_range(0..=denominator - 1)?;
    Ok(Ratio::new(numerator, denominator).expect("a denominator above 0"))
}

/// From so many milliseconds to 20.
fn time(bytes: &mut Unstructured<'_>, shortest: u64) -> Result<Duration> {
    Ok(Duration::from_micros(bytes.int_in_range(shortest * 1_000..=20_000)?))
}
