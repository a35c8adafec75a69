//! What is wrong with a log.

use std::fmt;

use super::Verified;
use crate::domain::LogHead;
use crate::store::location::Location;

/// What was found, and in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, or the database.
    pub file: Location,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a log. Pairs are the first and the last id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// These rows are not as they were sealed.
    Changed(i64, i64),
    /// These two rows have each other's contents.
    Swapped(i64, i64),
    /// These rows were sealed, and are gone.
    Removed(i64, i64),
    /// No record has these rows, although later ones are sealed.
    Inserted(i64, i64),
    /// The record of these rows is not as it was written, though its rows may be.
    Record(i64, i64),
    /// The record of these rows has other tags than its rows, and its head is theirs.
    Tags(i64, i64),
    /// The record that begins with this id doesn't follow the one before, which ends with the first id.
    Unlinked(i64, i64),
    /// The chain does not begin here: rows before this id were moved or removed.
    Front(i64),
    /// Ids up to the second were given, and the log ends before the first.
    Truncated(i64, i64),
    /// Rows up to the second are in the rollups, and the chain ends before the first.
    Cut(i64, i64),
    /// The sums of this hour are not those of its rows. In seconds since 1970; negative for rows whose time
    /// can't be read.
    Sums(i64),
    /// The durations of the interval of this length from this time are not those of its rows. In seconds.
    Durations(i64, i64),
    /// SQLite's record of the highest id is missing or below this id.
    Sequence(i64),
    /// A file before this one has this id as well.
    Overlap(i64),
    /// The file has no chain.
    NoChain,
    /// A head was seen with an id at which the chain has another head.
    Rewritten(LogHead),
    /// A head was seen with an id that is beyond the end of the log.
    BeyondEnd(LogHead),
    /// A head was seen with an id at which no record ends.
    NoSuchRecord(LogHead),
    /// A head was seen whose rows are before those of the files.
    BeforeStart(LogHead),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |first: i64, last: i64| {
            if first == last { format!("row {first}") } else { format!("rows {first} to {last}") }
        };
        let were = |first: i64, last: i64| if first == last { "was" } else { "were" };
        match *self {
            Self::Changed(first, last) => {
                write!(f, "{} {} changed", rows(first, last), were(first, last))
            }
            Self::Swapped(one, other) => {
                write!(f, "rows {one} and {other} were swapped: each has the other's contents")
            }
            Self::Removed(first, last) => {
                write!(f, "{} {} removed", rows(first, last), were(first, last))
            }
            Self::Inserted(first, last) => write!(
                f,
                "{} {} inserted, or the record of the chain was removed: no record has {}",
                rows(first, last),
                were(first, last),
                if first == last { "it" } else { "them" }
            ),
            Self::Record(first, last) => write!(
                f,
                "the record of {} was altered, or a row of it together with its tag: its head is not \
                 that of the rows",
                rows(first, last)
            ),
            Self::Tags(first, last) => write!(
                f,
                "the record of {} was altered: its tags are not those of the rows, which its head \
                 confirms",
                rows(first, last)
            ),
            Self::Unlinked(end, first) if first > end.saturating_add(1) => write!(
                f,
                "{} and their records are missing: they were removed, or are in a file that was not \
                 given",
                rows(end.saturating_add(1), first - 1)
            ),
            Self::Unlinked(end, first) => write!(
                f,
                "the record of row {first} does not follow that of row {end}: one of both was altered, \
                 or the chain was replaced from here on"
            ),
            Self::Front(first) => write!(
                f,
                "the chain does not begin with row {first}: rows up to {} were removed, or are in an \
                 archive that was not given; name it as well",
                first.saturating_sub(1)
            ),
            Self::Truncated(first, last) => write!(
                f,
                "{} {} removed from the end: SQLite has given ids up to {last}",
                rows(first, last),
                were(first, last)
            ),
            Self::Cut(first, last) => write!(
                f,
                "the records of {} were removed from the end of the chain: the rollups, which are written \
                 with them, have rows up to {last}",
                rows(first, last)
            ),
            Self::Sums(hour) => write!(
                f,
                "the sums of {} in call_hours are not those of its rows, and a report without --exact uses \
                 them",
                Hour(hour)
            ),
            Self::Durations(span, at) => write!(
                f,
                "the durations of the {span} s from {} in call_durations are not those of its rows, and a \
                 report without --exact uses them",
                Hour(at)
            ),
            Self::Sequence(last) => write!(
                f,
                "the database's record of the highest id (sqlite_sequence, or log_head of PostgreSQL) was altered: it is \
                 missing or below {last}, so that rows after it may have been removed"
            ),
            Self::Overlap(id) => write!(
                f,
                "row {id} is in a file before this one as well: with another record of the \
                 chain: one of both was altered"
            ),
            Self::NoChain => f.write_str(
                "has no hash chain: it is of an older version; start the server on it once to seal its \
                 rows",
            ),
            Self::Rewritten(seen) => write!(
                f,
                "{seen} was seen, and the chain has another head there: it was rewritten from row {} or \
                 before",
                seen.last_id
            ),
            Self::BeyondEnd(seen) => write!(
                f,
                "{seen} was seen, and the log ends before row {}: rows were removed from the end",
                seen.last_id
            ),
            Self::NoSuchRecord(seen) => write!(
                f,
                "{seen} was seen, and no record of the chain ends with row {}: the chain was rewritten",
                seen.last_id
            ),
            Self::BeforeStart(seen) => write!(
                f,
                "{seen} was seen, and can't be verified: its rows are not in the given files; name the \
                 archive of row {}",
                seen.last_id
            ),
        }
    }
}

/// An hour by its start.
struct Hour(i64);

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(at) if self.0 >= 0 => write!(f, "hour {at:.0}"),
            _ => f.write_str("the hour without a time"),
        }
    }
}

impl Problem {
    /// Extends a range by the one after it.
    fn merge(&mut self, next: &Self) -> bool {
        let (Self::Changed(_, last) | Self::Removed(_, last) | Self::Inserted(_, last)) = self
        else {
            return false;
        };
        let end = *last;
        let follows = match (&*self, next) {
            (Self::Changed(..), Self::Changed(first, to))
            | (Self::Removed(..), Self::Removed(first, to))
            | (Self::Inserted(..), Self::Inserted(first, to)) => {
                (end.checked_add(1) == Some(*first)).then_some(*to)
            }
            _ => None,
        };
        if let (
            Some(to),
            Self::Changed(_, last) | Self::Removed(_, last) | Self::Inserted(_, last),
        ) = (follows, self)
        {
            *last = to;
        }
        follows.is_some()
    }
}

/// The first findings, and the number of all.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) first: Vec<Finding>,
    /// The newest one, which may be extended.
    open: Option<Finding>,
    pub(super) count: u64,
}

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.open.is_none()
    }

    pub(super) fn add(&mut self, file: &Location, problem: Problem) {
        if let Some(open) = &mut self.open
            && open.file == *file
            && open.problem.merge(&problem)
        {
            return;
        }
        self.close();
        self.open = Some(Finding { file: file.clone(), problem });
    }

    /// Ends the newest finding.
    pub(super) fn close(&mut self) {
        let Some(closed) = self.open.take() else { return };
        self.count += 1;
        if self.first.len() < Verified::MOST {
            self.first.push(closed);
        }
    }
}
