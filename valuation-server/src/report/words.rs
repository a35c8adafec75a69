//! A report's accounting in words, and its figures as texts: the same in every format.

use jiff::Timestamp;

use super::figures::Figures;
use super::gather::Method;
use super::outages::LONGEST_GAP;
use super::percent::Percent;
use super::{Report, shown};
use crate::web::number::count;

/// What stands for figures of no calls.
pub const NO_DATA: &str = "no data";

/// Where a report comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The database file, and the archives after it.
    pub database: String,
    /// What was read in it.
    pub method: Method,
    /// When the report was made.
    pub made: Timestamp,
}

/// How the report counts: each statement by its topic. Part of every format, so that the figures can be
/// checked and repeated.
#[must_use]
pub fn accounting(report: &Report, source: &Source) -> Vec<(&'static str, String)> {
    let terms = &report.terms;
    let zone = &terms.zone;
    let at = |minute| shown(minute, zone);
    let mut lines = vec![
        ("time", format!(
            "from {} to before {}, in whole minutes; a call belongs to the minute in which it started",
            at(report.from), at(report.to)
        )),
        ("state", state(report, source.made)),
        ("time zone", format!("{}, by {}; {}", zone.iana_name().unwrap_or("UTC"), terms.by.as_str(), odd_days(report))),
        ("call", "a row of ProviderLogs with the outcome success or failure, including rescues and probes; \
            a row from before the column outcome is judged by its codes: failure for any error code but \
            CANCELLED and LOCAL (ignored) and STATUS with a 4xx other than 408 and 429 (success)".to_owned()),
        ("ignored call", "a call that was given up by us or failed by our fault: in no figure but the price".to_owned()),
        ("failure", "a call with the outcome failure: no connection, no answer in time, status 5xx, 408 or \
            429, or an unusable answer; a 404 is an answer".to_owned()),
        ("availability", "calls that succeeded, of all calls; and by minutes: of the minutes with calls, \
            those in which at least one call succeeded".to_owned()),
        ("outage", format!("from a minute in which all calls failed to the first later minute in which one \
            succeeded; minutes without calls in between belong to it, excluded ones do not; after more than \
            {LONGEST_GAP} minutes without calls its end is unknown, and its length is up to the last minute \
            in which all calls failed; counted in the period in which it began; of one that reaches over the \
            start or the end of the report, the part in the report")),
        ("to recover", "the mean length of the outages with a known end".to_owned()),
        ("durations", "of all calls, failures included, in milliseconds; percentiles by nearest rank, \
            rounded up to the bound of a bucket (exact below 256 ms, at most 0.8 % above), max exact".to_owned()),
        ("percentages", "cut off after their last decimal, never rounded up; without calls there is no data".to_owned()),
    ];
    if let Some(slow) = terms.slow {
        lines.push((
            "slow",
            format!(
                "longer than {} ms: the bound of the bucket of the {} ms asked for",
                slow.above_ms(),
                slow.asked_ms
            ),
        ));
    }
    if let Some(target) = terms.target {
        lines.push((
            "target",
            format!("{target} of the calls of each period, and of its minutes with calls"),
        ));
    }
    if let Some(fallback) = &terms.fallback {
        lines.push((
            "price",
            format!(
                "£{}.{:02} for each call to {}, including ignored ones",
                fallback.price.pence() / 100,
                fallback.price.pence() % 100,
                fallback.provider
            ),
        ));
    }
    for window in &terms.excluded {
        lines.push((
            "excluded",
            format!("{}: from {} to before {}", window.name, at(window.start), at(window.end)),
        ));
    }
    if terms.excluded.is_empty() {
        lines.push(("excluded", "nothing".to_owned()));
    }
    lines.push((
        "rows",
        match report.ids {
            Some((first, last)) => {
                format!("ids {first} to {last} of ProviderLogs in {}", source.database)
            }
            None => format!("none in {}", source.database),
        },
    ));
    lines.push((
        "read from",
        match source.method {
            Method::Rollups => {
                "the hourly sums, which keep rows that were deleted or archived since; \
            divided hours, and rows that are not summed yet, from the rows"
                    .to_owned()
            }
            Method::Rows => {
                "every row that is in the given files; deleted ones, and those of other archives, are missing".to_owned()
            }
        },
    ));
    if !report.gaps.is_empty() {
        let gaps: Vec<_> =
            report.gaps.iter().map(|(first, last)| format!("{first} to {last}")).collect();
        lines.push((
            "missing rows",
            format!(
                "ids {}: the rows are in no given file, so that their calls are in no figure",
                gaps.join(", ")
            ),
        ));
    }
    if let Some(unread) = report.unread {
        lines.push((
            "not counted",
            format!(
                "{} calls with ids between {} and {}, in hours that a period or an excluded time divides: \
                their rows are in no given file; name their archive",
                unread.calls, unread.ids.0, unread.ids.1
            ),
        ));
    }
    if let Some(later) = report.later {
        lines.push((
            "not counted",
            format!(
                "calls from {} on, which is after this report was made: {}; somebody's clock was wrong. They \
                are counted if the end is named and is after them",
                at(later.from),
                later.calls
            ),
        ));
    }
    if report.undated > 0 {
        lines.push((
            "not counted",
            format!(
                "{} rows of the log, whose requestedAt is not of the form 2026-11-22T19:38:00.123Z",
                report.undated
            ),
        ));
    }
    lines
}

fn state(report: &Report, made: Timestamp) -> String {
    let is_over = made.as_second() >= report.to.saturating_mul(60);
    let over = if is_over {
        "after the end of this time"
    } else {
        "before the end of this time: calls after it are not in the report"
    };
    format!("made at {made:.0}, {over}")
}

/// Why there are no figures.
pub(super) fn nothing(report: &Report) -> String {
    let of = report.terms.provider.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
    let excluded =
        if report.terms.excluded.is_empty() { "" } else { " outside of what is excluded" };
    format!("there is no call{of} in this time{excluded}")
}

fn odd_days(report: &Report) -> String {
    if report.odd_days.is_empty() {
        return "every day has 24 hours".to_owned();
    }
    let day = |(date, minutes): &(jiff::civil::Date, i64)| match (minutes / 60, minutes % 60) {
        (hours, 0) => format!("{date} has {hours} hours"),
        (hours, minutes) => format!("{date} has {hours} hours and {minutes} minutes"),
    };
    let days: Vec<_> = report.odd_days.iter().map(day).collect();
    days.join(", ")
}

/// The decimals of percentages in a report.
pub(super) fn decimals(report: &Report) -> usize {
    report.terms.target.map_or(2, Percent::decimals)
}

/// Whether the target is met, by calls and by minutes: `met, 3 to spare`, `missed by 1`.
pub(super) fn verdicts(figures: &Figures, target: Percent) -> Option<[String; 2]> {
    let words = |verdict: super::Verdict| match (verdict.is_met(), verdict.margin()) {
        (true, margin) => format!("met, {margin} to spare"),
        (false, margin) => format!("missed by {margin}"),
    };
    Some([words(figures.by_calls(target)?), words(figures.by_minutes(target)?)])
}

/// The price of a provider's calls in pence; `None` for a provider without a price.
pub(super) fn pence(report: &Report, provider: &str, figures: &Figures) -> Option<u128> {
    let fallback =
        report.terms.fallback.as_ref().filter(|fallback| fallback.provider == provider)?;
    Some(u128::from(fallback.price.pence()) * u128::from(figures.made()))
}

/// An error code. This server logs one with each failure, other programs may not.
pub(super) fn named(code: &str) -> &str {
    if code.is_empty() { "(none)" } else { code }
}

/// A duration: `300 ms`, or `2 s` of whole seconds.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        _ if ms.is_multiple_of(1_000) => format!("{} s", count(ms / 1_000)),
        _ => format!("{} ms", count(ms)),
    }
}

/// A length in minutes: `2 h 05 min`.
pub(super) fn length(minutes: u64) -> String {
    match minutes {
        0..60 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}
