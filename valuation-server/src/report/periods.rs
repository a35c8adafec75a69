//! Periods of local time: hours, days, weeks and months of a named time zone.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan, Zoned};

use super::times::{PeriodError, shown, start_of, zoned};

/// The most periods of a report of the command: 22 years of hours.
pub const MOST_PERIODS: usize = 200_000;

/// How long the periods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An hour of the clock.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// A month of the calendar.
    Month,
}

impl By {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

impl FromStr for By {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let all = [Self::Hour, Self::Day, Self::Week, Self::Month];
        let found = all.into_iter().find(|by| by.as_str() == text);
        found.ok_or_else(|| PeriodError::By(text.to_owned()))
    }
}

/// A period. Times are minutes since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first minute.
    pub start: i64,
    /// The minute after its last.
    pub end: i64,
    /// Its name: `2026-10-25 01:00+01:00`, `2026-10-25`, `2026-W43` or `2026-10`; of one that the report cuts with
    /// the part: `2026-11 (to 11-17)`, where the end is not part of it.
    pub name: String,
}

/// The periods that cover the time from `from` to before `to`; the first and the last may be cut by it.
///
/// # Errors
/// [`PeriodError::Empty`], [`PeriodError::TooMany`].
pub(super) fn periods(
    (from, to): (i64, i64),
    by: By,
    zone: &TimeZone,
    most: usize,
) -> Result<Vec<Period>, PeriodError> {
    if from >= to {
        return Err(PeriodError::Empty { from: shown(from, zone), to: shown(to, zone) });
    }
    let mut periods = Vec::new();
    let mut start = from;
    while start < to {
        if periods.len() == most {
            return Err(PeriodError::TooMany(most));
        }
        let at = zoned(start, zone);
        // At the end of representable time there is no next period.
        let end = next(&at, by).map_or(to, |next| floor(&next)).clamp(start + 1, to);
        periods.push(Period { start, end, name: name(&at, by) });
        start = end;
    }
    let last = periods.len() - 1;
    for index in [0, last].into_iter().take(periods.len()) {
        let Period { start, end, name } = &mut periods[index];
        name.push_str(&part((*start, *end), around(*start, by, zone), by, zone));
    }
    Ok(periods)
}

/// The start of the period that a minute is in, and the start of the next one.
pub(super) fn around(minute: i64, by: By, zone: &TimeZone) -> (i64, i64) {
    let at = zoned(minute, zone);
    let start = match by {
        By::Hour => Some(minute - i64::from(at.minute())),
        _ => first_day(&at, by).and_then(|date| start_of(date, zone)).map(|start| floor(&start)),
    };
    let end = next(&at, by).map(|next| floor(&next));
    (start.unwrap_or(minute).clamp(0, minute), end.unwrap_or(minute + 1).max(minute + 1))
}

/// The days of this time that do not have 24 hours, and their lengths in minutes.
pub(super) fn odd_days(from: i64, to: i64, zone: &TimeZone) -> Vec<(Date, i64)> {
    let mut days = Vec::new();
    for transition in zone.following(zoned(from, zone).timestamp()) {
        if transition.timestamp().as_second() >= to * 60 {
            break;
        }
        let date = transition.timestamp().to_zoned(zone.clone()).date();
        let length = start_of(date, zone).zip(date.tomorrow().ok().and_then(|d| start_of(d, zone)));
        let Some(minutes) = length.map(|(start, end)| floor(&end) - floor(&start)) else {
            continue;
        };
        if minutes != 24 * 60 && days.last().is_none_or(|(last, _)| *last != date) {
            days.push((date, minutes));
        }
    }
    days
}

/// To the minute: offsets with seconds ended in 1972.
fn floor(at: &Zoned) -> i64 {
    at.timestamp().as_second().div_euclid(60)
}

/// The first day of the period that a time is in.
fn first_day(at: &Zoned, by: By) -> Option<Date> {
    let date = at.date();
    match by {
        By::Hour | By::Day => Some(date),
        By::Week => date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok(),
        By::Month => Some(date.first_of_month()),
    }
}

/// When the next period begins.
fn next(at: &Zoned, by: By) -> Option<Zoned> {
    if by == By::Hour {
        // The clock's next full hour, or a transition before it, after which the clock shows another.
        let left = 60 - i64::from(at.minute());
        let next = at.checked_add(left.minutes()).ok()?;
        let zone = at.time_zone();
        return match zone.following(at.timestamp()).next() {
            Some(t) if t.timestamp() < next.timestamp() => {
                Some(t.timestamp().to_zoned(zone.clone()))
            }
            _ => Some(next),
        };
    }
    let step: Span = match by {
        By::Hour | By::Day => 1.day(),
        By::Week => 7.days(),
        By::Month => 1.month(),
    };
    let mut date = first_day(at, by)?.checked_add(step).ok()?;
    loop {
        let next = start_of(date, at.time_zone())?;
        // A day that a zone skipped (Samoa's 30 December 2011) begins with the day after it.
        if next.timestamp() > at.timestamp() {
            return Some(next);
        }
        date = date.tomorrow().ok()?;
    }
}

/// Which part of a whole period it is, as the end of its name; nothing for all of it.
fn part(own: (i64, i64), whole: (i64, i64), by: By, zone: &TimeZone) -> String {
    let shown = |minute| {
        let at = zoned(minute, zone);
        let format = match by {
            By::Hour | By::Day => "%H:%M",
            _ if (at.hour(), at.minute()) == (0, 0) => "%m-%d",
            _ => "%m-%d %H:%M",
        };
        at.strftime(format).to_string()
    };
    // The name of an hour is its start.
    let is_begun = own.0 > whole.0 && by != By::Hour;
    match (is_begun, own.1 < whole.1) {
        (false, false) => String::new(),
        (true, false) => format!(" (from {})", shown(own.0)),
        (false, true) => format!(" (to {})", shown(own.1)),
        (true, true) => format!(" ({} to {})", shown(own.0), shown(own.1)),
    }
}

fn name(at: &Zoned, by: By) -> String {
    match by {
        By::Hour => at.strftime("%Y-%m-%d %H:%M%:z").to_string(),
        By::Day => at.strftime("%Y-%m-%d").to_string(),
        By::Week => at.strftime("%G-W%V").to_string(),
        By::Month => at.strftime("%Y-%m").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::times::{minute, zone};
    use super::*;
    use proptest::prelude::*;

    fn lengths(zone_name: &str, from: &str, to: &str, by: By) -> Vec<(String, i64)> {
        let zone = zone(zone_name).unwrap();
        let (from, to) = (minute(from, &zone).unwrap(), minute(to, &zone).unwrap());
        let periods = periods((from, to), by, &zone, MOST_PERIODS).unwrap();
        periods.into_iter().map(|p| (p.name, p.end - p.start)).collect()
    }

    fn pairs(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
        expected.iter().map(|(name, length)| ((*name).to_owned(), *length)).collect()
    }

    #[test]
    fn days_of_a_change_of_the_clock_have_23_and_25_hours() {
        assert_eq!(
            lengths("Europe/London", "2026-03-28", "2026-03-31", By::Day),
            pairs(&[("2026-03-28", 1440), ("2026-03-29", 1380), ("2026-03-30", 1440)])
        );
        assert_eq!(
            lengths("Europe/London", "2026-10-25", "2026-10-26", By::Day),
            pairs(&[("2026-10-25", 1500)])
        );
        let zone = zone("Europe/London").unwrap();
        let year = (minute("2026-01", &zone).unwrap(), minute("2027-01", &zone).unwrap());
        let days: Vec<_> = odd_days(year.0, year.1, &zone)
            .into_iter()
            .map(|(date, length)| (date.to_string(), length))
            .collect();
        assert_eq!(days, pairs(&[("2026-03-29", 1380), ("2026-10-25", 1500)]));
    }

    #[test]
    fn the_hour_that_there_is_twice_is_two_periods_with_their_offsets() {
        assert_eq!(
            lengths("Europe/London", "2026-10-25T00:00", "2026-10-25T03:00", By::Hour),
            pairs(&[
                ("2026-10-25 00:00+01:00", 60),
                ("2026-10-25 01:00+01:00", 60),
                ("2026-10-25 01:00+00:00", 60),
                ("2026-10-25 02:00+00:00", 60),
            ])
        );
        // Its clock goes by half an hour: 02:00 is 01:30.
        assert_eq!(
            lengths("Australia/Lord_Howe", "2026-04-05T01:00", "2026-04-05T03:00", By::Hour),
            pairs(&[
                ("2026-04-05 01:00+11:00", 60),
                ("2026-04-05 01:30+10:30", 30),
                ("2026-04-05 02:00+10:30", 60),
            ])
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_ends_of_the_report_cut() {
        assert_eq!(
            lengths("Asia/Kolkata", "2026-01-01", "2026-01-13", By::Week),
            pairs(&[
                ("2026-W01 (from 01-01)", 4 * 1440),
                ("2026-W02", 7 * 1440),
                ("2026-W03 (to 01-13)", 1440)
            ])
        );
        assert_eq!(
            lengths("UTC", "2026-01-31", "2026-03-02", By::Month),
            pairs(&[
                ("2026-01 (from 01-31)", 1440),
                ("2026-02", 28 * 1440),
                ("2026-03 (to 03-02)", 1440)
            ])
        );
    }

    #[test]
    fn a_part_is_not_named_as_the_whole() {
        for (by, from, to, expected) in [
            (By::Month, "2026-11-03", "2026-11-17T13:30", "2026-11 (11-03 to 11-17 13:30)"),
            (By::Day, "2026-11-03T09:00", "2026-11-04", "2026-11-03 (from 09:00)"),
            (By::Hour, "2026-11-03T09:15", "2026-11-03T09:45", "2026-11-03 09:15+00:00 (to 09:45)"),
            (By::Month, "2026-11", "2026-12", "2026-11"),
        ] {
            let zone = "Europe/London";
            assert_eq!(lengths(zone, from, to, by).remove(0).0, expected);
        }
    }

    #[test]
    fn a_day_that_a_zone_skipped_is_no_period() {
        assert_eq!(
            lengths("Pacific/Apia", "2011-12-29", "2012-01-01", By::Day),
            pairs(&[("2011-12-29", 1440), ("2011-12-31", 1440)])
        );
    }

    #[test]
    fn none_and_too_many_are_refused() {
        let zone = TimeZone::UTC;
        assert!(matches!(
            periods((5, 5), By::Day, &zone, MOST_PERIODS),
            Err(PeriodError::Empty { .. })
        ));
        let many = periods((0, 300_000 * 60), By::Hour, &zone, MOST_PERIODS);
        assert_eq!(many, Err(PeriodError::TooMany(MOST_PERIODS)));
    }

    proptest! {
        #[test]
        fn periods_are_gapless_and_each_minute_is_around_its_own(
            from in 0_i64..40_000_000,
            length in 1_i64..20_000,
            by in prop::sample::select(vec![By::Hour, By::Day, By::Week, By::Month]),
            name in prop::sample::select(vec![
                "UTC", "Europe/London", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu",
                "Pacific/Apia", "Africa/Monrovia", "America/Sao_Paulo", "Africa/Casablanca",
            ]),
        ) {
            let zone = zone(name).unwrap();
            let periods = periods((from, from + length), by, &zone, MOST_PERIODS).unwrap();
            let mut at = from;
            for period in &periods {
                prop_assert_eq!(period.start, at);
                prop_assert!(period.end > period.start);
                let (start, end) = around(period.start, by, &zone);
                prop_assert!(start <= period.start && period.end <= end);
                at = period.end;
            }
            prop_assert_eq!(at, from + length);
        }
    }
}
