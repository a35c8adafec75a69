//! Percentiles of latencies from the counts of a histogram's buckets.

use std::time::Duration;

use super::format::latency;
use crate::domain::Latencies;

/// The bucket that holds the percentile, as a text: `≤ 250 ms`, `> 10 s`, or `–` without calls.
pub(super) fn percentile(latencies: &Latencies, percent: u64) -> String {
    let counts = latencies.0;
    let all: u128 = counts.iter().copied().map(u128::from).sum();
    if all == 0 {
        return "–".to_owned();
    }
    // The rank of the nearest-rank method: the smallest number of calls that is at least this share.
    let rank = (all * u128::from(percent)).div_ceil(100).max(1);
    let mut seen = 0;
    let within = counts.into_iter().zip(Latencies::BOUNDS).find(|&(calls, _)| {
        seen += u128::from(calls);
        seen >= rank
    });
    let (sign, bound) = match within {
        Some((_, bound)) => ('≤', bound),
        None => ('>', Latencies::BOUNDS[Latencies::BOUNDS.len() - 1]),
    };
    format!("{sign}\u{a0}{}", latency(Duration::from_secs_f64(bound)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let mut latencies = Latencies::default();
        assert_eq!(percentile(&latencies, 99), "–");
        (latencies.0[3], latencies.0[6], latencies.0[9], latencies.0[13]) = (50, 45, 4, 1);
        let text = |percent| percentile(&latencies, percent).replace('\u{a0}', " ");
        assert_eq!(text(50), "≤ 10 ms");
        assert_eq!(text(95), "≤ 100 ms");
        assert_eq!(text(99), "≤ 1 s");
        assert_eq!(text(100), "> 10 s");
    }

    proptest! {
        #[test]
        fn any_counts_have_percentiles(calls: [u64; Latencies::BUCKETS], percent in 0..=100_u64) {
            let _ = percentile(&Latencies(calls), percent);
        }
    }
}
