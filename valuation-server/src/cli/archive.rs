//! The command `archive`: its flags, and its work.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;

use super::DatabaseArgs;
use crate::config::ConfigError;
use crate::report::{self, PeriodError};
use crate::store::{ArchiveError, ArchivePlan, Archiver, Rest, archive_plan};

/// Shown below the flags.
pub(super) const EXAMPLES: &str = "Examples:
  What would be moved?
    valuation-server archive --before 2026-01 --to 2025.sqlite --dry-run

  Move it, and check the file:
    valuation-server archive --before 2026-01 --to 2025.sqlite
    sha256sum --check 2025.sqlite.sha256

  Report over both files:
    valuation-server report --archive 2025.sqlite --from 2025-07 --to 2026-07";

/// The flags of `archive`.
#[derive(Args, Clone, Debug)]
pub struct ArchiveArgs {
    /// Move the rows of calls before this time: a month 2026-10, a day 2026-10-25, a minute
    /// 2026-10-25T01:30, a minute with its offset 2026-10-25T01:30+01:00
    #[arg(long, value_name = "DATE")]
    pub before: String,

    /// The archive, which is created, or continued if it has the rows before
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,

    /// Where the rows are.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The time zone of a date without an offset
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,

    /// Say what would be moved, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Why the flags of `archive` make no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveArgsError {
    /// The date or the time zone.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// A date to come.
    #[error(
        "--before {0} is in the future: newer rows would be moved than was meant; name an earlier date"
    )]
    Future(String),
}

/// Why archiving failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveRunError {
    /// The configuration that names the database is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Of the files.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Of stdout.
    #[error("the result cannot be printed: {0}")]
    Print(#[from] io::Error),
}

impl ArchiveArgs {
    /// The date in seconds since 1970.
    ///
    /// # Errors
    /// [`ArchiveArgsError`].
    pub fn before(&self, now: SystemTime) -> Result<i64, ArchiveArgsError> {
        let zone = report::zone(&self.time_zone)?;
        let before = report::minute(&self.before, &zone)?.saturating_mul(60);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if u64::try_from(before).is_ok_and(|before| before > now) {
            return Err(ArchiveArgsError::Future(self.before.clone()));
        }
        Ok(before)
    }

    /// Moves the rows before a date in seconds since 1970, until `stopped` is set, and says whether all were moved. Blocks.
    ///
    /// # Errors
    /// [`ArchiveRunError`]. No row is lost, and the same command goes on.
    pub fn run(
        &self,
        (before, now): (i64, SystemTime),
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stopped: &AtomicBool,
        out: &mut impl Write,
    ) -> Result<bool, ArchiveRunError> {
        let database = self.database.path(environment)?;
        let plan = archive_plan(&database, &self.to, before)?;
        if self.dry_run {
            match plan.ids {
                Some((first, last)) => {
                    writeln!(out, "would move {} rows, ids {first} to {last}", plan.rows)?;
                }
                None => writeln!(out, "would move nothing")?,
            }
            writeln!(out, "{}", rest(&plan))?;
            return Ok(true);
        }
        if plan.is_done {
            writeln!(out, "nothing to move")?;
            writeln!(out, "{}", rest(&plan))?;
            return Ok(true);
        }
        let mut archiver = Archiver::open(&database, &self.to, &plan, now)?;
        let (moved, is_whole) = moved(&mut archiver, plan.rows, stopped)?;
        writeln!(out, "moved {moved} rows of {}", plan.rows)?;
        writeln!(out, "{}", rest(&plan))?;
        if !is_whole {
            writeln!(out, "stopped; the same command goes on")?;
            return Ok(false);
        }
        if let Some(archive) = archiver.finish()? {
            let (first, last) = archive.ids;
            let to = self.to.display();
            writeln!(out, "{to} has {} rows, ids {first} to {last}", archive.rows)?;
            writeln!(out, "head of the hash chain: {last}-{}", archive.head)?;
            writeln!(out, "SHA-256: {} (in {})", archive.sha256, archive.checksum_file.display())?;
        }
        Ok(true)
    }
}

/// Moves piece by piece, with pauses in which a server writes.
fn moved(
    archiver: &mut Archiver,
    rows: u64,
    stopped: &AtomicBool,
) -> Result<(u64, bool), ArchiveError> {
    let bar = super::progress(rows, "archiving");
    let mut moved = 0;
    // Ordering: nothing else is published by it.
    while !stopped.load(Ordering::Relaxed) {
        let Some(piece) = archiver.copy()? else {
            bar.finish_and_clear();
            return Ok((moved, true));
        };
        let locked = Instant::now();
        let deleted = archiver.delete(piece)?;
        moved += deleted;
        bar.inc(deleted);
        // SQLite's locks have no queue: a server that waits tries again after some milliseconds.
        thread::sleep(locked.elapsed().max(LEAST_PAUSE));
    }
    bar.abandon();
    Ok((moved, false))
}

/// The least pause between two pieces.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

/// Why no more rows are moved.
fn rest(plan: &ArchivePlan) -> String {
    match &plan.rest {
        Rest::Recent { id, requested_at } => {
            let stays = plan.ids.map_or(1, |(_, last)| last + 1);
            if stays < *id {
                format!(
                    "rows from id {stays} on stay: {id} is of {requested_at}, and those before it are in \
                    the same record of the hash chain"
                )
            } else {
                format!("rows from id {id} on stay: it is of {requested_at}")
            }
        }
        Rest::Newest => {
            "the rows of the newest record of the hash chain stay: the chain goes on from \
            it; the next run moves them"
                .to_owned()
        }
        Rest::Uncounted(id) => format!(
            "rows from id {id} on stay: they are not in the rollups yet; a running server adds them \
            within a minute"
        ),
        Rest::Unsealed(id) => format!(
            "rows from id {id} on stay: the hash chain does not cover them yet; a running server adds \
            them within a minute"
        ),
        Rest::NoMark => {
            "all rows stay: the rollups have no mark (rollup_mark is empty), so nothing says \
            which rows are in them; build them again as docs/database.md says"
                .to_owned()
        }
    }
}
