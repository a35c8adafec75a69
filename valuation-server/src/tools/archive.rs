//! The command `archive`: its flags, and its work.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Instant, SystemTime};

use clap::Args;

use super::error::{GOES_ON, ToolError, is_stopped};
use super::log_files::DatabaseArgs;
use super::progress::progress;
use crate::report;
use crate::store::{ArchiveError, ArchivePlan, Archiver, StopReason, archive_plan, pause_after};

/// Shown below the flags.
const EXAMPLES: &str = "Examples:
  What would be moved?
    valuation-server archive --before 2026-01 --to 2025.sqlite --dry-run

  Move it, and check the file:
    valuation-server archive --before 2026-01 --to 2025.sqlite
    sha256sum --check 2025.sqlite.sha256

  Report over both files:
    valuation-server report --archive 2025.sqlite --from 2025-07 --to 2026-07";

/// The flags of `archive`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
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

impl ArchiveArgs {
    /// The date in seconds since 1970.
    ///
    /// # Errors
    /// [`ToolError`].
    pub fn before(&self, now: SystemTime) -> Result<i64, ToolError> {
        let zone = report::zone(&self.time_zone)?;
        let before = report::minute(&self.before, &zone)?.saturating_mul(60);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if u64::try_from(before).is_ok_and(|before| before > now) {
            return Err(ToolError::Future(self.before.clone()));
        }
        Ok(before)
    }

    /// Moves the rows before the date, until `stopped` is set.
    ///
    /// # Errors
    /// [`ToolError`]. No row is lost, and the same command goes on.
    pub fn run(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stopped: &AtomicBool,
    ) -> Result<(), ToolError> {
        let now = SystemTime::now();
        let before = self.before(now)?;
        let database = self.database.place(environment)?;
        let mut out = io::stdout().lock();
        let plan = archive_plan(&database, &self.to, before)?;
        if self.dry_run {
            match plan.ids {
                Some((first, last)) => {
                    writeln!(out, "would move {} rows, ids {first} to {last}", plan.rows)?;
                }
                None => writeln!(out, "would move nothing")?,
            }
            writeln!(out, "{}", rest(&plan))?;
            return Ok(());
        }
        if plan.is_done {
            writeln!(out, "nothing to move")?;
            writeln!(out, "{}", rest(&plan))?;
            return Ok(());
        }
        let mut archiver = Archiver::open(&database, &self.to, &plan, now)?;
        let (moved, is_whole) = moved(&mut archiver, plan.rows, stopped)?;
        writeln!(out, "moved {moved} rows of {}", plan.rows)?;
        writeln!(out, "{}", rest(&plan))?;
        if !is_whole {
            return Err(GOES_ON);
        }
        if let Some(archive) = archiver.finish()? {
            let (first, last) = archive.ids;
            let to = self.to.display();
            writeln!(out, "{to} has {} rows, ids {first} to {last}", archive.rows)?;
            writeln!(out, "head of the hash chain: {last}-{}", archive.head)?;
            writeln!(out, "SHA-256: {} (in {})", archive.sha256, archive.checksum_file.display())?;
        }
        Ok(())
    }
}

/// Moves piece by piece, with pauses in which a server writes.
fn moved(
    archiver: &mut Archiver,
    rows: u64,
    stopped: &AtomicBool,
) -> Result<(u64, bool), ArchiveError> {
    let bar = progress(rows, "archiving");
    let mut moved = 0;
    while !is_stopped(stopped) {
        let Some(piece) = archiver.copy()? else {
            bar.finish_and_clear();
            return Ok((moved, true));
        };
        let locked = Instant::now();
        let deleted = archiver.delete(piece)?;
        moved += deleted;
        bar.inc(deleted);
        thread::sleep(pause_after(locked.elapsed()));
    }
    bar.abandon();
    Ok((moved, false))
}

/// Why no more rows are moved.
fn rest(plan: &ArchivePlan) -> String {
    match &plan.stop_reason {
        StopReason::Recent { id, requested_at } => {
            let stay = match plan.ids {
                Some((_, last)) => format!("rows from id {} on stay", last + 1),
                None => "all rows stay".to_owned(),
            };
            format!(
                "{stay}: {id} is of {requested_at}, and what is before it, if anything, is in the same record \
                of the hash chain"
            )
        }
        StopReason::Newest => {
            "the rows of the newest record of the hash chain stay: the chain goes on from \
            it; the next run moves them"
                .to_owned()
        }
        StopReason::Uncounted(id) => format!(
            "rows from id {id} on stay: they are not in the rollups yet; a running server adds them \
            within a minute"
        ),
        StopReason::Unsealed(id) => format!(
            "rows from id {id} on stay: the hash chain does not cover them yet; a running server adds \
            them within a minute"
        ),
        StopReason::NoMark => {
            "all rows stay: the rollups have no mark (rollup_mark is empty), so nothing says \
            which rows are in them; build them again as docs/database.md says"
                .to_owned()
        }
    }
}
