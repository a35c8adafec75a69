//! The library's policies from the server's settings, and its errors in the settings' names.

use std::time::Duration;

use failover::policy::{PolicyBuilder, PolicyError, Probing, RetryAfter, SlowCalls};
use failover::{Policy, Ratio};

use crate::config::{Config, Setting};
use crate::web::operator::Limits;

/// How much longer than a provider's deadline a probe holds its permit: more than the resolution of
/// the coarse clock.
const PROBE_GRACE: Duration = Duration::from_secs(1);
/// How many probes must succeed before the revert.
const SUCCESSES: u32 = 3;
/// The share of calls that a ramp begins with.
const FIRST_SHARE: Ratio = match Ratio::new(1, 10) {
    Ok(tenth) => tenth,
    Err(_) => panic!("ten is not zero"),
};
/// The bounds of a `Retry-After` from SuperCar that is followed.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// The thresholds of both providers.
fn thresholds(config: &Config) -> PolicyBuilder {
    let policy = Policy::builder()
        .failure_rate(config.failure_rate)
        .minimum_calls(config.min_calls.into())
        .window(config.window, Policy::default().buckets());
    match config.stalled_calls {
        Some(after) => policy.stalled_calls(after, config.stalled_limit),
        None => policy,
    }
}

/// The policy for Premium: when it is failing too. A dry run counts its calls, and never reverts. The
/// threshold for slow calls is SuperCar's alone, since Premium may always be slower.
pub(super) fn fallback(config: &Config) -> Result<Policy, PolicyError> {
    let policy = thresholds(config);
    if config.watch_fallback { policy.build() } else { policy.dry_run().build() }
}

/// The policy for SuperCar: options without a setting stay off.
pub(super) fn primary(config: &Config) -> Result<Policy, PolicyError> {
    let mut policy = thresholds(config).revert_after(config.revert_after);
    if let Some(probes) = config.probes {
        let lease = config.provider_timeout.saturating_add(PROBE_GRACE);
        policy = policy.probing(Probing::new(probes).successes(SUCCESSES).lease(lease));
    }
    if let Some(over) = config.ramp_up {
        policy = policy.ramp_up(FIRST_SHARE, over);
    }
    if let Some(after) = config.slow_call {
        policy = policy.slow_calls(SlowCalls::longer_than(after).more_than(config.slow_rate));
    }
    if config.follow_retry_after {
        let (shortest, longest) = RETRY_AFTER;
        policy = policy.retry_after(RetryAfter::between(shortest, longest));
    }
    policy.build()
}

/// The thresholds of the policy for SuperCar, as the operator's page shows them.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        failure_rate: config.failure_rate,
        minimum_calls: config.min_calls.into(),
        window: config.window,
        slow_rate: config.slow_call.map(|_| config.slow_rate),
    }
}

/// The error text, with the setting to change.
pub(super) fn message(error: &PolicyError) -> String {
    format!("{} makes no sense: {error}", field(error))
}

/// The setting that the invalid field of the policy comes from.
pub(super) fn field(error: &PolicyError) -> &'static str {
    let setting = match error {
        PolicyError::FailureRate(_) => Setting::FailureRate,
        PolicyError::MinimumCalls => Setting::MinCalls,
        PolicyError::Window { .. } | PolicyError::Buckets(_) => Setting::Window,
        PolicyError::RevertAfter(_) => Setting::RevertAfter,
        PolicyError::Probing(_) => Setting::Probes,
        PolicyError::RampUp { .. } => Setting::RampUp,
        PolicyError::SlowerThan(_) => Setting::SlowCall,
        PolicyError::SlowRate(_) => Setting::SlowRate,
        PolicyError::RetryAfter(_) => Setting::FollowRetryAfter,
        PolicyError::StalledAfter(_) => Setting::StalledCalls,
        PolicyError::StallLimit(_) => Setting::StalledLimit,
        _ => return "the failover settings",
    };
    setting.key()
}
