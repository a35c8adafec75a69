//! Why a policy is invalid.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Backoff, Policy, Probing, RetryAfter, StallLimit};
use crate::ratio::Ratio;
#[cfg(feature = "serde")]
use crate::text::scalar::Written;

/// An invalid policy, by its field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// `failure_rate` is 1 or more, which no share of failures can exceed.
    FailureRate(Ratio),
    /// `minimum_calls` is 0: one failure in an empty window would be a rate of 1.
    MinimumCalls,
    /// The window has 0 buckets, or more than [`Policy::MOST_BUCKETS`].
    Buckets(u32),
    /// A bucket is below [`Policy::SHORTEST_BUCKET`], or the window above [`Policy::LONGEST`].
    Window {
        /// The length of the window.
        window: Duration,
        /// The number of buckets.
        buckets: u32,
    },
    /// `revert_after` is below 1 ms or above [`Policy::LONGEST`].
    RevertAfter(Duration),
    /// There is no condition: the policy would never trip.
    NoCondition,
    /// `consecutive_failures` is 0.
    ConsecutiveFailures,
    /// `slow_calls` has a time below 1 ms or above [`Policy::LONGEST`].
    SlowerThan(Duration),
    /// `slow_calls` has a share of 1 or more, which no share can exceed.
    SlowRate(Ratio),
    /// `slow_calls` has a minimum of 0 calls.
    SlowMinimumCalls,
    /// `stalled_calls` has a time below 4 ms or above [`Policy::LONGEST`].
    StalledAfter(Duration),
    /// `stalled_calls` has a limit of 0 calls, or a share of 1 or more.
    StallLimit(StallLimit),
    /// `last_calls` is 0 or above [`Policy::MOST_LAST_CALLS`].
    LastCalls(u32),
    /// `minimum_calls`, or that of `slow_calls`, is above `last_calls`.
    MinimumAboveLastCalls {
        /// The minimum.
        minimum: u64,
        /// The size of the window.
        last_calls: u32,
    },
    /// `dropped_after` is below 1 ms or above [`Policy::LONGEST`].
    DroppedAfter(Duration),
    /// `probing` has a number or a time out of range.
    Probing(Probing),
    /// `ramp_up` has a share of 1 or more, or a time below 1 ms or above [`Policy::LONGEST`].
    RampUp {
        /// The first share.
        first: Ratio,
        /// The time.
        over: Duration,
    },
    /// `backoff` has a factor of 1 or less, a `max` below `revert_after`, or a time out of range.
    Backoff(Backoff),
    /// `jitter` has a share of 0, or above 1.
    Jitter(Ratio),
    /// `retry_after` has a time out of range, or `min` above `max`.
    RetryAfter(RetryAfter),
}

/// A time as it is written, for which humantime is there.
#[cfg(not(feature = "serde"))]
struct Written(Duration);

#[cfg(not(feature = "serde"))]
impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How long most times may be.
pub(super) const TIMES: RangeInclusive<Duration> = Policy::SHORTEST_BUCKET..=Policy::LONGEST;
/// How many probes may have to succeed, or to fail.
pub(super) const PROBES: RangeInclusive<u32> = 1..=1_000_000;

const SHARE: &str = "which no share can exceed: it must be below 1";
const TIME: &str = "it must be from 1 ms to 366 days";

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (buckets, calls) = (Policy::MOST_BUCKETS, Policy::MOST_LAST_CALLS);
        match self {
            Self::FailureRate(rate) => write!(f, "failure_rate is {rate}, {SHARE}"),
            Self::MinimumCalls => write!(f, "minimum_calls is 0: it must be at least 1"),
            Self::Buckets(n) => write!(f, "window has {n} buckets: it must have 1 to {buckets}"),
            Self::Window { window, buckets } => write!(
                f,
                "window is {} in {buckets} buckets: \
                 a bucket must be at least 1 ms, and the window at most 366 days",
                Written(*window)
            ),
            Self::RevertAfter(time) => write!(f, "revert_after is {}: {TIME}", Written(*time)),
            Self::NoCondition => write!(
                f,
                "failure_rate is off and no other condition is set: the policy would never trip"
            ),
            Self::ConsecutiveFailures => {
                write!(f, "consecutive_failures is 0: it must be at least 1")
            }
            Self::SlowerThan(time) => {
                write!(f, "slow_calls has the time {}: {TIME}", Written(*time))
            }
            Self::SlowRate(rate) => write!(f, "slow_calls has the rate {rate}, {SHARE}"),
            Self::SlowMinimumCalls => {
                write!(f, "slow_calls has a minimum of 0 calls: it must be at least 1")
            }
            Self::StalledAfter(after) => {
                let after = Written(*after);
                write!(f, "stalled_calls has the time {after}: it must be from 4 ms to 366 days")
            }
            Self::StallLimit(StallLimit::Calls(calls)) => {
                write!(f, "stalled_calls has a limit of {calls} calls: it must be at least 1")
            }
            Self::StallLimit(StallLimit::Share(rate)) => {
                write!(f, "stalled_calls has the share {rate}, {SHARE}")
            }
            Self::LastCalls(n) => write!(f, "last_calls is {n}: it must be from 1 to {calls}"),
            Self::MinimumAboveLastCalls { minimum, last_calls } => write!(
                f,
                "last_calls is {last_calls}: \
                 the window would never hold the minimum of {minimum} calls"
            ),
            Self::DroppedAfter(time) => write!(f, "dropped_after is {}: {TIME}", Written(*time)),
            Self::Probing(probing) => write_probing(f, probing),
            Self::RampUp { first, .. } if first.is_one_or_more() => {
                write!(f, "ramp_up.first is {first}: it must be below 1")
            }
            Self::RampUp { over, .. } => write!(f, "ramp_up.over is {}: {TIME}", Written(*over)),
            Self::Backoff(backoff) => write_backoff(f, backoff),
            Self::Jitter(up_to) => {
                write!(f, "jitter is up to {up_to}: it must be above 0 and at most 1")
            }
            Self::RetryAfter(bounds) => write_retry_after(f, bounds),
        }
    }
}

fn write_probing(f: &mut fmt::Formatter<'_>, probing: &Probing) -> fmt::Result {
    let Probing { max_in_flight, successes, failures, lease } = *probing;
    if !(1..=Probing::MOST).contains(&max_in_flight) {
        return write!(f, "probing.max_in_flight is {max_in_flight}: it must be from 1 to 1,000");
    }
    for (name, count) in [("successes", successes), ("failures", failures)] {
        if !PROBES.contains(&count) {
            return write!(f, "probing.{name} is {count}: it must be from 1 to 1,000,000");
        }
    }
    write!(f, "probing.lease is {}: {TIME}", Written(lease))
}

fn write_backoff(f: &mut fmt::Formatter<'_>, backoff: &Backoff) -> fmt::Result {
    let Backoff { factor, max, reset_after } = *backoff;
    if factor.numerator() <= factor.denominator() {
        return write!(f, "backoff.factor is {factor}: it must be above 1");
    }
    if !TIMES.contains(&reset_after) {
        return write!(f, "backoff.reset_after is {}: {TIME}", Written(reset_after));
    }
    let max = Written(max);
    write!(f, "backoff.max is {max}: it must be from revert_after to 366 days")
}

fn write_retry_after(f: &mut fmt::Formatter<'_>, bounds: &RetryAfter) -> fmt::Result {
    let RetryAfter { min, max } = *bounds;
    for (name, time) in [("min", min), ("max", max)] {
        if !TIMES.contains(&time) {
            return write!(f, "retry_after.{name} is {}: {TIME}", Written(time));
        }
    }
    let (min, max) = (Written(min), Written(max));
    write!(f, "retry_after.min is {min}, above max, which is {max}")
}

impl std::error::Error for PolicyError {}
