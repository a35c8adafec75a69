//! An exact fraction: comparisons are in integers, never in floats.

use std::fmt;
use std::str::FromStr;

/// A fraction of two integers in lowest terms, so one third is exact.
///
/// ```
/// use failover::Ratio;
///
/// let half: Ratio = "0.5".parse()?;
/// assert!(half.is_exceeded_by(101, 200));
/// assert!(!half.is_exceeded_by(100, 200));
/// assert_eq!("50%".parse(), Ok(half));
/// assert_eq!("1/2".parse(), Ok(half));
/// # Ok::<(), failover::ratio::RatioError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    numerator: u32,
    denominator: u32,
}

/// Why a text or a pair of numbers is not a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RatioError {
    /// The denominator is zero.
    ZeroDenominator,
    /// The text is not of the form `1/3`, `0.5` or `50%`.
    NotARatio,
    /// The reduced fraction does not fit two 32-bit integers.
    TooLong,
}

impl Ratio {
    /// One: 100 %.
    pub const ONE: Self = Self { numerator: 1, denominator: 1 };
    /// One half.
    pub const HALF: Self = Self { numerator: 1, denominator: 2 };

    /// `numerator / denominator`.
    ///
    /// # Errors
    /// [`RatioError::ZeroDenominator`] if the denominator is zero.
    pub const fn new(numerator: u32, denominator: u32) -> Result<Self, RatioError> {
        Self::reduced(numerator as u64, denominator as u64)
    }

    const fn reduced(numerator: u64, denominator: u64) -> Result<Self, RatioError> {
        if denominator == 0 {
            return Err(RatioError::ZeroDenominator);
        }
        let (mut divisor, mut rest) = (denominator, numerator);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        let (numerator, denominator) = (numerator / divisor, denominator / divisor);
        if numerator > u32::MAX as u64 || denominator > u32::MAX as u64 {
            return Err(RatioError::TooLong);
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        let reduced = Self { numerator: numerator as u32, denominator: denominator as u32 };
        Ok(reduced)
    }

    /// `percent / 100`, reduced.
    ///
    /// ```
    /// use failover::Ratio;
    /// assert_eq!(Ratio::percent(50), Ratio::HALF);
    /// ```
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        match Self::new(percent, 100) {
            Ok(ratio) => ratio,
            Err(_) => unreachable!(),
        }
    }

    /// The numerator, in lowest terms.
    #[must_use]
    pub const fn numerator(self) -> u32 {
        self.numerator
    }

    /// The denominator, in lowest terms; never zero.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        self.denominator
    }

    /// Whether no share can exceed this ratio.
    pub(crate) const fn is_one_or_more(self) -> bool {
        self.numerator >= self.denominator
    }

    /// Whether `part / whole` is strictly greater than this ratio. With `whole` at 0, only a `part`
    /// above 0 is.
    #[must_use]
    pub const fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        // A product of a u32 and a u64 fits a u128.
        part as u128 * self.denominator as u128 > whole as u128 * self.numerator as u128
    }
}

/// `number / 1`.
impl From<u32> for Ratio {
    fn from(number: u32) -> Self {
        Self { numerator: number, denominator: 1 }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// Parses `1/3`, a decimal such as `0.5`, or a percentage such as `50%`, exactly.
impl FromStr for Ratio {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Self, RatioError> {
        if let Some((numerator, denominator)) = text.split_once('/') {
            return Self::reduced(digits(numerator)?, digits(denominator)?);
        }
        let (decimal, scale) = text.strip_suffix('%').map_or((text, 1), |rest| (rest, 100));
        let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, "0"));
        let (whole, parts) = (digits(whole)?, digits(fraction)?);
        let places = u32::try_from(fraction.len()).map_err(|_| RatioError::TooLong)?;
        let tens = 10_u64.checked_pow(places).ok_or(RatioError::TooLong)?;
        let numerator = whole.checked_mul(tens).and_then(|n| n.checked_add(parts));
        let denominator = tens.checked_mul(scale);
        let (numerator, denominator) = numerator.zip(denominator).ok_or(RatioError::TooLong)?;
        Self::reduced(numerator, denominator)
    }
}

/// Writes a fraction, such as `2/5`.
#[cfg(feature = "serde")]
impl serde::Serialize for Ratio {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads `0.4`, `"40%"` or `"1/3"`, each exactly: a float is its shortest decimal text.
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Ratio {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::scalar::Scalar::deserialize(deserializer)?.parse()
    }
}

/// Digits only: `u64::from_str` alone would accept a sign.
fn digits(text: &str) -> Result<u64, RatioError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RatioError::NotARatio);
    }
    text.parse().map_err(|_| RatioError::TooLong)
}

impl fmt::Display for RatioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroDenominator => "the denominator of a ratio must not be zero",
            Self::NotARatio => "a ratio is written as 1/3, 0.5 or 50%",
            Self::TooLong => "the ratio has too many digits: write a fraction such as 1/3",
        })
    }
}

impl std::error::Error for RatioError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_exact_at_the_boundary() {
        let third = Ratio::new(1, 3).unwrap();
        assert!(!third.is_exceeded_by(1, 3));
        assert!(!third.is_exceeded_by(333_333_333, 999_999_999));
        assert!(third.is_exceeded_by(333_333_334, 999_999_999));
        assert!(!Ratio::HALF.is_exceeded_by(99, 200));
        assert!(!Ratio::HALF.is_exceeded_by(100, 200));
        assert!(Ratio::HALF.is_exceeded_by(101, 200));
    }

    #[test]
    fn does_not_overflow_at_the_largest_counts() {
        let almost_one = Ratio::new(u32::MAX - 1, u32::MAX).unwrap();
        assert!(almost_one.is_exceeded_by(u64::MAX, u64::MAX));
        assert!(!almost_one.is_exceeded_by(0, u64::MAX));
    }

    #[test]
    fn the_largest_parts_are_accepted_and_one_more_is_rejected_in_either() {
        let max = u64::from(u32::MAX);
        for (text, taken) in [
            (format!("{max}/1"), true),
            (format!("{}/1", max + 1), false),
            (format!("1/{max}"), true),
            (format!("1/{}", max + 1), false),
            (format!("{}/{}", 2 * max, 2 * max), true),
        ] {
            let ratio = text.parse::<Ratio>();
            assert_eq!(ratio.is_ok(), taken, "{text}");
            assert!(taken || ratio == Err(RatioError::TooLong), "{text}");
        }
    }

    #[test]
    fn is_not_exceeded_without_calls() {
        assert!(!Ratio::new(0, 1).unwrap().is_exceeded_by(0, 0));
        assert!(Ratio::new(0, 1).unwrap().is_exceeded_by(1, 1));
    }

    #[test]
    fn reads_fractions_decimals_and_percentages() {
        let ratio = |n, d| Ok(Ratio::new(n, d).unwrap());
        assert_eq!("1/3".parse(), ratio(1, 3));
        assert_eq!("0.25".parse(), ratio(1, 4));
        assert_eq!("1".parse(), ratio(1, 1));
        assert_eq!("2.5%".parse(), ratio(1, 40));
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        let says = |text: &str| text.parse::<Ratio>().unwrap_err().to_string();
        assert!(says("1/0").contains("zero"));
        assert!(says("half").contains("1/3, 0.5 or 50%"));
        assert!(says("0.12345678901").contains("too many digits"));
    }

    #[test]
    fn rejects_texts_that_are_not_ratios() {
        for text in ["", ".", "/", "1/", "-1/2", "+0.5", "0.5 ", "half", "%", "1/2/3"] {
            assert_eq!(text.parse::<Ratio>(), Err(RatioError::NotARatio), "{text:?}");
        }
        assert_eq!("0.12345678901".parse::<Ratio>(), Err(RatioError::TooLong));
        assert_eq!("0.5000000000".parse::<Ratio>(), Ok(Ratio::HALF));
        assert_eq!("99999999999999999999".parse::<Ratio>(), Err(RatioError::TooLong));
        assert_eq!("1/0".parse::<Ratio>(), Err(RatioError::ZeroDenominator));
    }
}
