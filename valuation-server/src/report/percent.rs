//! Percentages in integers: no float that rounds 99.996 % to 100 %.

use std::fmt;
use std::str::FromStr;

/// Parts of a whole that one percent is.
const PER_PERCENT: u64 = 1_000_000;
/// Parts of a whole.
pub(super) const WHOLE: u64 = 100 * PER_PERCENT;

/// A percentage with up to six decimals, from 0 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent {
    /// In millionths of a percent.
    parts: u64,
    /// How many decimals were given.
    decimals: usize,
}

/// Why a text is no [`Percent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PercentError {
    /// It can't be read.
    #[error("not a percentage from 0% to 100% with at most six decimals, such as 99.9%")]
    Form,
    /// At most 1, without a percent sign: rates of the server's settings are fractions.
    #[error("without % it may mean {percent} or {fraction}: write one of them, with the %")]
    Ambiguous {
        /// Read as a percentage.
        percent: Percent,
        /// Read as a part of one.
        fraction: Percent,
    },
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(decimals) || whole.len() > 3 || decimals.len() > 6 {
            return Err(PercentError::Form);
        }
        let number: u64 =
            format!("{whole}{decimals:0<6}").parse().map_err(|_| PercentError::Form)?;
        let decimals = if digits.contains('.') { decimals.len() } else { 0 };
        if number > WHOLE {
            return Err(PercentError::Form);
        }
        let percent = Self { parts: number, decimals };
        if !text.ends_with('%') && (1..=PER_PERCENT).contains(&number) {
            let fraction = Self { parts: number * 100, decimals: decimals.saturating_sub(2) };
            return Err(PercentError::Ambiguous { percent, fraction });
        }
        Ok(percent)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal(self.parts, self.decimals))
    }
}

impl Percent {
    /// How many of `all` may be missing: the most with which `good` out of `all` are this share or more.
    #[must_use]
    pub fn allowance(self, all: u64) -> u64 {
        let missing = u128::from(WHOLE - self.parts) * u128::from(all);
        u64::try_from(missing / u128::from(WHOLE)).unwrap_or(u64::MAX)
    }

    /// What may be missing, in parts of [`WHOLE`].
    pub(super) const fn missing(self) -> u64 {
        WHOLE - self.parts
    }

    /// The decimals of a share that is compared with it: two, or its own if they are more.
    #[must_use]
    pub fn decimals(self) -> usize {
        self.decimals.max(2)
    }
}

/// A part of a whole, such as the calls that succeeded of all calls. Never rounded up: it is shown as
/// 100 % only if the part is the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The part.
    pub part: u64,
    /// The whole.
    pub whole: u64,
}

impl Share {
    /// In parts of [`WHOLE`], cut off; `None` of nothing.
    pub(super) fn parts(self) -> Option<u64> {
        let parts = u128::from(self.part) * u128::from(WHOLE);
        u64::try_from(parts.checked_div(u128::from(self.whole))?).ok()
    }

    /// What is missing, in parts of [`WHOLE`], rounded up; `None` of nothing.
    pub(super) fn missing(self) -> Option<u64> {
        let missing = u128::from(self.whole.saturating_sub(self.part)) * u128::from(WHOLE);
        let missing = (self.whole > 0).then(|| missing.div_ceil(u128::from(self.whole)))?;
        u64::try_from(missing).ok()
    }

    /// The percentage with so many decimals (at most six), cut off after them; `None` of nothing.
    #[must_use]
    pub fn percent(self, decimals: usize) -> Option<String> {
        self.parts().map(|parts| decimal(parts, decimals))
    }
}

/// A percentage of parts of [`WHOLE`], with as many decimals as it has.
pub(super) fn trimmed(parts: u64) -> String {
    let text = decimal(parts, 6);
    let text = text.trim_end_matches('%').trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

fn decimal(parts: u64, decimals: usize) -> String {
    let (whole, rest) = (parts / PER_PERCENT, format!("{:06}", parts % PER_PERCENT));
    match decimals.min(6) {
        0 => format!("{whole}%"),
        decimals => format!("{whole}.{}%", &rest[..decimals]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_cut_off_and_never_rounded_up() {
        let share = |part, whole| Share { part, whole }.percent(2);
        assert_eq!(share(99_996, 100_000).unwrap(), "99.99%");
        assert_eq!(share(u64::MAX - 1, u64::MAX).unwrap(), "99.99%");
        assert_eq!(share(u64::MAX, u64::MAX).unwrap(), "100.00%");
        assert_eq!(share(0, 7).unwrap(), "0.00%");
        assert_eq!(share(2, 3).unwrap(), "66.66%");
        assert_eq!(share(0, 0), None);
        assert_eq!(Share { part: 2, whole: 3 }.percent(4).unwrap(), "66.6666%");
    }

    #[test]
    fn a_target_keeps_its_decimals_and_nonsense_is_refused() {
        for text in ["0%", "99.9%", "99.95%", "99.999999%", "100%", "100.0%", "0.5%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        assert_eq!("99.9".parse(), "99.9%".parse::<Percent>());
        for text in
            ["", "%", "100.1%", "1000%", "-1%", "99,9%", "99.9999999%", ".9%", "9.%", "1e2", "+1"]
        {
            assert_eq!(text.parse::<Percent>(), Err(PercentError::Form), "{text}");
        }
    }

    #[test]
    fn a_small_number_without_a_percent_sign_is_refused_with_both_meanings() {
        for (text, part) in [
            ("0.999", "may mean 0.999% or 99.9%"),
            ("1", "may mean 1% or 100%"),
            ("0.9999995", "not a percentage"),
        ] {
            let error = text.parse::<Percent>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!("1.5".parse(), "1.5%".parse::<Percent>());
    }

    #[test]
    fn an_allowance_is_the_most_failures_with_which_the_target_is_met() {
        let allowed = |target: &str, all| target.parse::<Percent>().unwrap().allowance(all);
        assert_eq!(allowed("99.9%", 1_000), 1);
        assert_eq!(allowed("99.9%", 999), 0);
        assert_eq!(allowed("99.9%", 1_999), 1);
        assert_eq!(allowed("100%", u64::MAX), 0);
        assert_eq!(allowed("0%", u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_share_below_the_whole_is_shown_below_100(whole in 1_u64.., part: u64, decimals in 0_usize..7) {
            let part = part % whole;
            let shown = Share { part, whole }.percent(decimals).unwrap();
            prop_assert!(!shown.starts_with("100"), "{}", shown);
        }
    }
}
