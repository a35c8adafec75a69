//! Exact amounts of money.

use std::fmt;

/// An amount in pounds, kept as whole pence: from 0 to 99,999,999.99, the range of the older
/// service's `decimal(10,2)`. From the provider's text to the answer it is never a binary float.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Money(u64);

/// The digits of [`Money::MAX`] in pence.
const MAX_DIGITS: i64 = 10;

/// Why a text or a number is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// Below zero.
    #[error("a value must not be negative")]
    Negative,
    /// Above [`Money::MAX`].
    #[error("a value must not exceed 99999999.99")]
    TooLarge,
    /// It would be rounded.
    #[error("not an amount in whole pence; write pounds with at most two decimals, such as 0.20")]
    Inexact,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest amount: 99,999,999.99.
    pub const MAX: Self = Self(9_999_999_999);

    /// Takes whole pence.
    ///
    /// # Errors
    /// [`MoneyError::TooLarge`] above [`Money::MAX`].
    pub fn from_pence(pence: u64) -> Result<Self, MoneyError> {
        if pence > Self::MAX.0 { Err(MoneyError::TooLarge) } else { Ok(Self(pence)) }
    }

    /// Takes a decimal text with an optional exponent, as JSON and XML Schema write numbers:
    /// `22350`, `22350.5`, `2.235e4`. More than two decimals are rounded, half a penny upwards.
    ///
    /// # Errors
    /// [`MoneyError`] if the text is not a number, negative, or too large. `-0` is zero.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (negative, unsigned) = sign(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(MoneyError::NotANumber);
        }
        let significant = digits.trim_start_matches('0');
        match significant {
            "" => return Ok(Self::ZERO),
            // Also a text such as -0.001, which would round to zero.
            _ if negative => return Err(MoneyError::Negative),
            _ => {}
        }
        // The first `kept` significant digits are whole pence; the next one rounds. The exponent is
        // clamped and lengths fit an i64, so nothing overflows.
        let length = |s: &str| i64::try_from(s.len()).unwrap_or(i64::MAX / 4);
        let kept = length(whole) + exponent + 2 - (length(&digits) - length(significant));
        if kept > MAX_DIGITS {
            return Err(MoneyError::TooLarge);
        }
        let Ok(kept) = usize::try_from(kept) else { return Ok(Self::ZERO) };
        let pence: u64 = format!("{significant:0<kept$}")[..kept].parse().unwrap_or(0);
        let rounds_up = significant.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5');
        Self::from_pence(pence + u64::from(rounds_up))
    }

    /// Takes pounds as people write them, with at most two decimals: `3`, `0.2`, `0.20`. Nothing is rounded.
    ///
    /// # Errors
    /// [`MoneyError`] as [`parse`](Self::parse), and [`MoneyError::Inexact`] for anything but digits and a point,
    /// and for more than two decimals.
    pub fn parse_exact(text: &str) -> Result<Self, MoneyError> {
        let decimals = text.split_once('.').map_or("", |(_, decimals)| decimals);
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if plain && decimals.len() <= 2 { Self::parse(text) } else { Err(MoneyError::Inexact) }
    }

    /// This many times the amount, at most [`Money::MAX`].
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count)).min(Self::MAX)
    }

    /// The amount in pence.
    #[must_use]
    pub fn pence(self) -> u64 {
        self.0
    }

    /// The mean of two amounts, half a penny rounded upwards.
    #[must_use]
    pub fn midpoint(self, other: Self) -> Self {
        // Both are at most MAX: the sum does not overflow, and the mean is in range.
        Self((self.0 + other.0).div_ceil(2))
    }
}

/// Whether the text is negative, and the text without its sign.
fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn parse_exponent(text: &str) -> Result<i64, MoneyError> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(MoneyError::NotANumber);
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Ok(if negative { -magnitude } else { magnitude })
}

/// A plain decimal number without trailing zeros: `22350`, `22350.5`, `0.05`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pounds, pence) = (self.0 / 100, self.0 % 100);
        match (pence, pence % 10) {
            (0, _) => write!(f, "{pounds}"),
            (_, 0) => write!(f, "{pounds}.{}", pence / 10),
            _ => write!(f, "{pounds}.{pence:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Result<String, MoneyError> {
        Money::parse(text).map(|m| m.to_string())
    }

    #[test]
    fn reads_plain_decimals_and_exponents() {
        for (text, expected) in [
            ("22350", "22350"),
            ("22350.50", "22350.5"),
            ("0.05", "0.05"),
            ("2.235e4", "22350"),
            ("223505E-1", "22350.5"),
            ("0e999999999999999999999", "0"),
            ("1e-999999999999999999999", "0"),
            ("-0", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("00012.30", "12.3"),
            ("99999999.99", "99999999.99"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rounds_half_a_penny_upwards() {
        assert_eq!(shown("1.005").as_deref(), Ok("1.01"));
        assert_eq!(shown("1.00499").as_deref(), Ok("1"));
        assert_eq!(shown("0.995").as_deref(), Ok("1"));
        assert_eq!(shown("5e-3").as_deref(), Ok("0.01"));
        assert_eq!(shown("5e-4").as_deref(), Ok("0"));
        assert_eq!(
            Money::parse("1").unwrap().midpoint(Money::parse("1.01").unwrap()).to_string(),
            "1.01"
        );
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in [
            "", ".", "-", "+", "NaN", "inf", "1e", "1e+", "1.2.3", "0x1", " 1", "1 ", "١", "1e1.5",
            "--1",
        ] {
            assert_eq!(shown(text), Err(MoneyError::NotANumber), "{text:?}");
        }
        for text in ["-1", "-0.001", "-1e400"] {
            assert_eq!(shown(text), Err(MoneyError::Negative), "{text:?}");
        }
        for text in ["100000000", "99999999.995", "1e400", "1e99999999999999999999"] {
            assert_eq!(shown(text), Err(MoneyError::TooLarge), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads_back(pence in 0..=Money::MAX.pence()) {
            let money = Money::from_pence(pence).unwrap();
            prop_assert_eq!(Money::parse(&money.to_string()), Ok(money));
        }

        #[test]
        fn never_panics(text in "[-+0-9.eE]{0,40}") {
            let _ = Money::parse(&text);
        }
    }
}
