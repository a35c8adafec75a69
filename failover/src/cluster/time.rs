//! The cluster's unit of time: whole milliseconds.

use std::time::Duration;

use crate::clock::Moment;

/// Rounded down.
pub(crate) fn millis(now: Moment) -> u64 {
    now.as_nanos() / 1_000_000
}

/// Rounded up.
pub(crate) fn millis_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
