//! What is asked for, and the calendar that follows from it.

use std::str::FromStr;

use jiff::tz::TimeZone;

use super::percent::Percent;
use super::periods::{self, By, Period};
use super::times::PeriodError;
use crate::domain::{DurationBucket, Money};

/// What a report is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The time zone of its periods.
    pub zone: TimeZone,
    /// Its periods.
    pub by: By,
    /// Its first minute since 1970; the start of the period of the first call if it is `None`.
    pub from: Option<i64>,
    /// The minute after its last; the end of the period of the last call if it is `None`.
    pub to: Option<i64>,
    /// The only provider, by its logged name; all of them if it is `None`.
    pub provider: Option<String>,
    /// The availability that was agreed.
    pub target: Option<Percent>,
    /// A call that takes longer is slow.
    pub slow: Option<Slow>,
    /// What is not counted.
    pub excluded: Vec<Excluded>,
    /// The provider that costs a price per call.
    pub fallback: Option<Fallback>,
    /// More periods than this are refused: each takes memory.
    pub most_periods: usize,
}

/// A window that is not counted, such as planned maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// Its first minute since 1970.
    pub start: i64,
    /// The minute after its last.
    pub end: i64,
    /// Why it is not counted.
    pub name: String,
}

/// The price of the fallback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The provider's logged name.
    pub provider: String,
    /// The price of a call.
    pub price: Money,
}

/// From when on a call is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// What was asked for, in milliseconds.
    pub asked_ms: u64,
}

impl FromStr for Slow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{text}: {error}; write 2s or 300ms");
        let duration = humantime::parse_duration(text).map_err(|error| wrong(&error))?;
        let asked_ms = u64::try_from(duration.as_millis()).map_err(|error| wrong(&error))?;
        Ok(Self { asked_ms })
    }
}

impl Slow {
    /// The last bucket that is not slow. A call in the same bucket as the threshold is not slow, so that
    /// no call is held against a provider that was not too slow, and rollups and rows agree.
    #[must_use]
    pub fn bucket(self) -> DurationBucket {
        DurationBucket::of(self.asked_ms)
    }

    /// A call is slow if it took longer than this, in milliseconds.
    #[must_use]
    pub fn above_ms(self) -> u64 {
        self.bucket().highest()
    }
}

/// The periods of a report, and the windows that are excluded from them.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) periods: Vec<Period>,
    /// Merged, in order of time.
    excluded: Vec<(i64, i64)>,
}

/// What of an hour is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HourUse {
    /// All of it, in the period with this index.
    Whole(usize),
    /// Some of it, or it is divided among periods.
    Partly,
    Not,
}

impl Calendar {
    pub(super) fn new(terms: &Terms, from: i64, to: i64) -> Result<Self, PeriodError> {
        let periods = periods::periods((from, to), terms.by, &terms.zone, terms.most_periods)?;
        let mut windows: Vec<_> = terms.excluded.iter().map(|w| (w.start, w.end)).collect();
        windows.sort_unstable();
        let mut excluded: Vec<(i64, i64)> = Vec::new();
        for (start, end) in windows {
            match excluded.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => excluded.push((start, end)),
            }
        }
        Ok(Self { periods, excluded })
    }

    pub(super) fn from(&self) -> i64 {
        self.periods.first().map_or(0, |first| first.start)
    }

    pub(super) fn to(&self) -> i64 {
        self.periods.last().map_or(0, |last| last.end)
    }

    /// The period that a minute is counted in; `None` if it is not counted.
    pub(super) fn period(&self, minute: i64) -> Option<usize> {
        if self.excluded_minutes(minute, minute + 1) > 0 {
            return None;
        }
        self.around(minute)
    }

    /// The period that a minute is in, excluded or not.
    pub(super) fn around(&self, minute: i64) -> Option<usize> {
        let after = self.periods.partition_point(|period| period.start <= minute);
        let index = after.checked_sub(1)?;
        (minute < self.periods[index].end).then_some(index)
    }

    /// How many minutes from `start` to before `end` are excluded.
    pub(super) fn excluded_minutes(&self, start: i64, end: i64) -> u64 {
        let first = self.excluded.partition_point(|(_, last)| *last <= start);
        let windows = self.excluded[first..].iter().take_while(|(begin, _)| *begin < end);
        windows.map(|(s, e)| ((*e).min(end) - (*s).max(start)).unsigned_abs()).sum()
    }

    /// Of the hour that begins at `hour`, in seconds since 1970.
    pub(super) fn hour(&self, hour: i64) -> HourUse {
        let (start, end) = (hour / 60, hour / 60 + 60);
        match self.excluded_minutes(start, end) {
            60 => HourUse::Not,
            0 => match (self.around(start), self.around(end - 1)) {
                (Some(first), Some(last)) if first == last => HourUse::Whole(first),
                (None, None) if self.to() <= start || end <= self.from() => HourUse::Not,
                _ => HourUse::Partly,
            },
            _ => HourUse::Partly,
        }
    }
}
