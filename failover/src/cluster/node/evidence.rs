//! What a node knows of its own primary, and how old it is.

use crate::cluster::decision::sum;
use crate::cluster::wire::{Bucket, MOST_BUCKETS};
use crate::tally::Tally;

/// A node's buckets, newest first, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Evidence {
    buckets: Vec<Bucket>,
    at: u64,
}

impl Evidence {
    /// From buckets of any number and order, of ages at `at`. `since` is when the window was last
    /// emptied: a bucket began no earlier, whatever its clock says.
    pub(crate) fn new(mut buckets: Vec<Bucket>, at: u64, since: Option<u64>) -> Self {
        let most = since.map_or(u64::MAX, |since| at.saturating_sub(since));
        for bucket in &mut buckets {
            bucket.age = bucket.age.min(most);
        }
        buckets.sort_unstable_by_key(|bucket| bucket.age);
        Self { buckets: coalesce(&buckets), at }
    }

    /// The buckets with their ages at `now`, as far as they are not older than `longest`.
    pub(crate) fn aged(&self, now: u64, longest: u64) -> Vec<Bucket> {
        let passed = now.saturating_sub(self.at);
        let aged = |bucket: &Bucket| Bucket { age: bucket.age.saturating_add(passed), ..*bucket };
        self.buckets.iter().map(aged).take_while(|bucket| bucket.age <= longest).collect()
    }
}

/// The calls that are not older than `longest`, `passed` after the buckets were published.
pub(crate) fn tally(buckets: &[Bucket], passed: u64, longest: u64) -> Tally {
    let counts = |bucket: &&Bucket| bucket.age.saturating_add(passed) <= longest;
    sum(buckets.iter().take_while(counts).map(Bucket::tally))
}

/// At most [`MOST_BUCKETS`], by adding neighbours. Their age is the older one's, so that no call counts
/// for longer than it would.
fn coalesce(buckets: &[Bucket]) -> Vec<Bucket> {
    let together = buckets.len().div_ceil(MOST_BUCKETS).max(1);
    let add = |part: &[Bucket]| {
        part.iter().fold(Bucket::default(), |sum, bucket| Bucket {
            age: sum.age.max(bucket.age),
            calls: sum.calls.saturating_add(bucket.calls),
            failures: sum.failures.saturating_add(bucket.failures),
        })
    };
    buckets.chunks(together).map(add).collect()
}

#[cfg(test)]
impl Evidence {
    /// The same with ages as of `now`, of `passed` later.
    pub(super) fn shift(&mut self, passed: u64, now: u64, longest: u64) {
        let buckets = self.aged(now + passed, longest);
        *self = Self { buckets, at: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(age: u64, calls: u64) -> Bucket {
        Bucket { age, calls, failures: 1 }
    }

    #[test]
    fn buckets_age_and_expire() {
        let evidence = Evidence::new(vec![bucket(900, 3), bucket(100, 2)], 1_000, None);
        assert_eq!(evidence.aged(1_000, 1_000), [bucket(100, 2), bucket(900, 3)]);
        assert_eq!(evidence.aged(1_500, 1_000), [bucket(600, 2)]);
        let buckets = evidence.aged(1_000, 1_000);
        assert_eq!(
            tally(&buckets, 0, 1_000),
            Tally { successes: 3, failures: 2, ..Tally::default() }
        );
        assert_eq!(
            tally(&buckets, 101, 1_000),
            Tally { successes: 1, failures: 1, ..Tally::default() }
        );
    }

    #[test]
    fn no_bucket_is_older_than_the_window_has_been_counting() {
        let evidence = Evidence::new(vec![bucket(5_000, 2)], 10_000, Some(9_900));
        assert_eq!(evidence.aged(10_000, 60_000), [bucket(100, 2)]);
    }

    #[test]
    fn a_long_window_is_published_in_wider_buckets_that_expire_no_later() {
        let buckets: Vec<_> = (0..50).map(|at| bucket(at * 10, 1)).collect();
        let published = Evidence::new(buckets, 0, None).aged(0, u64::MAX);
        assert!(published.len() <= MOST_BUCKETS, "{}", published.len());
        assert_eq!(published.iter().map(|bucket| bucket.calls).sum::<u64>(), 50);
        assert_eq!((published[0].age, published[0].calls), (20, 3));
    }
}
