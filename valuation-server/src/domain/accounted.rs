//! What the accounting reads from the log of provider calls.

use super::CallOutcome;

/// One call, as the accounting sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountedCall<'a> {
    /// The row's id.
    pub id: i64,
    /// When it started, in seconds since 1970; `None` if the row's time can't be read.
    pub at: Option<i64>,
    /// The provider's name as it was logged; it need not be a provider of today.
    pub provider: &'a str,
    /// The error code; empty for none.
    pub error_code: &'a str,
    /// What it says about the provider.
    pub outcome: CallOutcome,
    /// Whether it was made because another provider had just failed.
    pub rescue: bool,
    /// How long it took, in milliseconds, at most [`Self::LONGEST_MS`].
    pub duration_ms: u64,
}

impl AccountedCall<'_> {
    /// Longer durations, which only a wrong row can have, count as this one, so that no sum overflows: 35
    /// years.
    pub const LONGEST_MS: u64 = 1 << 40;
}

/// The calls of one hour that have the provider, error code, outcome and rescue in common. Two such cells of
/// the same hour merge: counts add up, minutes by OR, ids by minimum and maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourCell<'a> {
    /// The hour's start, in seconds since 1970 (UTC); `None` for calls whose time can't be read.
    pub hour: Option<i64>,
    /// As in [`AccountedCall`].
    pub provider: &'a str,
    /// As in [`AccountedCall`].
    pub error_code: &'a str,
    /// As in [`AccountedCall`].
    pub outcome: CallOutcome,
    /// As in [`AccountedCall`].
    pub rescue: bool,
    /// How many calls.
    pub calls: u64,
    /// The sum of their durations, in milliseconds.
    pub sum_ms: u64,
    /// The longest duration, in milliseconds.
    pub max_ms: u64,
    /// Bit n: there was such a call in minute n of the hour.
    pub minutes: u64,
    /// The lowest id.
    pub first_id: i64,
    /// The highest id.
    pub last_id: i64,
}

/// The outcome of a row. A row from before the column `outcome` is judged by its codes as this server
/// judges a call by default:
///
/// | row | outcome |
/// |---|---|
/// | no error code | success |
/// | `CANCELLED`, `LOCAL` | ignored |
/// | `STATUS` with a 4xx other than 408 and 429 | success: the provider is up |
/// | any other error code | failure |
#[must_use]
pub fn row_outcome(
    outcome: Option<&str>,
    response_code: Option<i64>,
    error_code: Option<&str>,
) -> CallOutcome {
    match (outcome, error_code) {
        (Some("success"), _) => CallOutcome::Success,
        (Some("failure"), _) => CallOutcome::Failure,
        (Some("ignored"), _) => CallOutcome::Ignored,
        (_, None | Some("")) => CallOutcome::Success,
        (_, Some("CANCELLED" | "LOCAL")) => CallOutcome::Ignored,
        (_, Some("STATUS")) => match response_code {
            Some(408 | 429) => CallOutcome::Failure,
            Some(400..=499) => CallOutcome::Success,
            _ => CallOutcome::Failure,
        },
        _ => CallOutcome::Failure,
    }
}

/// Reads a time of the log, `2026-11-22T19:38:00.123Z`, as seconds since 1970, rounded down. `None` for
/// any other shape: only this one sorts as text in the order of time.
#[must_use]
pub fn log_seconds(text: &str) -> Option<i64> {
    let shape = b"0000-00-00T00:00:00.000Z";
    let text = text.as_bytes();
    let digit = |byte: u8| byte.wrapping_sub(b'0');
    let fits = text.len() == shape.len()
        && shape.iter().zip(text).all(|(shape, byte)| match shape {
            b'0' => digit(*byte) < 10,
            fixed => fixed == byte,
        });
    if !fits {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().fold(0_i64, |sum, byte| sum * 10 + i64::from(digit(*byte)))
    };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => 31,
    };
    let valid = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    valid.then(|| ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days of the Gregorian calendar, with years that begin in March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_from_before_the_outcome_are_judged_by_their_codes() {
        use CallOutcome::{Failure, Ignored, Success};
        for (code, error, expected) in [
            (Some(200), None, Success),
            (None, Some("CANCELLED"), Ignored),
            (None, Some("LOCAL"), Ignored),
            (Some(404), Some("STATUS"), Success),
            (Some(403), Some("STATUS"), Success),
            (Some(408), Some("STATUS"), Failure),
            (Some(429), Some("STATUS"), Failure),
            (Some(503), Some("STATUS"), Failure),
            (Some(302), Some("STATUS"), Failure),
            (None, Some("STATUS"), Failure),
            (None, Some("TIMEOUT"), Failure),
            (Some(200), Some("UNUSABLE"), Failure),
            (None, Some("a code of tomorrow"), Failure),
        ] {
            assert_eq!(row_outcome(None, code, error), expected, "{code:?} {error:?}");
            // What was stored goes first.
            for stored in [Success, Failure, Ignored] {
                assert_eq!(row_outcome(Some(stored.as_str()), code, error), stored);
            }
        }
    }

    #[test]
    fn a_time_of_another_shape_or_that_never_was_is_none() {
        for text in [
            "",
            "2026",
            "2026-11-22 19:38:00.123Z",
            "2026-11-22T19:38:00Z",
            "2026-11-22T19:38:00.123+",
            "2026-02-29T00:00:00.000Z",
            "2026-04-31T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:60:00.000Z",
            "2026-01-01T00:00:60.000Z",
            "1969-12-31T23:59:59.999Z",
            "２026-01-01T00:00:00.000",
        ] {
            assert_eq!(log_seconds(text), None, "{text:?}");
        }
        assert_eq!(log_seconds("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(log_seconds("2000-02-29T23:59:59.999Z"), Some(951_868_799));
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_jiff_reads_it(ms in 0..253_402_300_799_999_i64) {
            let at = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(log_seconds(&format!("{at:.3}")), Some(ms.div_euclid(1000)));
        }
    }
}
