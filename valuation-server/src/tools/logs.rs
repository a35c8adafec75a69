//! The command `logs`: the trail of provider calls, for people and programs.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::call_args::{self, CallArgs};
use super::error::{INCOMPLETE, ToolError, is_stopped};
use super::lines::{Lines, write, write_header};
use super::log_files::LogFiles;

use crate::domain::Vrm;
use crate::report::PeriodError;
use crate::store::{Location, StoreError, Trail, TrailFilter};

/// Shown below the flags.
const EXAMPLES: &str = "Examples:
  What is happening now, as it happens:
    valuation-server logs --follow

  The failed calls of the last hour:
    valuation-server logs --since 1h --failed

  All calls for a vehicle, as JSON for jq:
    valuation-server logs --vrm AB12CDE --last 1000 --format jsonl | jq .errorCode";

/// How many rows are shown if nothing says how many.
const LAST: usize = 50;

/// How often new rows are looked for.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The flags of `logs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LogsArgs {
    /// What is read.
    #[command(flatten)]
    pub files: LogFiles,

    /// Only calls for this vehicle, exactly as it was asked for
    #[arg(long, value_name = "VRM", value_parser = Vrm::parse)]
    pub vrm: Option<Vrm>,

    /// Which calls.
    #[command(flatten)]
    pub calls: CallArgs,

    /// Only calls of this time before now, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "from")]
    pub since: Option<Duration>,

    /// Only calls with the outcome failure
    #[arg(long)]
    pub failed: bool,

    /// Only the newest so many [default: 50; all if a time is given]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub last: Option<u32>,

    /// Go on with new calls as they are committed, until Ctrl-C
    #[arg(long, short, conflicts_with = "to")]
    pub follow: bool,

    /// The format
    #[arg(long, value_enum, default_value = "table")]
    pub format: LogsFormat,
}

/// The format of `logs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogsFormat {
    /// Text, for a terminal
    Table,
    /// A JSON object a line, with the names of the columns
    Jsonl,
}

impl LogsArgs {
    /// Prints the rows, and follows the log until `stopped` if that is asked for.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn run(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stopped: &AtomicBool,
    ) -> Result<(), ToolError> {
        let places = self.files.places(environment)?;
        let filter = self.filter(Timestamp::now())?;
        let lines = match self.format {
            LogsFormat::Table => {
                let colours = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
                Lines::Table { colours }
            }
            LogsFormat::Jsonl => Lines::Jsonl,
        };
        let mut out = BufWriter::new(io::stdout().lock());
        let trail = call_args::open(&places, &filter)?;
        let newest = trail.newest_id()?.unwrap_or(0);
        write_header(&mut out, lines)?;
        let shown = self.print(&trail, &filter, lines, &mut out, stopped)?;
        out.flush()?;
        if self.follow {
            let seen = newest.max(shown);
            Follow { places, filter, lines, seen }.run(trail, &mut out, stopped)?;
        }
        Ok(())
    }

    fn filter(&self, now: Timestamp) -> Result<TrailFilter, PeriodError> {
        let ago = |since: Duration| now.checked_sub(since).unwrap_or(Timestamp::UNIX_EPOCH);
        let filter = self.calls.filter()?;
        Ok(TrailFilter {
            vrm: self.vrm.as_ref().map(|vrm| vrm.as_str().to_owned()),
            from: filter.from.or(self.since.map(ago)),
            failed: self.failed,
            ..filter
        })
    }

    /// Prints the rows that there are, and gives the id of the last one.
    fn print(
        &self,
        trail: &Trail,
        filter: &TrailFilter,
        lines: Lines,
        out: &mut impl Write,
        stopped: &AtomicBool,
    ) -> Result<i64, ToolError> {
        let has_time = filter.from.is_some() || filter.to.is_some();
        let last = match self.last {
            Some(last) => Some(usize::try_from(last).unwrap_or(usize::MAX)),
            None => (!has_time).then_some(LAST),
        };
        let mut shown = 0;
        if let Some(last) = last {
            let calls = trail.newest(filter, last)?;
            write(out, lines, &calls)?;
            shown = calls.last().map_or(0, |call| call.id);
        } else {
            for calls in trail.pieces(filter)? {
                let calls = calls?;
                if is_stopped(stopped) {
                    return Err(INCOMPLETE);
                }
                write(out, lines, &calls)?;
                shown = calls.last().map_or(shown, |call| call.id);
            }
        }
        Ok(shown)
    }
}

/// Prints rows as they are committed: ids are given in the order of the commits.
struct Follow {
    places: Vec<Location>,
    filter: TrailFilter,
    lines: Lines,
    /// All rows up to this id were printed.
    seen: i64,
}

impl Follow {
    fn run(
        mut self,
        trail: Trail,
        out: &mut impl Write,
        stopped: &AtomicBool,
    ) -> Result<(), ToolError> {
        let mut trail = trail;
        trail.limit_waits();
        let mut open = Some(trail);
        let mut version = None;
        let mut is_troubled = false;
        while !is_stopped(stopped) && has_reader() {
            match self.poll(&mut open, &mut version, out) {
                Ok(()) => is_troubled = false,
                // A restart or a restored backup: the file may be back at the next look.
                Err(ToolError::Store(error)) => {
                    if !is_troubled {
                        let _ = writeln!(io::stderr(), "waiting: {error}");
                    }
                    (open, is_troubled) = (None, true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn poll(
        &mut self,
        open: &mut Option<Trail>,
        version: &mut Option<i64>,
        out: &mut impl Write,
    ) -> Result<(), ToolError> {
        let trail = match open.take().filter(Trail::is_current) {
            Some(trail) => trail,
            None => {
                *version = None;
                self.opened_again()?
            }
        };
        // Before the rows: a commit after it is seen at the next look.
        let now = trail.version()?;
        if *version != Some(now) {
            self.print(&trail, out)?;
            *version = Some(now);
        }
        *open = Some(trail);
        Ok(())
    }

    fn opened_again(&mut self) -> Result<Trail, StoreError> {
        let mut trail = Trail::open(&self.places)?;
        trail.limit_waits();
        let newest = trail.newest_id()?.unwrap_or(0);
        if newest < self.seen {
            let seen = self.seen;
            let _ = writeln!(
                io::stderr(),
                "the log ends with id {newest} and not {seen}: it was replaced, as by a backup"
            );
            self.seen = newest;
        }
        Ok(trail)
    }

    fn print(&mut self, trail: &Trail, out: &mut impl Write) -> Result<(), ToolError> {
        let pieces = trail.pieces_after(&self.filter, self.seen)?;
        let up_to = pieces.up_to();
        for calls in pieces {
            let calls = calls?;
            write(out, self.lines, &calls)?;
            // At once: an error in the next piece must not print this one again.
            self.seen = calls.last().map_or(self.seen, |call| call.id);
        }
        self.seen = up_to.max(self.seen);
        Ok(out.flush()?)
    }
}

/// Waits until the next look, and says whether somebody still reads the standard output. A signal ends the wait.
fn has_reader() -> bool {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    match poll(&mut watched, Some(&POLL)) {
        Ok(_) => !watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
        Err(_) => true,
    }
}
