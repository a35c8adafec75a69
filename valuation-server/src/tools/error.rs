//! Why a command on the log ended without its result.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::part_file::PartFileError;
use crate::config::ConfigError;
use crate::domain::LogHeadError;
use crate::report::{NoProvider, PeriodError, ReportError, WrongTerm};
use crate::store::{ArchiveError, BackupError, Location, MigrateError, StoreError};

/// Why a command on the log ended without its result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The configuration that names the database is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A time or a time zone is wrong.
    #[error(transparent)]
    Time(#[from] PeriodError),
    /// Flags of a report are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Terms(Vec<WrongTerm>),
    /// What should be a head of the chain is none.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The database is one of PostgreSQL, which has tools of its own for that.
    #[error(
        "{command} is for a file of SQLite, and {place} is a database of PostgreSQL; for a copy of it use pg_dump, \
         for one of the whole server pg_basebackup"
    )]
    NotAFile {
        /// The command.
        command: &'static str,
        /// The database.
        place: Location,
    },
    /// A date to come.
    #[error(
        "--before {0} is in the future: newer rows would be moved than was meant; name an earlier date"
    )]
    Future(String),

    /// The log can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no report.
    #[error(transparent)]
    Report(ReportError),
    /// Rows can't be archived. None is lost, and the same command goes on.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A database is not moved.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// What was moved is not the same in both databases. What was found is printed.
    #[error("the databases are not the same")]
    Unequal,
    /// The output file can't be written.
    #[error(transparent)]
    File(#[from] PartFileError),
    /// The standard output can't be written.
    #[error("the output cannot be written: {0}")]
    Print(#[from] io::Error),
    /// The log has calls, but none of this provider.
    #[error("{0}")]
    NoProvider(NoProvider),
    /// Somebody deleted the mark, without which nothing says which rows are counted.
    #[error(
        "the table rollup_mark of {0} is empty, so nothing says which rows are counted; to build the rollups \
         again, run: DELETE FROM call_hours; DELETE FROM call_durations; INSERT INTO rollup_mark VALUES (1, 0)"
    )]
    NoMark(Location),

    /// The log was changed after it was sealed. What was found is printed.
    #[error("the log is not as it was sealed")]
    Altered,
    /// A signal stopped it.
    #[error("interrupted: {0}")]
    Interrupted(&'static str),
}

/// Why `--witness` makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// There is none, so that nothing would be compared.
    #[error(
        "--witness: there is no head in what was given; was --anchor-log on, and is it the right column?"
    )]
    Empty,
    /// A text.
    #[error("--witness: {0}")]
    Head(#[from] LogHeadError),
    /// A line of a file.
    #[error("--witness {file}, line {line}: {source}")]
    Line {
        /// The file.
        file: String,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: LogHeadError,
    },
    /// The file can't be read.
    #[error("--witness {0}: {1}; name a text file with one head per line")]
    File(String, io::Error),
}

impl From<ReportError> for ToolError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Store(error) => Self::Store(error),
            ReportError::Period(error) => Self::Time(error),
            error => Self::Report(error),
        }
    }
}

impl ToolError {
    /// Whether the command line or a setting is wrong.
    #[must_use]
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Time(_)
                | Self::Terms(_)
                | Self::Witness(_)
                | Self::NotAFile { .. }
                | Self::Future(_)
                | Self::Migrate(MigrateError::TwoFiles | MigrateError::Same(_))
        )
    }

    /// Whether a signal stopped it.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(
            self,
            Self::Interrupted(_)
                | Self::Backup(BackupError::Stopped)
                | Self::Migrate(MigrateError::Stopped)
        )
    }

    /// Whether the reader of the output, such as `head`, has seen enough.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// What a stopped command leaves that goes on where it was.
pub(super) const GOES_ON: ToolError =
    ToolError::Interrupted("what is done stays done; the same command goes on");
/// What a stopped command leaves that has written a part of its output.
pub(super) const INCOMPLETE: ToolError = ToolError::Interrupted("the output is not complete");

/// Whether a signal to stop has arrived.
pub(super) fn is_stopped(stopped: &AtomicBool) -> bool {
    // Ordering: nothing else is read by it.
    stopped.load(Ordering::Relaxed)
}
