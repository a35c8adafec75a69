//! The command `report`: its flags, and what they ask for.

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::error::ToolError;
use super::log_files::LogFiles;
use super::verify::VerifyArgs;
use crate::domain::Money;
use crate::report::{self, MOST_PERIODS, Method, ReportError, Source, TermArgs, Terms, WrongTerm};
use crate::store::{AuditLog, Location};

/// Shown below the flags.
const EXAMPLES: &str = "Examples:
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
#[command(after_help = EXAMPLES)]
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
    #[arg(long, value_parser = ["hour", "day", "week", "month"], default_value = "month")]
    pub by: String,

    /// The time zone of the periods, and of times without an offset
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,

    /// The format
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,

    /// The agreed availability, such as 99.9%, to say whether it was met, and by how many calls
    /// and minutes
    #[arg(long, value_name = "PERCENT")]
    pub target: Option<String>,

    /// The duration above which a call is slow, such as 2s
    #[arg(long, value_name = "DURATION")]
    pub slow: Option<String>,

    /// A time that is not counted, and its name; may be given again
    #[arg(long, value_name = "FROM/TO=NAME")]
    pub exclude: Vec<String>,

    /// The price of a call to Premium in pounds, such as 0.20
    #[arg(long, value_name = "POUNDS", value_parser = Money::parse_exact)]
    pub fallback_price: Option<Money>,

    /// Read every row instead of the hourly sums, which takes some seconds per million rows
    #[arg(long)]
    pub exact: bool,
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
    /// A page to send or to print, in one file
    Html,
}

impl ReportArgs {
    /// Prints the report, or what the verification of the log has found.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn run(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ToolError> {
        if self.verify.verify.is_some() {
            return self.verify.run(&self.files, environment);
        }
        let terms = self.terms().map_err(ToolError::Terms)?;
        let text = self.report(&terms, &self.files.places(environment)?)?;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// What the report is asked for.
    ///
    /// # Errors
    /// Each flag that can't be read.
    pub fn terms(&self) -> Result<Terms, Vec<WrongTerm>> {
        let given = TermArgs {
            from: self.from.clone(),
            to: self.to.clone(),
            provider: self.provider.clone(),
            by: Some(self.by.clone()),
            time_zone: Some(self.time_zone.clone()),
            target: self.target.clone(),
            slow: self.slow.clone(),
            exclude: self.exclude.clone(),
        };
        given.terms(self.fallback_price, MOST_PERIODS)
    }

    /// The report on the log in these places, the database first, as a text in its format.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn report(&self, terms: &Terms, places: &[Location]) -> Result<String, ReportError> {
        let made = Timestamp::now();
        let mut log = AuditLog::open_files(places)?;
        let snapshot = log.snapshot()?;
        let method = if self.exact { Method::Rows } else { Method::Rollups };
        let report = report::report(&snapshot, terms, method, made)?;
        let names: Vec<_> = places.iter().map(Location::to_string).collect();
        let source = Source { database: names.join(", "), method, made };
        Ok(match self.format {
            Format::Table => report::table(&report, &source),
            Format::Csv => report::csv(&report, &source),
            Format::Json => report::json(&report, &source),
            Format::Html => report::html(&report, &source),
        })
    }
}
