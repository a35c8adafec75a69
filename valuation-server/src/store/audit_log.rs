//! Reads the log of provider calls for a report, next to a running server: nothing is created or changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::{OpenProblem, StoreError};
use super::rollup::{self, DAY, HOUR, UNDATED};
use super::rows::{self, Rows};
use super::{look, open, schema};
use crate::domain::{AccountedCall, DurationBucket, HourCell};

/// The log of provider calls in a database file, for reading.
#[derive(Debug)]
pub struct AuditLog {
    conn: Connection,
    path: PathBuf,
}

/// One state of the log, whatever is written meanwhile.
#[derive(Debug)]
pub struct AuditSnapshot<'a> {
    tx: Transaction<'a>,
    path: &'a Path,
    /// `None`: the file is of a version without rollups, or they can't be used.
    counted_to: Option<i64>,
}

/// The intervals that durations are summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Hours, in UTC.
    Hour,
    /// Days, in UTC.
    Day,
}

impl Interval {
    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

/// Rows of the log.
#[derive(Clone, Copy, Debug)]
pub enum CallRows<'a> {
    /// All that are not in the rollups.
    Uncounted,
    /// Those that are in the rollups, of a provider, from `start` to before `end` in seconds since 1970.
    Counted {
        /// The provider's name.
        provider: &'a str,
        /// The first second.
        start: i64,
        /// The second after the last.
        end: i64,
    },
    /// All of them.
    All,
}

/// How long a read waits for another program's lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// As one more reader, so that a server may start and write during a long report. A log that a killed server
/// left stays where it is, and a file that can't be written, such as one on a read-only disk, is read as it
/// is.
fn connect(path: &Path) -> Result<Connection, OpenProblem> {
    if open::beside(path, "-wal").exists() {
        return look::connect(path);
    }
    open::reader(path, LOCK_WAIT).or_else(|_| look::connect(path))
}

impl AuditLog {
    /// Opens the database of this server at `path`.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what to do.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let path = open::absolute(path)?;
        let opened = || {
            open::look_at_the_path(&path)?;
            if let Err(error) = path.metadata() {
                return Err(OpenProblem::Denied(Arc::new(error)));
            }
            let conn = connect(&path)?;
            match schema::inspect(&conn)? {
                0 => Err(OpenProblem::Foreign("no log of provider calls".to_owned())),
                _ => Ok(conn),
            }
        };
        match opened() {
            Ok(conn) => Ok(Self { conn, path }),
            Err(problem) => Err(StoreError::Open { path, problem }),
        }
    }

    /// The log as it is now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn snapshot(&mut self) -> Result<AuditSnapshot<'_>, StoreError> {
        let Self { conn, path } = self;
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(StoreError::unavailable)?;
        let has_rollups = tx
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'rollup_mark'", [], |row| {
                row.get::<_, bool>(0)
            })
            .map_err(StoreError::unavailable)?;
        let counted_to = if has_rollups {
            rollup::counted_to(&tx).map_err(StoreError::unavailable)?
        } else {
            None
        };
        Ok(AuditSnapshot { tx, path, counted_to })
    }
}

impl AuditSnapshot<'_> {
    pub(super) fn conn(&self) -> &Connection {
        &self.tx
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path
    }

    /// The sums of the hours from `start` to before `end`, in seconds since 1970, in the order of time, as
    /// far as rows are [counted](CallRows::Counted).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if they can't be read.
    pub fn hours(
        &self,
        start: i64,
        end: i64,
        each: impl FnMut(HourCell<'_>),
    ) -> Result<(), StoreError> {
        self.cells((start.max(0), end), each)
    }

    /// The sums of the calls whose time can't be read.
    ///
    /// # Errors
    /// As [`hours`](Self::hours).
    pub fn undated(&self, each: impl FnMut(HourCell<'_>)) -> Result<(), StoreError> {
        self.cells((UNDATED, UNDATED + 1), each)
    }

    fn cells(&self, range: (i64, i64), each: impl FnMut(HourCell<'_>)) -> Result<(), StoreError> {
        if self.counted_to.is_none() {
            return Ok(());
        }
        rollup::hours(&self.tx, range, each).map_err(StoreError::unavailable)
    }

    /// How many calls with an outcome other than ignored took how long, per provider, in the intervals
    /// that begin from `start` to before `end`. The same provider and bucket may come more than once.
    ///
    /// # Errors
    /// As [`hours`](Self::hours).
    pub fn durations(
        &self,
        interval: Interval,
        start: i64,
        end: i64,
        each: impl FnMut(&str, DurationBucket, u64),
    ) -> Result<(), StoreError> {
        if self.counted_to.is_none() {
            return Ok(());
        }
        rollup::durations(&self.tx, interval.seconds(), (start, end), each)
            .map_err(StoreError::unavailable)
    }

    /// Each of these rows, in no particular order, in constant memory.
    ///
    /// # Errors
    /// As [`hours`](Self::hours).
    pub fn rows(
        &self,
        rows: CallRows<'_>,
        each: impl FnMut(AccountedCall<'_>),
    ) -> Result<(), StoreError> {
        let counted_to = self.counted_to.unwrap_or(0);
        let rows = match rows {
            // Ids begin with 1.
            CallRows::All => Rows::All { after: 0 },
            CallRows::Uncounted => Rows::All { after: counted_to },
            CallRows::Counted { provider, start, end } => {
                Rows::During { provider, start, end, up_to: counted_to }
            }
        };
        rows::each(&self.tx, &rows, each).map_err(StoreError::unavailable)?;
        Ok(())
    }
}
