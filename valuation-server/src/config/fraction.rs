//! An exact fraction from its text.

use std::fmt;

/// A fraction from 0 to 1, in lowest terms. Never a binary float: `0.1` is one tenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fraction {
    numerator: u32,
    denominator: u32,
}

/// Why a text is no fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FractionError {
    /// None of the three ways to write one.
    #[error("it is neither a decimal (0.5) nor a fraction (1/3) nor a percentage (50%)")]
    NotAFraction,
    /// Above 1.
    #[error("it is above 1")]
    AboveOne,
    /// More digits than can be kept exactly.
    #[error("it has too many digits")]
    TooLong,
}

impl Fraction {
    /// All.
    pub const ONE: Self = Self { numerator: 1, denominator: 1 };
    /// One half.
    pub const HALF: Self = Self { numerator: 1, denominator: 2 };

    /// Takes a decimal (`0.5`), a fraction (`1/3`) or a percentage (`50%`, `12.5%`).
    ///
    /// # Errors
    /// [`FractionError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, FractionError> {
        let (numerator, denominator) = if let Some((over, under)) = text.split_once('/') {
            (digits(over)?, digits(under)?)
        } else if let Some(percentage) = text.strip_suffix('%') {
            let (numerator, denominator) = decimal(percentage)?;
            (numerator, denominator.checked_mul(100).ok_or(FractionError::TooLong)?)
        } else {
            decimal(text)?
        };
        if denominator == 0 {
            return Err(FractionError::NotAFraction);
        }
        if numerator > denominator {
            return Err(FractionError::AboveOne);
        }
        // Not zero, since the denominator is not.
        let divisor = greatest_common_divisor(numerator, denominator);
        let narrow = |n: u64| u32::try_from(n / divisor).map_err(|_| FractionError::TooLong);
        Ok(Self { numerator: narrow(numerator)?, denominator: narrow(denominator)? })
    }

    /// What is above the line.
    #[must_use]
    pub const fn numerator(self) -> u32 {
        self.numerator
    }

    /// What is below it; never 0.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        self.denominator
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

fn decimal(text: &str) -> Result<(u64, u64), FractionError> {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && places.is_empty() {
        return Err(FractionError::NotAFraction);
    }
    let places = places.trim_end_matches('0');
    let exponent = u32::try_from(places.len()).map_err(|_| FractionError::TooLong)?;
    let denominator = 10_u64.checked_pow(exponent).ok_or(FractionError::TooLong)?;
    let whole = if whole.is_empty() { 0 } else { digits(whole)? };
    let places = if places.is_empty() { 0 } else { digits(places)? };
    let numerator = whole.checked_mul(denominator).and_then(|whole| whole.checked_add(places));
    Ok((numerator.ok_or(FractionError::TooLong)?, denominator))
}

fn digits(text: &str) -> Result<u64, FractionError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(FractionError::NotAFraction);
    }
    text.parse().map_err(|_| FractionError::TooLong)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_decimals_fractions_and_percentages_exactly() {
        for (text, expected) in [
            ("0.5", "1/2"),
            ("0.50000", "1/2"),
            (".1", "1/10"),
            ("1.", "1/1"),
            ("0", "0/1"),
            ("1", "1/1"),
            ("1/3", "1/3"),
            ("50/100", "1/2"),
            ("50%", "1/2"),
            ("12.5%", "1/8"),
            ("100%", "1/1"),
            ("0.000000001", "1/1000000000"),
        ] {
            assert_eq!(Fraction::parse(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", ".", "%", "/", "1/", "/2", "-0.5", "+0.5", " 0.5", "1e-1", "half", "0,5"] {
            assert_eq!(Fraction::parse(text), Err(FractionError::NotAFraction), "{text:?}");
        }
        assert_eq!(Fraction::parse("0/0"), Err(FractionError::NotAFraction));
        for text in ["1.01", "2", "3/2", "101%"] {
            assert_eq!(Fraction::parse(text), Err(FractionError::AboveOne), "{text:?}");
        }
        for text in ["0.12345678901", "0.1234567890123456789012", "1/99999999999"] {
            assert_eq!(Fraction::parse(text), Err(FractionError::TooLong), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_back_what_it_shows(text in "[0-9./%]{0,24}") {
            if let Ok(fraction) = Fraction::parse(&text) {
                prop_assert!(fraction.numerator() <= fraction.denominator());
                prop_assert_eq!(Fraction::parse(&fraction.to_string()), Ok(fraction));
            }
        }
    }
}
