//! What `logs`, `export` and `backup` have in common: their errors, and output in pieces.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::ConfigError;
use crate::report::PeriodError;
use crate::store::{BackupError, LoggedCall, StoreError};

use super::lines::Lines;
use super::part_file::PartFileError;

/// Why a command on the log failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogToolError {
    /// The configuration that names the database is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A time is wrong.
    #[error(transparent)]
    Time(#[from] PeriodError),
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output file can't be written.
    #[error(transparent)]
    File(#[from] PartFileError),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The standard output can't be written.
    #[error("the output cannot be written: {0}")]
    Print(#[from] io::Error),
    /// A signal stopped it.
    #[error("interrupted: the output is not complete")]
    Interrupted,
}

impl LogToolError {
    /// Whether the command line or a setting is wrong.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Time(_))
    }

    /// Whether a signal stopped it.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Backup(BackupError::Stopped))
    }

    /// Whether the reader of the output, such as `head`, has seen enough.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Whether a signal to stop has arrived.
pub(super) fn is_stopped(stopped: &AtomicBool) -> bool {
    // Ordering: nothing else is read by it.
    stopped.load(Ordering::Relaxed)
}

/// Writes rows.
pub(super) fn write(out: &mut impl Write, lines: Lines, calls: &[LoggedCall]) -> io::Result<()> {
    let mut text = String::new();
    for call in calls {
        lines.row(&mut text, call).map_err(io::Error::other)?;
    }
    out.write_all(text.as_bytes())
}

/// Writes what is before the first row.
pub(super) fn write_header(out: &mut impl Write, lines: Lines) -> io::Result<()> {
    let mut text = String::new();
    lines.header(&mut text).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}
