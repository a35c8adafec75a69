//! Reads whole rows of the log of provider calls, from one or more files, next to a running server.
//!
//! Rows are read in pieces of [`PIECE`] ids, each in a read transaction of its own that ends before the rows are
//! handed out. So neither a slow consumer nor years of rows keep the write-ahead log from being carried into the
//! file, and memory stays constant.
//!
//! A row that is in several files is given once. The first file, the database, is read before the others:
//! archiving stores a row in the archive before it deletes it, so that a row that is moved meanwhile is seen.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::log_tables::LogTable;
use super::logs::{self, LoggedCall};
use super::rows::{both, time_text};
use super::source::LogSource;
use crate::store::error::StoreError;
use crate::store::location::Location;
use crate::store::sql::{Sql, SqlError, ValueRef};

/// How many ids a piece has: some milliseconds, and about a megabyte.
const PIECE: i64 = 2_000;

/// The log of provider calls in one or more files, for reading.
#[derive(Debug)]
pub struct Trail {
    /// The database first.
    sources: Vec<LogSource>,
}

/// Which rows are wanted. The default is all of them.
#[derive(Clone, Debug, Default)]
pub struct TrailFilter {
    /// Those of this vehicle.
    pub vrm: Option<String>,
    /// Those of this provider, by its whole name.
    pub provider: Option<String>,
    /// Those that started at this time or later.
    pub from: Option<jiff::Timestamp>,
    /// Those that started before this time.
    pub to: Option<jiff::Timestamp>,
    /// Those that [failed](LoggedCall::has_failed).
    pub failed: bool,
}

impl Trail {
    /// Opens the log: the database, then its archives.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what to do.
    pub fn open<P: Into<Location>>(
        places: impl IntoIterator<Item = P>,
    ) -> Result<Self, StoreError> {
        Ok(Self { sources: LogSource::open_all(places)? })
    }

    /// Whether the same files are still at their paths. If not, they must be opened again to see what is
    /// written from now on. Two system calls a file.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.sources.iter().all(LogSource::is_current)
    }

    /// From now on a server that does not answer within some seconds is an error, after which the log must be opened
    /// again: whoever follows it is not to wait for a server that hangs.
    pub fn limit_waits(&mut self) {
        self.sources.iter_mut().for_each(LogSource::limit_waits);
    }

    /// A number that changes with each commit to the database, while it is [current](Self::is_current).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn version(&self) -> Result<i64, StoreError> {
        Ok(self.sources.first().map_or(Ok(0), LogSource::version)?)
    }

    /// The ids between which all wanted rows are; `None` if there are none. A time or a vehicle is looked up in
    /// an index.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if they can't be read.
    pub fn ids(&self, filter: &TrailFilter) -> Result<Option<(i64, i64)>, StoreError> {
        let found = self.each(|source| bounds(source.sql(), filter))?;
        Ok(found
            .into_iter()
            .flatten()
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))))
    }

    /// The wanted rows that there are now, in the order of their ids, in pieces, some of which may be empty.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log can't be read.
    pub fn pieces<'a>(&'a self, filter: &'a TrailFilter) -> Result<Pieces<'a>, StoreError> {
        let (next, last) = self.ids(filter)?.map_or((None, 0), |(first, last)| (Some(first), last));
        Ok(Pieces { trail: self, filter, next, last })
    }

    /// As [`pieces`](Self::pieces), those with higher ids than this. No index is looked into: it is for the few
    /// rows that are new.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log can't be read.
    pub fn pieces_after<'a>(
        &'a self,
        filter: &'a TrailFilter,
        id: i64,
    ) -> Result<Pieces<'a>, StoreError> {
        let last = self.newest_id()?.unwrap_or(id);
        Ok(Pieces { trail: self, filter, next: id.checked_add(1), last })
    }

    /// The names of all providers, unless there is one of this name; it is read from every row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log can't be read.
    pub fn providers_unless(&self, name: &str) -> Result<BTreeSet<String>, StoreError> {
        let has = r#"SELECT 1 FROM "ProviderLogs" WHERE "providerName" = $1 LIMIT 1"#;
        let found = self.each(|source| source.sql().first(has, &[name.into()], |_| Ok(())))?;
        if found.iter().any(Option::is_some) {
            return Ok(BTreeSet::new());
        }
        let select = r#"SELECT DISTINCT "providerName" FROM "ProviderLogs""#;
        let names =
            self.each(|source| source.sql().all(select, &[], |row| Ok(row.text(0)?.to_owned())))?;
        Ok(names.into_iter().flatten().collect())
    }

    /// The highest id of all rows.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn newest_id(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.ids(&TrailFilter::default())?.map(|(_, last)| last))
    }

    /// The newest `count` of the wanted rows, in the order of their ids. They should be few: all are held in
    /// memory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log can't be read.
    pub fn newest(
        &self,
        filter: &TrailFilter,
        count: usize,
    ) -> Result<Vec<LoggedCall>, StoreError> {
        let mut found = Vec::new();
        let bounds = self.ids(filter)?;
        let first = bounds.map_or(0, |(first, _)| first);
        let mut next = bounds.map(|(_, last)| last);
        while let Some(last) = next.filter(|last| *last >= first && found.len() < count) {
            let start = last.saturating_sub(PIECE - 1).max(first);
            let piece = self.piece(filter, start..=last)?;
            next = if piece.is_empty() { self.last_before(start)? } else { start.checked_sub(1) };
            found.extend(piece.into_iter().rev().take(count - found.len()));
        }
        found.reverse();
        Ok(found)
    }

    /// The wanted rows with these ids.
    fn piece(
        &self,
        filter: &TrailFilter,
        ids: RangeInclusive<i64>,
    ) -> Result<Vec<LoggedCall>, StoreError> {
        let mut calls: Vec<_> =
            self.each(|source| wanted(source, filter, &ids))?.into_iter().flatten().collect();
        if self.sources.len() > 1 {
            calls.sort_by_key(|call| call.id);
            calls.dedup_by_key(|call| call.id);
        }
        Ok(calls)
    }

    /// The lowest id from `id` on: ids have gaps.
    fn first_from(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let select = r#"SELECT min("id") FROM "ProviderLogs" WHERE "id" >= $1"#;
        Ok(self.each(|source| one_id(source.sql(), select, id))?.into_iter().flatten().min())
    }

    fn last_before(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let select = r#"SELECT max("id") FROM "ProviderLogs" WHERE "id" < $1"#;
        Ok(self.each(|source| one_id(source.sql(), select, id))?.into_iter().flatten().max())
    }

    fn each<T>(
        &self,
        read: impl Fn(&LogSource) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, StoreError> {
        Ok(self.sources.iter().map(read).collect::<Result<_, _>>()?)
    }
}

/// The rows of [`Trail::pieces`].
#[derive(Debug)]
pub struct Pieces<'a> {
    trail: &'a Trail,
    filter: &'a TrailFilter,
    next: Option<i64>,
    last: i64,
}

impl Pieces<'_> {
    /// No row has a higher id than this.
    #[must_use]
    pub fn up_to(&self) -> i64 {
        self.last
    }

    /// How many ids are left, about as many as rows.
    #[must_use]
    pub fn left(&self) -> u64 {
        let left = self.next.map_or(0, |next| i128::from(self.last) - i128::from(next) + 1);
        u64::try_from(left).unwrap_or(0)
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Vec<LoggedCall>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next.filter(|next| *next <= self.last)?;
        let end = first.saturating_add(PIECE - 1).min(self.last);
        let after = end.checked_add(1);
        let piece = self.trail.piece(self.filter, first..=end);
        self.next = match (&piece, after) {
            (Ok(calls), Some(after)) if calls.is_empty() => match self.trail.first_from(after) {
                Ok(next) => next,
                Err(error) => {
                    self.next = None;
                    return Some(Err(error));
                }
            },
            (Ok(_), after) => after,
            (Err(_), _) => None,
        };
        Some(piece)
    }
}

fn one_id(sql: &dyn Sql, select: &str, id: i64) -> Result<Option<i64>, SqlError> {
    Ok(sql.first(select, &[ValueRef::Integer(id)], |row| row.optional_integer(0))?.flatten())
}

/// The lowest and the highest time as the log has them.
fn times(filter: &TrailFilter) -> [String; 2] {
    // Whatever is not of the log's form sorts somewhere; without bounds all rows are wanted.
    [
        filter.from.map_or_else(String::new, time_text),
        filter.to.map_or_else(|| "\u{10ffff}".to_owned(), time_text),
    ]
}

fn bounds(sql: &dyn Sql, filter: &TrailFilter) -> Result<Option<(i64, i64)>, SqlError> {
    let times = times(filter);
    let [from, to] = times.each_ref().map(|time| ValueRef::from(time.as_str()));
    let (condition, values) = match filter {
        TrailFilter { vrm: Some(vrm), .. } => (r#""vrm" = $1"#, vec![ValueRef::from(vrm.as_str())]),
        TrailFilter { from: None, to: None, .. } => return LogTable::ends(LogTable::ROWS, sql),
        TrailFilter { provider: Some(provider), .. } => (
            r#""providerName" = $1 AND "requestedAt" >= $2 AND "requestedAt" < $3"#,
            vec![ValueRef::from(provider.as_str()), from, to],
        ),
        _ => (BY_TIME, vec![from, to]),
    };
    // min and max in one SELECT read all entries of the condition in its index, and no others.
    let select = format!(r#"SELECT min("id"), max("id") FROM "ProviderLogs" WHERE {condition}"#);
    Ok(sql.first(&select, &values, both)?.flatten())
}

/// The index is by provider and time. The providers are found in it with a step each.
const BY_TIME: &str = r#""providerName" IN (
        WITH RECURSIVE "names" ("name") AS (
            SELECT min("providerName") FROM "ProviderLogs"
            UNION ALL
            SELECT (SELECT min("providerName") FROM "ProviderLogs" WHERE "providerName" > "name")
            FROM "names" WHERE "name" IS NOT NULL)
        SELECT "name" FROM "names")
    AND "requestedAt" >= $1 AND "requestedAt" < $2"#;

/// The rows with these ids that are wanted, in one statement and so of one state.
fn wanted(
    source: &LogSource,
    filter: &TrailFilter,
    ids: &RangeInclusive<i64>,
) -> Result<Vec<LoggedCall>, SqlError> {
    let times = times(filter);
    let [from, to] = times.each_ref().map(String::as_str);
    let mut values = vec![ValueRef::Integer(*ids.start()), ValueRef::Integer(*ids.end())];
    let mut conditions = String::new();
    // The expression keeps SQLite from the index by provider and time, which would read more than the piece.
    for (condition, value) in [
        (r#""vrm" ="#, filter.vrm.as_deref()),
        (r#"("providerName" || '') ="#, filter.provider.as_deref()),
        (r#""requestedAt" >="#, filter.from.is_some().then_some(from)),
        (r#""requestedAt" <"#, filter.to.is_some().then_some(to)),
    ] {
        if let Some(value) = value {
            values.push(value.into());
            conditions += &format!(" AND {condition} ${}", values.len());
        }
    }
    let optional = source.optional_columns()?;
    let select = format!(
        r#"SELECT {}, {optional} FROM "ProviderLogs" WHERE "id" BETWEEN $1 AND $2{conditions} ORDER BY "id""#,
        logs::FIRST_COLUMNS
    );
    let mut calls = source.sql().all(&select, &values, logs::from_row)?;
    if filter.failed {
        calls.retain(LoggedCall::has_failed);
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_time_is_looked_up_in_the_index_by_provider_and_time_and_no_row_is_read() {
        let conn = Connection::open_in_memory().unwrap();
        let first = include_str!("../../../migrations/001_valuations_and_provider_logs.sql");
        conn.execute_batch(first).unwrap();
        let sql = format!(
            r#"EXPLAIN QUERY PLAN SELECT min("id"), max("id") FROM "ProviderLogs" WHERE {BY_TIME}"#
        );
        let mut explain = conn.prepare(&sql).unwrap();
        let plan: Vec<String> = explain
            .query_map(["a", "b"], |row| row.get("detail"))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let by_index = "SEARCH ProviderLogs USING COVERING INDEX \
            ProviderLogs_providerName_requestedAt (providerName=? AND requestedAt>? AND requestedAt<?)";
        assert_eq!(plan[0], by_index, "{plan:?}");
        let scans = plan.iter().filter(|step| step.starts_with("SCAN ProviderLogs"));
        assert_eq!(scans.count(), 0, "{plan:?}");
    }
}
