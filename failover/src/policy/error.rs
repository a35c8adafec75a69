//! Why a policy is refused.

use std::fmt;
use std::time::Duration;

use super::{Policy, Probing, StallLimit};
use crate::ratio::Ratio;

/// A policy that makes no sense, by the field that makes none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// `failure_rate` is 1 or more, which no share of failures can exceed.
    FailureRate(Ratio),
    /// `minimum_calls` is 0: one failure after silence would be a rate of 1.
    MinimumCalls,
    /// The window has no bucket, or more than [`Policy::MOST_BUCKETS`].
    Buckets(u32),
    /// The window is so short that a bucket is below [`Policy::SHORTEST_BUCKET`], or longer than
    /// [`Policy::LONGEST`].
    Window {
        /// The length that was asked for.
        window: Duration,
        /// The number of buckets that it was to be cut into.
        buckets: u32,
    },
    /// `revert_after` is below 1 ms or above [`Policy::LONGEST`].
    RevertAfter(Duration),
    /// `failure_rate` is switched off and there is no other condition: it would never trip.
    NoCondition,
    /// `consecutive_failures` is 0.
    ConsecutiveFailures,
    /// `slow_calls` has a time below 1 ms or above [`Policy::LONGEST`].
    SlowerThan(Duration),
    /// `slow_calls` has a share of 1 or more, which no share of calls can exceed.
    SlowRate(Ratio),
    /// `slow_minimum_calls` is 0, or is set without `slow_calls`.
    SlowMinimumCalls(u64),
    /// `stalled_calls` has a time below 4 ms or above [`Policy::LONGEST`].
    StalledAfter(Duration),
    /// `stalled_calls` has a limit of 0 calls, or a share of 1 or more.
    StallLimit(StallLimit),
    /// `last_calls` is 0 or above [`Policy::MOST_LAST_CALLS`].
    LastCalls(u32),
    /// `minimum_calls` or `slow_minimum_calls` is more than the window of `last_calls` can hold.
    MinimumAboveLastCalls {
        /// The minimum.
        minimum: u64,
        /// What the window holds.
        last_calls: u32,
    },
    /// `dropped_after` is below 1 ms or above [`Policy::LONGEST`].
    DroppedAfter(Duration),
    /// `probing` has a number or a time that is out of its range.
    Probing(Probing),
    /// `ramp_up` has a first share of 1 or more, or a time below 1 ms or above
    /// [`Policy::LONGEST`].
    RampUp {
        /// The first share.
        first: Ratio,
        /// The time.
        over: Duration,
    },
    /// `growing` has a factor of 1 or less, a longest time below `revert_after`, or a time out of
    /// range.
    Growing {
        /// The factor.
        factor: Ratio,
        /// The longest time.
        longest: Duration,
        /// The time after which a step is forgotten.
        forget_after: Duration,
    },
    /// `jitter` has a share of 0, or above 1.
    Jitter(Ratio),
    /// `hints` has a time out of range, or its shortest above its longest.
    Hints {
        /// The shortest time.
        shortest: Duration,
        /// The longest time.
        longest: Duration,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailureRate(rate) => {
                write!(
                    f,
                    "failure_rate is {rate}, which no failure rate can exceed: it must be below 1"
                )
            }
            Self::MinimumCalls => f.write_str("minimum_calls is 0: it must be at least 1"),
            Self::Buckets(buckets) => {
                let most = Policy::MOST_BUCKETS;
                write!(f, "window has {buckets} buckets: it must have 1 to {most}")
            }
            Self::Window { window, buckets } => write!(
                f,
                "window is {window:?} in {buckets} buckets: \
                 a bucket must be at least 1 ms, and the window at most 366 days"
            ),
            Self::RevertAfter(time) => {
                write!(f, "revert_after is {time:?}: it must be from 1 ms to 366 days")
            }
            Self::NoCondition => f.write_str(
                "failure_rate is off and no other condition is set: the policy would never trip",
            ),
            Self::ConsecutiveFailures => {
                f.write_str("consecutive_failures is 0: it must be at least 1")
            }
            Self::SlowerThan(after) => {
                write!(f, "slow_calls counts from {after:?} on: it must be from 1 ms to 366 days")
            }
            Self::SlowRate(rate) => {
                write!(
                    f,
                    "slow_calls has the rate {rate}, which nothing can exceed: it must be below 1"
                )
            }
            Self::SlowMinimumCalls(0) => {
                f.write_str("slow_minimum_calls is 0: it must be at least 1")
            }
            Self::SlowMinimumCalls(calls) => {
                write!(f, "slow_minimum_calls is {calls}, but slow_calls is not set")
            }
            Self::StalledAfter(after) => {
                write!(
                    f,
                    "stalled_calls counts from {after:?} on: it must be from 4 ms to 366 days"
                )
            }
            Self::StallLimit(StallLimit::Calls(calls)) => {
                write!(f, "stalled_calls has a limit of {calls} calls: it must be at least 1")
            }
            Self::StallLimit(StallLimit::Share(rate)) => write!(
                f,
                "stalled_calls has the share {rate}, which nothing can exceed: it must be below 1"
            ),
            Self::LastCalls(calls) => {
                let most = Policy::MOST_LAST_CALLS;
                write!(f, "last_calls is {calls}: it must be from 1 to {most}")
            }
            Self::MinimumAboveLastCalls { minimum, last_calls } => write!(
                f,
                "last_calls is {last_calls}: the window would never hold the minimum of {minimum} calls"
            ),
            Self::DroppedAfter(time) => {
                write!(f, "dropped_after is {time:?}: it must be from 1 ms to 366 days")
            }
            Self::Probing(Probing { max_in_flight, successes, failures, lease, .. }) => write!(
                f,
                "probing has {max_in_flight} max_in_flight, {successes} successes, {failures} failures and a \
                 lease of {lease:?}: it must have 1 to 1,000 max_in_flight, 1 to 1,000,000 of both, and 1 \
                 ms to 366 days"
            ),
            Self::RampUp { first, over } => write!(
                f,
                "ramp_up begins with {first} and takes {over:?}: the share must be below 1, \
                 and the time from 1 ms to 366 days"
            ),
            Self::Growing { factor, longest, forget_after } => write!(
                f,
                "growing has the factor {factor}, up to {longest:?}, and forgets after \
                 {forget_after:?}: the factor must be above 1, the longest time not below \
                 revert_after, and times from 1 ms to 366 days"
            ),
            Self::Jitter(up_to) => {
                write!(f, "jitter is up to {up_to}: it must be above 0 and at most 1")
            }
            Self::Hints { shortest, longest } => write!(
                f,
                "hints are followed from {shortest:?} to {longest:?}: times must be from 1 ms to \
                 366 days, and the shortest not above the longest"
            ),
        }
    }
}

impl std::error::Error for PolicyError {}
