//! Reads the log of provider calls for a report, next to a running server: nothing is created or changed.
//!
//! The log may be in several files: the database, and archives of its older rows. Each id is read from one
//! of them.

use std::path::{Path, PathBuf};

use rusqlite::InterruptHandle;

use super::audit_file::{AuditFile, FileSnapshot};
use super::error::StoreError;
use super::id_ranges::{self, Ids};
use super::rollup::{self, DAY, HOUR, UNDATED};
use super::rows::{self, Rows};
use super::sqlite::schema;
use crate::domain::{AccountedCall, DurationBucket, HourCell};

/// The log of provider calls in a database file and its archives, for reading.
#[derive(Debug)]
pub struct AuditLog {
    /// The database first.
    files: Vec<AuditFile>,
}

/// One state of the log, whatever is written meanwhile.
#[derive(Debug)]
pub struct AuditSnapshot<'a> {
    files: Vec<FileSnapshot<'a>>,
    /// The ids that each file is read for: none is read twice.
    owned: Vec<Ids>,
    /// Those in the database's rollups. `None`: it is of a version without them, or they can't be used.
    counted: Option<Ids>,
}

/// Ends a read of an [`AuditLog`], from another thread: what it reads now fails.
pub struct Interrupt(Vec<InterruptHandle>);

impl Interrupt {
    /// Does nothing if nothing is read now.
    pub fn interrupt(&self) {
        for file in &self.0 {
            file.interrupt();
        }
    }
}

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupt").finish_non_exhaustive()
    }
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

impl AuditLog {
    /// Opens the database of this server at `path`, or an archive.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what to do.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_files(&[path.to_owned()])
    }

    /// Opens the log that is in a database and its archives: the database first, the archives in any order. A
    /// file that is named twice is read once.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_files(paths: &[PathBuf]) -> Result<Self, StoreError> {
        let mut files: Vec<AuditFile> = Vec::new();
        for path in paths {
            let file = AuditFile::open(path)?;
            if !files.iter().any(|known| known.is_same(&file)) {
                files.push(file);
            }
        }
        Ok(Self { files })
    }

    /// What ends a read that takes too long.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        Interrupt(self.files.iter().map(|file| file.conn.get_interrupt_handle()).collect())
    }

    /// The log as it is now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read, [`StoreError::Differs`] if the files are not of one
    /// log.
    pub fn snapshot(&mut self) -> Result<AuditSnapshot<'_>, StoreError> {
        // The database first: rows that are moved meanwhile are then in both files, and never in none.
        let files =
            self.files.iter_mut().map(AuditFile::snapshot).collect::<Result<Vec<_>, _>>()?;
        let ends: Vec<_> = files.iter().map(|file| file.ends).collect();
        let owned = id_ranges::divide(&ends);
        for (one, other, ids) in id_ranges::overlaps(&ends, &owned) {
            let (one, other) = (&files[one], &files[other]);
            if let Some(id) = one.difference(other, ids).map_err(StoreError::unavailable)? {
                let files = [one.path.to_owned(), other.path.to_owned()];
                return Err(StoreError::Differs { id, files });
            }
        }
        let counted = counted(&files).map_err(StoreError::unavailable)?;
        Ok(AuditSnapshot { files, owned, counted })
    }
}

/// The ids that are in the sums of the first file.
fn counted(files: &[FileSnapshot<'_>]) -> rusqlite::Result<Option<Ids>> {
    let Some(database) = files.first() else { return Ok(None) };
    if !schema::has_table(&database.tx, "rollup_mark")? {
        return Ok(None);
    }
    let Some(up_to) = rollup::counted_to(&database.tx)? else { return Ok(None) };
    // Sums that were built again, from the rows that the database still had, are without older ones.
    let first = rollup::first_id(&database.tx)?;
    Ok(Some((first.map_or(up_to, |first| first.saturating_sub(1)), up_to)))
}

impl AuditSnapshot<'_> {
    /// Ids that were given to rows that are in none of the files: ranges from the first to the last of
    /// them, between and around the files. Rows that were deleted within a file are not among them.
    ///
    /// # Errors
    /// As [`hours`](Self::hours).
    pub fn gaps(&self) -> Result<Vec<(i64, i64)>, StoreError> {
        let mut given = 0;
        for file in &self.files {
            given = given.max(file.last_given_id().map_err(StoreError::unavailable)?);
        }
        Ok(id_ranges::gaps(&self.owned, given))
    }

    /// As [`gaps`](Self::gaps), without those that are in the rollups.
    ///
    /// # Errors
    /// As [`hours`](Self::hours).
    pub fn uncounted_gaps(&self) -> Result<Vec<(i64, i64)>, StoreError> {
        let uncounted = self.uncounted();
        let gaps = self.gaps()?.into_iter().flat_map(|(first, last)| {
            uncounted.map(|ids| id_ranges::common((first - 1, last), ids))
        });
        Ok(gaps
            .filter(|(after, up_to)| after < up_to)
            .map(|(after, last)| (after + 1, last))
            .collect())
    }

    /// Below and above those in the rollups.
    fn uncounted(&self) -> [Ids; 2] {
        let (after, up_to) = self.counted.unwrap_or_default();
        [(0, after), (up_to, i64::MAX)]
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
        let Some(database) = self.summed() else { return Ok(()) };
        rollup::hours(&database.tx, range, each).map_err(StoreError::unavailable)
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
        let Some(database) = self.summed() else { return Ok(()) };
        rollup::durations(&database.tx, interval.seconds(), (start, end), each)
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
        let mut each = each;
        for (file, owned) in self.files.iter().zip(&self.owned) {
            for rows in self.of_file(rows, *owned) {
                rows::each(&file.tx, &rows, &mut each).map_err(StoreError::unavailable)?;
            }
        }
        Ok(())
    }

    /// The parts of these rows that a file is read for.
    fn of_file<'a>(&self, rows: CallRows<'a>, owned: Ids) -> Vec<Rows<'a>> {
        let parts = match rows {
            CallRows::All => vec![(0, i64::MAX)],
            CallRows::Uncounted => self.uncounted().to_vec(),
            CallRows::Counted { .. } => vec![self.counted.unwrap_or_default()],
        };
        let parts = parts.into_iter().map(|ids| id_ranges::common(ids, owned));
        let parts = parts.filter(|(after, up_to)| after < up_to);
        let rows = |ids| match rows {
            CallRows::Counted { provider, start, end } => {
                Rows::During { provider, start, end, ids }
            }
            CallRows::All | CallRows::Uncounted => Rows::All { ids },
        };
        parts.map(rows).collect()
    }

    /// The file whose sums are used.
    fn summed(&self) -> Option<&FileSnapshot<'_>> {
        self.files.first().filter(|_| self.counted.is_some())
    }
}
