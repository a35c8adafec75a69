//! Buckets of durations, by which counts of many calls merge.
//!
//! A whole number of milliseconds below 256 has a bucket of its own. Above, each doubling is divided into
//! 128 buckets of the same width, so that a bucket is at most 1/128 (0.8 %) as wide as its lowest value
//! (the layout of HdrHistogram, with the purpose of DDSketch: a relative error that is bounded, and sketches
//! that add up). Only shifts of integers: no logarithm that another machine rounds differently.

/// The buckets of a doubling, as a power of two.
const SUB_BITS: u32 = 7;

/// A bucket of durations in whole milliseconds. Its number is stored and must not change its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationBucket(u16);

impl DurationBucket {
    /// The last bucket, of durations up to `u64::MAX`.
    const LAST: u16 = 7_423;

    /// The bucket of a duration in milliseconds.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most `LAST`")]
    pub const fn of(ms: u64) -> Self {
        let top = 63 - (ms | 1).leading_zeros();
        let shift = top.saturating_sub(SUB_BITS);
        Self(((shift << SUB_BITS) as u64 + (ms >> shift)) as u16)
    }

    /// The bucket with a stored number; `None` if there is no such bucket.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| *number <= Self::LAST).map(Self)
    }

    /// The number that is stored.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    const fn shift(self) -> u32 {
        (self.0 as u32 >> SUB_BITS).saturating_sub(1)
    }

    /// The shortest duration in it, in milliseconds.
    #[must_use]
    pub const fn lowest(self) -> u64 {
        let shift = self.shift();
        (self.0 as u64 - ((shift as u64) << SUB_BITS)) << shift
    }

    /// The longest duration in it, in milliseconds.
    #[must_use]
    pub const fn highest(self) -> u64 {
        self.lowest() + ((1 << self.shift()) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_buckets_are_exact_below_256_ms_and_stand_gapless_in_order_up_to_the_last() {
        for ms in 0..256 {
            let bucket = DurationBucket::of(ms);
            assert_eq!((bucket.lowest(), bucket.highest()), (ms, ms));
        }
        let mut next = 0;
        for number in 0..=DurationBucket::LAST {
            let bucket = DurationBucket::from_number(number.into()).unwrap();
            assert_eq!(bucket.lowest(), next, "{number}");
            assert!(bucket.highest() - bucket.lowest() <= bucket.lowest() / 128);
            next = bucket.highest().wrapping_add(1);
        }
        assert_eq!(next, 0, "the last ends with u64::MAX");
        assert_eq!(DurationBucket::from_number(i64::from(DurationBucket::LAST) + 1), None);
        assert_eq!(DurationBucket::from_number(-1), None);
        let two_seconds = DurationBucket::of(2_000);
        assert_eq!((two_seconds.lowest(), two_seconds.highest()), (2_000, 2_007));
    }

    proptest! {
        #[test]
        fn each_duration_is_in_its_bucket(bits in 0..64_u32, ms: u64) {
            let ms = ms >> bits;
            let bucket = DurationBucket::of(ms);
            prop_assert!(bucket.lowest() <= ms && ms <= bucket.highest());
            prop_assert_eq!(DurationBucket::from_number(bucket.number().into()), Some(bucket));
        }
    }
}
