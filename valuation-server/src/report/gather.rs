//! Reads what a report needs from the log: the rollups, or the rows.
//!
//! By rollups, hours that are counted whole, in one period, come from sums: their durations from the sums of
//! whole days as far as possible. Hours that a period's boundary or an excluded window divides are read from
//! the rows, and so are rows that are not in the rollups yet: nothing is estimated.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::periods;
use super::tally::Tally;
use super::terms::{Calendar, HourUse, Terms};
use super::times::PeriodError;
use super::{Later, NoProvider, Report, Unread};
use crate::domain::Provider;
use crate::store::{AuditSnapshot, CallRows, Interval, StoreError};

/// From what a report is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// From the sums that the server keeps.
    Rollups,
    /// From every row.
    Rows,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The periods make no sense.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The log has calls, but none of this provider.
    #[error("{0}")]
    NoProvider(NoProvider),
    /// There are no calls from which the start or the end could follow.
    #[error("the log has no calls; name both --from and --to for a report that says so")]
    NoCalls,
    /// All calls are of a time to come, so that no end follows from them.
    #[error(
        "all calls of the log are of a time to come: somebody's clock was wrong; name both --from and --to"
    )]
    AllLater,
}

/// How long after the report is made a call may be, in seconds, for the report to reach up to it: a clock that is
/// wrong by years would make it one of years without calls.
const LATEST: i64 = 86_400;

/// A report from one state of the log, made at `made`.
///
/// # Errors
/// [`ReportError`].
pub fn report(
    log: &AuditSnapshot<'_>,
    terms: &Terms,
    method: Method,
    made: Timestamp,
) -> Result<Report, ReportError> {
    let Range { from, to, later } = range(log, terms, method, made)?;
    let mut tally = Tally::new(Calendar::new(terms, from, to)?, terms);
    let gaps = match method {
        Method::Rows => {
            log.rows(CallRows::All, |call| tally.add_row(&call))?;
            log.gaps()?
        }
        Method::Rollups => {
            log.undated(|cell| tally.add_undated(cell.provider, cell.calls))?;
            add_rollups(log, &mut tally)?;
            log.rows(CallRows::Uncounted, |call| tally.add_row(&call))?;
            log.uncounted_gaps()?
        }
    };
    let report = Report { gaps, later, ..tally.report(terms) };
    match &terms.provider {
        // This server's own need no call: there was no failover.
        Some(name) if report.providers.is_empty() && Provider::from_name(name).is_none() => {
            match NoProvider::found(name, providers(log, method)?) {
                Some(error) => Err(ReportError::NoProvider(error)),
                None => Ok(report),
            }
        }
        _ => Ok(report),
    }
}

/// The names in the whole log.
fn providers(log: &AuditSnapshot<'_>, method: Method) -> Result<BTreeSet<String>, StoreError> {
    let mut names = BTreeSet::new();
    let mut see = |name: &str| {
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    };
    let rows = match method {
        Method::Rows => CallRows::All,
        Method::Rollups => {
            log.undated(|cell| see(cell.provider))?;
            log.hours(0, i64::MAX, |cell| see(cell.provider))?;
            CallRows::Uncounted
        }
    };
    log.rows(rows, |call| see(call.provider))?;
    Ok(names)
}

/// The minutes of a report.
struct Range {
    from: i64,
    to: i64,
    later: Option<Later>,
}

fn range(
    log: &AuditSnapshot<'_>,
    terms: &Terms,
    method: Method,
    made: Timestamp,
) -> Result<Range, ReportError> {
    if let (Some(from), Some(to)) = (terms.from, terms.to) {
        return Ok(Range { from, to, later: None });
    }
    // To the hour, so that an hour's sum is on one side of it.
    let hour = Interval::Hour.seconds();
    let latest = made.as_second().saturating_add(LATEST).div_euclid(hour).saturating_mul(hour) / 60;
    let (mut seen, mut later) = (None::<(i64, i64)>, 0);
    let mut see = |provider: &str, first: i64, last: i64, calls: u64| {
        if terms.to.is_some() || first < latest {
            let (low, high) = seen.unwrap_or((first, last));
            seen = Some((low.min(first), high.max(last)));
        } else if terms.provider.as_ref().is_none_or(|only| only == provider) {
            later += calls;
        }
    };
    let rows = match method {
        Method::Rows => CallRows::All,
        Method::Rollups => {
            log.hours(0, i64::MAX, |cell| {
                // Without a minute the cell is none of the server's.
                if let Some(hour) = cell.hour
                    && cell.minutes > 0
                {
                    let bit = |bit: u32| hour / 60 + i64::from(bit);
                    let first = bit(cell.minutes.trailing_zeros());
                    see(cell.provider, first, bit(63 - cell.minutes.leading_zeros()), cell.calls);
                }
            })?;
            CallRows::Uncounted
        }
    };
    log.rows(rows, |call| {
        if let Some(at) = call.at {
            see(call.provider, at / 60, at / 60, 1);
        }
    })?;
    let none = if later > 0 { ReportError::AllLater } else { ReportError::NoCalls };
    let (first, last) = seen.ok_or(none)?;
    let start = periods::around(first, terms.by, &terms.zone).0;
    let end = periods::around(last, terms.by, &terms.zone).1;
    // The last period may go on after `latest`: what is named as not counted must not be counted.
    let end = if later > 0 { end.min(latest) } else { end };
    let later = (later > 0).then_some(Later { calls: later, from: latest });
    Ok(Range { from: terms.from.unwrap_or(start), to: terms.to.unwrap_or(end), later })
}

/// Hours that follow on each other and are used in the same way.
#[derive(Clone, Copy, Debug)]
struct Run {
    used: HourUse,
    start: i64,
    end: i64,
}

fn add_rollups(log: &AuditSnapshot<'_>, tally: &mut Tally) -> Result<(), StoreError> {
    let (from, to) = (tally.calendar.from() * 60, tally.calendar.to() * 60);
    let hour = Interval::Hour.seconds();
    // Only hours with calls: a report may begin long before the first.
    let mut runs: Vec<Run> = Vec::new();
    log.hours(from - from.rem_euclid(hour), to, |cell| {
        let Some(start) = cell.hour else { return };
        let end = start + hour;
        if runs.last().is_some_and(|last| last.end == end) {
            return;
        }
        let used = tally.calendar.hour(start);
        match runs.last_mut() {
            Some(last) if last.used == used && gap_is_used(last, start, tally) => last.end = end,
            _ => runs.push(Run { used, start, end }),
        }
    })?;
    for run in runs {
        match run.used {
            HourUse::Whole(period) => {
                log.hours(run.start, run.end, |cell| tally.add_cell(period, &cell))?;
                add_durations(log, tally, period, run)?;
            }
            HourUse::Partly => add_rows(log, tally, run)?,
            HourUse::Not => {}
        }
    }
    Ok(())
}

/// Whether the hours without calls between two runs of one use can be taken as theirs. Nothing is in them, but
/// for whole days to be summed a window must not lie between.
fn gap_is_used(last: &Run, start: i64, tally: &Tally) -> bool {
    tally.calendar.excluded_minutes(last.end / 60, start / 60) == 0
}

fn add_durations(
    log: &AuditSnapshot<'_>,
    tally: &mut Tally,
    period: usize,
    run: Run,
) -> Result<(), StoreError> {
    let day = Interval::Day.seconds();
    let first_day = (run.start + day - 1).div_euclid(day) * day;
    let last_day = run.end.div_euclid(day) * day;
    let parts = if first_day < last_day {
        [
            (Interval::Hour, run.start, first_day),
            (Interval::Day, first_day, last_day),
            (Interval::Hour, last_day, run.end),
        ]
    } else {
        [(Interval::Hour, run.start, run.end), (Interval::Hour, 0, 0), (Interval::Hour, 0, 0)]
    };
    for (interval, start, end) in parts.into_iter().filter(|(_, start, end)| start < end) {
        log.durations(interval, start, end, |provider, bucket, calls| {
            tally.add_bucket(period, provider, bucket, calls);
        })?;
    }
    Ok(())
}

fn add_rows(
    log: &AuditSnapshot<'_>,
    tally: &mut Tally,
    Run { start, end, .. }: Run,
) -> Result<(), StoreError> {
    let mut providers: BTreeMap<String, Unread> = BTreeMap::new();
    log.hours(start, end, |cell| {
        let ids = (cell.first_id, cell.last_id);
        let sum = providers.entry(cell.provider.to_owned()).or_insert(Unread { calls: 0, ids });
        sum.calls += cell.calls;
        sum.ids = (sum.ids.0.min(ids.0), sum.ids.1.max(ids.1));
    })?;
    for (provider, mut unread) in providers {
        let rows = CallRows::Counted { provider: &provider, start, end };
        log.rows(rows, |call| {
            unread.calls = unread.calls.saturating_sub(1);
            tally.add_row(&call);
        })?;
        if unread.calls > 0 {
            tally.add_unread(&provider, unread);
        }
    }
    Ok(())
}
