//! Times as people write them: a month, a day, or a time of day, in a named time zone.

use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// An offset from UTC is less.
const DAY_SECONDS: i32 = 24 * 60 * 60;

/// What is wrong with a time, or with the periods of a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodError {
    /// The name of the time zone is unknown.
    #[error("no time zone {0}; name one of the IANA database, such as Europe/London or UTC")]
    Zone(String),
    /// There are no periods of this name.
    #[error("no periods of a {0}; choose hour, day, week or month")]
    By(String),
    /// A time can't be read.
    #[error(
        "{0} is no time; write a month 2026-10, a day 2026-10-25, a local time 2026-10-25T01:30, or one \
         with its offset 2026-10-25T01:30+01:00"
    )]
    Time(String),
    /// The clock shows a local time twice.
    #[error("{text} is there twice, since the clock is set back; write {first} or {second}")]
    Twice {
        /// The time.
        text: String,
        /// The first, with its offset.
        first: String,
        /// The second, with its offset.
        second: String,
    },
    /// The clock never shows a local time.
    #[error("there is no {text}: the clock is set forward from {from} to {to}; write another time")]
    Gap {
        /// The time.
        text: String,
        /// What the clock shows at the change.
        from: String,
        /// What it is set to.
        to: String,
    },
    /// A time is not within a minute, or before 1970.
    #[error("{0} is not a whole minute since 1970, by which calls are counted")]
    Minute(String),
    /// The range is empty.
    #[error("it would end at {to}, which is not after its start at {from}")]
    Empty {
        /// The start.
        from: String,
        /// The end.
        to: String,
    },
    /// There would be too many periods.
    #[error("more than {0} periods; choose longer ones with --by, or a shorter time")]
    TooMany(usize),
}

/// The time zone of this name.
///
/// # Errors
/// [`PeriodError::Zone`].
pub fn zone(name: &str) -> Result<TimeZone, PeriodError> {
    TimeZone::get(name).map_err(|_| PeriodError::Zone(name.to_owned()))
}

/// The start of a month or day, or a time, in the time zone unless it has an offset.
///
/// # Errors
/// [`PeriodError::Time`]; [`PeriodError::Twice`] and [`PeriodError::Gap`] of a local time around a change of the
/// clock.
pub fn time(text: &str, zone: &TimeZone) -> Result<Timestamp, PeriodError> {
    let unreadable = || PeriodError::Time(text.to_owned());
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        let offset = Pieces::parse(text).ok().and_then(|pieces| pieces.to_numeric_offset());
        let is_far = offset.is_some_and(|offset| offset.seconds().abs() >= DAY_SECONDS);
        return if is_far { Err(unreadable()) } else { Ok(timestamp) };
    }
    // A zone in brackets would be ignored.
    if text.contains('[') {
        return Err(unreadable());
    }
    if text.contains(['T', ' ']) {
        let at: DateTime = text.parse().map_err(|_| unreadable())?;
        return local(at, zone).ok_or_else(unreadable)?;
    }
    let whole = if text.len() == 7 { format!("{text}-01") } else { text.to_owned() };
    let date: Date = whole.parse().map_err(|_| unreadable())?;
    Ok(start_of(date, zone).ok_or_else(unreadable)?.timestamp())
}

/// A local time, unless the clock shows it twice or never.
fn local(at: DateTime, zone: &TimeZone) -> Option<Result<Timestamp, PeriodError>> {
    let with = |offset: Offset| {
        let local = offset.to_timestamp(at).ok()?.to_zoned(zone.clone());
        Some(local.strftime("%Y-%m-%dT%H:%M%:z").to_string())
    };
    let text = at.strftime("%Y-%m-%dT%H:%M").to_string();
    Some(match zone.to_ambiguous_zoned(at).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok(offset.to_timestamp(at).ok()?),
        AmbiguousOffset::Fold { before, after } => {
            Err(PeriodError::Twice { text, first: with(before)?, second: with(after)? })
        }
        AmbiguousOffset::Gap { before, after } => {
            let change = zone.following(after.to_timestamp(at).ok()?).next()?.timestamp();
            let clock = |offset: Offset| offset.to_datetime(change).strftime("%H:%M").to_string();
            Err(PeriodError::Gap { text, from: clock(before), to: clock(after) })
        }
    })
}

/// A [time] in minutes since 1970.
///
/// # Errors
/// As [`time`], and [`PeriodError::Minute`].
pub fn minute(text: &str, zone: &TimeZone) -> Result<i64, PeriodError> {
    let timestamp = time(text, zone)?;
    let seconds = timestamp.as_second();
    if seconds < 0 || seconds % 60 != 0 || timestamp.subsec_nanosecond() != 0 {
        return Err(PeriodError::Minute(text.to_owned()));
    }
    Ok(seconds / 60)
}

/// A time for people: local, with its offset.
#[must_use]
pub fn shown(minute: i64, zone: &TimeZone) -> String {
    zoned(minute, zone).strftime("%Y-%m-%d %H:%M%:z").to_string()
}

pub(super) fn zoned(minute: i64, zone: &TimeZone) -> Zoned {
    Timestamp::from_second(minute.saturating_mul(60))
        .unwrap_or(Timestamp::MAX)
        .to_zoned(zone.clone())
}

pub(super) fn start_of(date: Date, zone: &TimeZone) -> Option<Zoned> {
    date.to_zoned(zone.clone()).ok()?.start_of_day().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be_one() {
        let zone = zone("Europe/London").unwrap();
        assert_eq!(minute("2026-10-25T00:30", &zone), minute("2026-10-24T23:30Z", &zone));
        for (text, part) in [
            (
                "2026-10-25T01:30",
                "twice, since the clock is set back; write 2026-10-25T01:30+01:00 or 2026-10-25T01:30+00:00",
            ),
            ("2026-03-29T01:30", "the clock is set forward from 01:00 to 02:00"),
        ] {
            let error = minute(text, &zone).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(minute("2026-10-25T01:30+00:00", &zone), minute("2026-10-25T01:30Z", &zone));
        assert_eq!(minute("2026-07", &zone), minute("2026-06-30T23:00Z", &zone));
        for text in [
            "",
            "yesterday",
            "2026",
            "2026-13",
            "2026-02-30",
            "2026-02-03T",
            "2026-02-03T25:00",
            "2026-02-03T01:00+25:00",
            "2026-02-03T01:00[Asia/Tokyo]",
        ] {
            assert!(matches!(minute(text, &zone), Err(PeriodError::Time(_))), "{text}");
        }
        for text in ["2026-01-01T00:00:30", "2026-01-01T00:00:00.5", "1969-12-31"] {
            assert!(matches!(minute(text, &zone), Err(PeriodError::Minute(_))), "{text}");
        }
        assert!(super::zone("Europe/Londn").is_err());
    }
}
