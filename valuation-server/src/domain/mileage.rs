//! The distance that a vehicle has been driven.

use std::fmt;

/// Miles driven: from 0.001 to 10,000,000, three times the record of any car. Its `Display` is a plain
/// decimal number without an exponent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Mileage(f64);

/// Why a number is not a mileage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MileageError {
    /// Not a number, not finite, or not above zero.
    #[error("mileage must be a positive number")]
    NotPositive,
    /// Too large or too small.
    #[error("mileage must be from 0.001 to 10000000")]
    OutOfRange,
}

const RANGE: std::ops::RangeInclusive<f64> = 0.001..=10_000_000.0;

impl Mileage {
    /// Takes a number of miles.
    ///
    /// # Errors
    /// [`MileageError`] unless the number is in the range.
    pub fn new(miles: f64) -> Result<Self, MileageError> {
        match miles {
            _ if RANGE.contains(&miles) => Ok(Self(miles)),
            _ if miles.is_finite() && miles > 0.0 => Err(MileageError::OutOfRange),
            _ => Err(MileageError::NotPositive),
        }
    }

    /// Takes a text that is one decimal number: digits, at most one point, perhaps an exponent or a `+`;
    /// neither spaces nor words.
    ///
    /// # Errors
    /// [`MileageError`] if the text is anything else, or the number is not in the range.
    pub fn parse(text: &str) -> Result<Self, MileageError> {
        // `f64::from_str` also accepts "inf", "nan" and "infinity".
        let numeral = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
        if !text.bytes().all(numeral) {
            return Err(MileageError::NotPositive);
        }
        text.parse().map_err(|_| MileageError::NotPositive).and_then(Self::new)
    }

    /// The number of miles.
    #[must_use]
    pub fn miles(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Mileage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `f64`'s `Display` is the shortest plain decimal that reads back as the same number.
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_positive_number_as_number_or_text() {
        assert_eq!(Mileage::new(10_000.0).unwrap().to_string(), "10000");
        assert_eq!(Mileage::parse("10000.5").unwrap().to_string(), "10000.5");
        assert_eq!(Mileage::parse("1e3").unwrap().to_string(), "1000");
        assert_eq!(Mileage::parse("1E7").unwrap().to_string(), "10000000");
        assert_eq!(Mileage::parse("1e-3").unwrap().to_string(), "0.001");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "", " 1", "1 ", "0", "-1", "-0", "inf", "NaN", "1,000", "0x10", "1e999", "ten", "1_0",
            ".",
        ] {
            assert_eq!(Mileage::parse(text), Err(MileageError::NotPositive), "{text:?}");
        }
        for number in [0.0, -0.0, -5.0, f64::INFINITY, f64::NAN] {
            assert_eq!(Mileage::new(number), Err(MileageError::NotPositive), "{number}");
        }
        for text in ["10000000.1", "1e21", "1e308", "0.0009", "5e-324"] {
            assert_eq!(Mileage::parse(text), Err(MileageError::OutOfRange), "{text:?}");
        }
    }
}
