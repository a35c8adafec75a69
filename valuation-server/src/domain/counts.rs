//! Counts of provider calls. They add up, so that the counts of a longer time are a sum.

use std::ops::AddAssign;
use std::time::Duration;

/// What was counted in some time, or since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All calls.
    pub calls: u64,
    /// The failures among them.
    pub failures: u64,
    /// Those that were made because another call for the same request had failed.
    pub rescues: u64,
    /// How long the route was the fallback, in milliseconds. Only failovers have one.
    pub fallback_ms: u64,
    /// The durations of those that ended by themselves.
    pub latencies: Latencies,
}

impl Counts {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        calls: 0,
        failures: 0,
        rescues: 0,
        fallback_ms: 0,
        latencies: Latencies([0; Latencies::BUCKETS]),
    };

    /// What was counted after `earlier`, if both are counts since the same start.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut latencies = self.latencies;
        for (count, before) in latencies.0.iter_mut().zip(earlier.latencies.0) {
            *count = count.saturating_sub(before);
        }
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            failures: self.failures.saturating_sub(earlier.failures),
            rescues: self.rescues.saturating_sub(earlier.rescues),
            fallback_ms: self.fallback_ms.saturating_sub(earlier.fallback_ms),
            latencies,
        }
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failures = self.failures.saturating_add(other.failures);
        self.rescues = self.rescues.saturating_add(other.rescues);
        self.fallback_ms = self.fallback_ms.saturating_add(other.fallback_ms);
        for (count, more) in self.latencies.0.iter_mut().zip(other.latencies.0) {
            *count = count.saturating_add(more);
        }
    }
}

/// How many calls took how long: for each of [`Latencies::BOUNDS`] the calls up to it and above the one
/// before, and at the end those above all bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies(pub [u64; Self::BUCKETS]);

impl Latencies {
    /// The upper bounds, in seconds.
    pub const BOUNDS: [f64; 13] =
        [1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// The number of buckets: one per bound, and one for what is above all of them.
    pub const BUCKETS: usize = Self::BOUNDS.len() + 1;

    /// The bucket of a duration.
    #[must_use]
    pub fn bucket(took: Duration) -> usize {
        let seconds = took.as_secs_f64();
        Self::BOUNDS.iter().take_while(|bound| seconds > **bound).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_bucket_of_the_first_bound_that_it_does_not_exceed() {
        for (took, bucket) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(1), 0),
            (Duration::from_micros(1_001), 1),
            (Duration::from_secs(10), 12),
            (Duration::from_millis(10_001), 13),
            (Duration::MAX, 13),
        ] {
            assert_eq!(Latencies::bucket(took), bucket, "{took:?}");
        }
    }
}
