//! The report about a service level agreement: how available and how fast each provider was.
//!
//! The accounting stands here, and knows no SQL, no command line and no format. [`report`] makes the same
//! [`Report`] from the sums that the server keeps and from the rows.
//!
//! | term | definition |
//! |---|---|
//! | call | a row of `ProviderLogs` with the outcome success or failure, rescues included; a row from before that column is [judged by its codes](crate::domain::row_outcome) |
//! | ignored call | says nothing about the provider (given up by us, or our own fault); in no figure but the price |
//! | availability per call | calls that succeeded, of all calls |
//! | available minute | a minute with calls, at least one of which succeeded; a call is in the minute in which it started |
//! | availability per minute | available minutes, of the minutes with calls |
//! | outage | [from an unavailable minute to the first later minute in which a call succeeded](Outage); after more than an hour without calls its end is unknown |
//! | period | of the clock in the named time zone; an outage is counted in the one in which it began |
//! | no calls | no data, never 100 % |

mod charts;
mod csv;
mod figures;
mod gather;
mod html;
mod json;
mod outages;
mod percent;
mod periods;
mod table;
mod tally;
mod term_args;
mod terms;
mod times;
mod words;

pub use csv::csv;
pub use figures::{Durations, Figures, Verdict};
pub use gather::{Method, ReportError, report};
pub use html::{article, html};
pub use json::json;
pub use outages::Outage;
pub use percent::{Percent, PercentError, Share};
pub use periods::{By, MOST_PERIODS, Period};
pub use table::table;
pub use term_args::{NoProvider, TermArgs, WrongTerm, provider};
pub use terms::{Excluded, Fallback, Slow, Terms};
pub use times::{PeriodError, minute, shown, time, zone};
pub use words::{NO_DATA, Source, accounting};

/// What the log says about the providers. Times are minutes since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was asked for.
    pub terms: Terms,
    /// Its first minute.
    pub from: i64,
    /// The minute after its last.
    pub to: i64,
    /// Its periods, in order, without gaps.
    pub periods: Vec<Period>,
    /// Its days that do not have 24 hours, and their lengths in minutes.
    pub odd_days: Vec<(jiff::civil::Date, i64)>,
    /// The lowest and the highest id of the rows in it, ignored calls included; `None` without rows.
    pub ids: Option<(i64, i64)>,
    /// Rows of the whole log that are in no report, since their time can't be read.
    pub undated: u64,
    /// Ranges of ids, from the first to the last, of rows that are in no given file and so in no figure.
    pub gaps: Vec<(i64, i64)>,
    /// Calls that are in no figure, since the rows of divided hours are in no given file.
    pub unread: Option<Unread>,
    /// Calls of a time to come, up to which a report without a given end does not reach.
    pub later: Option<Later>,
    /// By name. A provider without a row in the report is not among them.
    pub providers: Vec<ProviderReport>,
}

/// Calls that the sums have, and of which rows are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// How many; some of them may be outside of the report, or excluded.
    pub calls: u64,
    /// The lowest and the highest id of the hours in which they are.
    pub ids: (i64, i64),
}

/// Calls of a clock that was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later {
    /// How many.
    pub calls: u64,
    /// The minute since 1970 from which on they are.
    pub from: i64,
}

/// What the log says about a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderReport {
    /// Its name, as logged.
    pub name: String,
    /// The whole time.
    pub total: Figures,
    /// Each period of the report.
    pub periods: Vec<Figures>,
    /// In the order of time.
    pub outages: Vec<Outage>,
}
