//! The command `backup`: a verified copy of the database, next to a running server.

use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::slice;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::error::{ToolError, is_stopped};
use super::log_files::DatabaseArgs;
use super::part_file::PartFile;
use super::progress::progress;
use crate::store;

/// Shown below the flags.
const EXAMPLES: &str = "Examples:
  A copy with the date in its name, as from cron:
    valuation-server backup /backups/valuations-$(date +%F).sqlite

To restore it: stop the server, remove valuations.sqlite-wal and valuations.sqlite-shm, copy the
backup to valuations.sqlite, start the server.";

/// The flags of `backup`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BackupArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    pub target: PathBuf,

    /// What is copied.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

impl BackupArgs {
    /// Copies the database, verifies the copy, and prints what it has.
    ///
    /// # Errors
    /// [`ToolError`]. Then there is no copy, or the one from before.
    pub fn run(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        stopped: &AtomicBool,
    ) -> Result<(), ToolError> {
        let source = self.database.file("backup", environment)?;
        let file = PartFile::create(&self.target, self.force, slice::from_ref(&source))?;
        let bar = progress(0, "copying pages");
        let copied = store::backup(&source, file.part(), |done, all| {
            bar.set_length(all);
            bar.set_position(done);
            if is_stopped(stopped) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        bar.finish_and_clear();
        file.finish()?;
        let tables: Vec<_> =
            copied.tables.iter().map(|(name, rows)| format!("{name} {rows}")).collect();
        writeln!(
            io::stdout(),
            "{}: {} bytes, schema version {}; integrity_check: ok; rows as in the database: {}",
            self.target.display(),
            copied.bytes,
            copied.version,
            tables.join(", "),
        )?;
        Ok(())
    }
}
