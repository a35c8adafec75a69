//! The command `report`: its flags, and what they ask for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{LogFiles, VerifyArgs};
use crate::domain::{Money, Provider};
use crate::report::{
    self, By, Excluded, Fallback, Method, Percent, PeriodError, ReportError, Slow, Source, Terms,
};
use crate::store::AuditLog;

/// Shown below the flags.
pub(super) const EXAMPLES: &str = "Examples:
  Was SuperCar within 99.9 % in October?
    valuation-server report --provider SuperCar --from 2026-10 --to 2026-11 \\
      --time-zone Europe/London --target 99.9%

  The year by months, without the planned maintenance, as a file:
    valuation-server report --from 2026-01 --to 2027-01 --format csv \\
      --exclude '2026-05-03T01:00/2026-05-03T03:00=planned maintenance' > 2026.csv

  Are the rows as they were logged? With heads that the provider has seen:
    valuation-server report --verify --witness @heads.txt";

/// The flags of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// What it is made from.
    #[command(flatten)]
    pub files: LogFiles,

    /// Whether the log is verified instead.
    #[command(flatten)]
    pub verify: VerifyArgs,

    /// The start: a month 2026-10, a day 2026-10-25, a minute 2026-10-25T01:30, a minute with its offset
    /// 2026-10-25T01:30+01:00 [default: the period of the first call]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,

    /// The end, which is not part of the report [default: the end of the period of the last call]
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,

    /// Only this provider: its name, or the beginning of it [default: all]
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// The length of the periods
    #[arg(long, value_enum, default_value = "month")]
    pub by: Length,

    /// The time zone of the periods, and of times without an offset
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,

    /// The format
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,

    /// The agreed availability, to say whether it was met, and by how many calls and minutes
    #[arg(long, value_name = "PERCENT")]
    pub target: Option<Percent>,

    /// The duration above which a call is slow, such as 2s
    #[arg(long, value_name = "DURATION", value_parser = slow)]
    pub slow: Option<Slow>,

    /// A time that is not counted, and its name; may be given again
    #[arg(long, value_name = "FROM/TO=NAME")]
    pub exclude: Vec<String>,

    /// The price of a call to Premium in pounds, such as 0.20
    #[arg(long, value_name = "POUNDS", value_parser = Money::parse)]
    pub fallback_price: Option<Money>,

    /// Read every row instead of the hourly sums, which takes some seconds per million rows
    #[arg(long)]
    pub exact: bool,
}

/// How long the periods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Length {
    /// An hour of the clock
    Hour,
    /// From midnight to midnight
    Day,
    /// From Monday to Sunday
    Week,
    /// A month of the calendar
    Month,
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text, for a terminal
    Table,
    /// Comma-separated values; the accounting before them, in lines that begin with #
    Csv,
    /// JSON
    Json,
}

/// Why a report's flags make no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportArgsError {
    /// A time or the time zone.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// An excluded time.
    #[error(
        "--exclude {0}: write FROM/TO=NAME, such as 2026-05-03T01:00/2026-05-03T03:00=maintenance"
    )]
    Exclude(String),
    /// An excluded time that is none.
    #[error("--exclude {0}: its end is not after its start")]
    Backwards(String),
}

impl ReportArgs {
    /// What the report is asked for.
    ///
    /// # Errors
    /// [`ReportArgsError`].
    pub fn terms(&self) -> Result<Terms, ReportArgsError> {
        let zone = report::zone(&self.time_zone)?;
        let time = |text: &String| report::minute(text, &zone);
        let excluded = |given: &String| {
            let wrong = || ReportArgsError::Exclude(given.clone());
            let (range, name) = given.split_once('=').ok_or_else(wrong)?;
            let (start, end) = range.split_once('/').ok_or_else(wrong)?;
            if name.trim().is_empty() {
                return Err(wrong());
            }
            let (start, end) = (report::minute(start, &zone)?, report::minute(end, &zone)?);
            if start >= end {
                return Err(ReportArgsError::Backwards(given.clone()));
            }
            Ok(Excluded { start, end, name: name.trim().to_owned() })
        };
        let fallback = |price| Fallback { provider: Provider::Premium.name().to_owned(), price };
        Ok(Terms {
            by: match self.by {
                Length::Hour => By::Hour,
                Length::Day => By::Day,
                Length::Week => By::Week,
                Length::Month => By::Month,
            },
            from: self.from.as_ref().map(time).transpose()?,
            to: self.to.as_ref().map(time).transpose()?,
            provider: self.provider.as_deref().map(provider),
            target: self.target,
            slow: self.slow,
            excluded: self.exclude.iter().map(excluded).collect::<Result<_, ReportArgsError>>()?,
            fallback: self.fallback_price.map(fallback),
            zone,
        })
    }

    /// The report on the log in these files, the database first, as a text in its format.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn report(&self, terms: &Terms, paths: &[PathBuf]) -> Result<String, ReportError> {
        let mut log = AuditLog::open_files(paths)?;
        let snapshot = log.snapshot()?;
        let method = if self.exact { Method::Rows } else { Method::Rollups };
        let report = report::report(&snapshot, terms, method)?;
        let files: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let source = Source { database: files.join(", "), method };
        Ok(match self.format {
            Format::Table => report::table(&report, &source),
            Format::Csv => report::csv(&report, &source),
            Format::Json => report::json(&report, &source),
        })
    }
}

/// A known provider by the beginning of its name, or the name as it is given: the log may have others.
pub(super) fn provider(given: &str) -> String {
    let begins = |provider: &Provider| {
        provider.name().get(..given.len()).is_some_and(|start| start.eq_ignore_ascii_case(given))
    };
    match Provider::ALL.into_iter().find(|provider| !given.is_empty() && begins(provider)) {
        Some(provider) => provider.name().to_owned(),
        None => given.to_owned(),
    }
}

fn slow(text: &str) -> Result<Slow, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let asked_ms = u64::try_from(duration.as_millis()).map_err(|error| error.to_string())?;
    Ok(Slow { asked_ms })
}
