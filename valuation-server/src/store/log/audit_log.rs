//! Reads the log of provider calls for a report, next to a running server: nothing is created or changed.
//!
//! The log may be in several files: the database, and archives of its older rows. Each id is read from one
//! of them.

use super::id_ranges::{self, Ids};
use super::rollup::{self, DAY, HOUR, UNDATED};
use super::rows::{self, Rows};
use super::source::{LogSnapshot, LogSource, SourceInterrupt};
use crate::domain::{AccountedCall, DurationBucket, HourCell};
use crate::store::error::StoreError;
use crate::store::location::Location;
use crate::store::sql::SqlError;

/// The log of provider calls in a database file and its archives, for reading.
#[derive(Debug)]
pub struct AuditLog {
    /// The database first.
    sources: Vec<LogSource>,
}

/// One state of the log, whatever is written meanwhile.
#[derive(Debug)]
pub struct AuditSnapshot<'a> {
    sources: Vec<LogSnapshot<'a>>,
    /// The ids that each is read for: none is read twice.
    owned: Vec<Ids>,
    /// Those in the database's rollups. `None`: it is of a version without them, or they can't be used.
    counted: Option<Ids>,
}

/// Ends a read of an [`AuditLog`], from another thread: what it reads now fails.
pub struct Interrupt(Vec<SourceInterrupt>);

impl Interrupt {
    /// Does nothing if nothing is read now.
    pub fn interrupt(&self) {
        for source in &self.0 {
            source.interrupt();
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
    /// Opens the database of this server there, or an archive.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what to do.
    pub fn open(place: impl Into<Location>) -> Result<Self, StoreError> {
        Self::open_files([place])
    }

    /// Opens the log that is in a database and its archives: the database first, the archives in any order. What
    /// is named twice is read once.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_files<P: Into<Location>>(
        places: impl IntoIterator<Item = P>,
    ) -> Result<Self, StoreError> {
        let mut sources: Vec<LogSource> = Vec::new();
        for place in places {
            let source = LogSource::open(place.into())?;
            if !sources.iter().any(|known| known.is_same(&source)) {
                sources.push(source);
            }
        }
        Ok(Self { sources })
    }

    /// What ends a read that takes too long.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        Interrupt(self.sources.iter().map(LogSource::interrupt).collect())
    }

    /// The log as it is now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read, [`StoreError::Differs`] if the files are not of one
    /// log.
    pub fn snapshot(&mut self) -> Result<AuditSnapshot<'_>, StoreError> {
        // The database first: rows that are moved meanwhile are then in both files, and never in none.
        let sources =
            self.sources.iter_mut().map(LogSource::snapshot).collect::<Result<Vec<_>, _>>()?;
        let ends: Vec<_> = sources.iter().map(|source| source.ends).collect();
        let owned = id_ranges::divide(&ends);
        for (one, other, ids) in id_ranges::overlaps(&ends, &owned) {
            let (one, other) = (&sources[one], &sources[other]);
            if let Some(id) = one.difference(other, ids)? {
                let files = [one.place.clone(), other.place.clone()];
                return Err(StoreError::Differs { id, files });
            }
        }
        let counted = counted(&sources)?;
        Ok(AuditSnapshot { sources, owned, counted })
    }
}

/// The ids that are in the sums of the first of them.
fn counted(sources: &[LogSnapshot<'_>]) -> Result<Option<Ids>, SqlError> {
    let Some(database) = sources.first() else { return Ok(None) };
    if !database.has_table("rollup_mark")? {
        return Ok(None);
    }
    let Some(up_to) = rollup::counted_to(database.sql())? else { return Ok(None) };
    // Sums that were built again, from the rows that the database still had, are without older ones.
    let first = rollup::first_id(database.sql())?;
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
        for source in &self.sources {
            given = given.max(source.last_given_id()?);
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
        Ok(rollup::hours(database.sql(), range, each)?)
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
        Ok(rollup::durations(database.sql(), interval.seconds(), (start, end), each)?)
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
        for (source, owned) in self.sources.iter().zip(&self.owned) {
            let optional = source.optional_columns()?;
            for rows in self.of_source(rows, *owned) {
                rows::each(source.sql(), optional, &rows, &mut each)?;
            }
        }
        Ok(())
    }

    /// The parts of these rows that a source is read for.
    fn of_source<'a>(&self, rows: CallRows<'a>, owned: Ids) -> Vec<Rows<'a>> {
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

    /// The one whose sums are used.
    fn summed(&self) -> Option<&LogSnapshot<'_>> {
        self.sources.first().filter(|_| self.counted.is_some())
    }
}
