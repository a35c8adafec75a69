//! Percentiles of latencies from the counts of a histogram's buckets.

use super::figures::Bucket;
use super::format::latency;

/// The bucket that holds the percentile, as a text: `≤ 250 ms`, `> 10 s`, or `–` without calls.
pub(super) fn percentile(buckets: &[Bucket], percent: u64) -> String {
    let all: u128 = buckets.iter().map(|bucket| u128::from(bucket.calls)).sum();
    // The rank of the nearest-rank method: the smallest number of calls that is at least this share.
    let rank = (all * u128::from(percent)).div_ceil(100).max(1);
    let (mut seen, mut above) = (0, None);
    for bucket in buckets {
        seen += u128::from(bucket.calls);
        if seen >= rank {
            return match (bucket.up_to, above) {
                (Some(bound), _) => format!("≤\u{a0}{}", latency(bound)),
                (None, Some(bound)) => format!(">\u{a0}{}", latency(bound)),
                (None, None) => "–".to_owned(),
            };
        }
        above = bucket.up_to.or(above);
    }
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use proptest::prelude::*;

    fn buckets(calls: [u64; 4]) -> Vec<Bucket> {
        let bounds = [Some(10), Some(100), Some(1_000), None];
        let bucket = |(bound, calls): (Option<u64>, u64)| Bucket {
            up_to: bound.map(Duration::from_millis),
            calls,
        };
        bounds.into_iter().zip(calls).map(bucket).collect()
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let text = |calls, percent| percentile(&buckets(calls), percent).replace('\u{a0}', " ");
        assert_eq!(text([50, 45, 4, 1], 50), "≤ 10 ms");
        assert_eq!(text([50, 45, 4, 1], 95), "≤ 100 ms");
        assert_eq!(text([50, 45, 4, 1], 99), "≤ 1 s");
        assert_eq!(text([0, 0, 0, 1], 50), "> 1 s");
        assert_eq!(text([0; 4], 99), "–");
        assert_eq!(percentile(&[], 99), "–");
    }

    proptest! {
        #[test]
        fn any_counts_have_percentiles(calls: [u64; 4], percent in 0..=100_u64) {
            let _ = percentile(&buckets(calls), percent);
        }
    }
}
