//! Reads whole rows of the log of provider calls, from one or more files, next to a running server.
//!
//! Rows are read in pieces of [`PIECE`] ids, each in a read transaction of its own that ends before the rows are
//! handed out. So neither a slow consumer nor years of rows keep the write-ahead log from being carried into the
//! file, and memory stays constant.
//!
//! A row that is in several files is given once. The first file, the database, is read before the others:
//! archiving stores a row in the archive before it deletes it, so that a row that is moved meanwhile is seen.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rusqlite::{Connection, ToSql};

use super::audit_file::AuditFile;
use super::error::StoreError;
use super::logs::{self, LoggedCall};
use super::rows;
use super::sqlite::open;

/// How many ids a piece has: some milliseconds, and about a megabyte.
const PIECE: i64 = 2_000;

/// The log of provider calls in one or more files, for reading.
#[derive(Debug)]
pub struct Trail {
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    conn: Connection,
    path: PathBuf,
    opened: Option<Place>,
}

/// What tells whether a connection still reads what is at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    /// A file without one is read as one that nothing changes, if this user may not write it.
    has_wal: bool,
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
    /// Opens the files: the database, then its archives.
    ///
    /// # Errors
    /// [`StoreError::Open`] names the file, what is wrong and what to do.
    pub fn open(paths: &[PathBuf]) -> Result<Self, StoreError> {
        let files = paths.iter().map(|path| {
            let AuditFile { path, conn } = AuditFile::open(path)?;
            let opened = place(&path);
            Ok(File { conn, path, opened })
        });
        Ok(Self { files: files.collect::<Result<_, StoreError>>()? })
    }

    /// Whether the same files are still at their paths. If not, they must be opened again to see what is
    /// written from now on. Two system calls a file.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.files.iter().all(|file| file.opened.is_some() && file.opened == place(&file.path))
    }

    /// A number that changes with each commit to the database, while it is [current](Self::is_current).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be read.
    pub fn version(&self) -> Result<i64, StoreError> {
        let Some(database) = self.files.first() else { return Ok(0) };
        database
            .conn
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(StoreError::unavailable)
    }

    /// The ids between which all wanted rows are; `None` if there are none. A time or a vehicle is looked up in
    /// an index.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if they can't be read.
    pub fn ids(&self, filter: &TrailFilter) -> Result<Option<(i64, i64)>, StoreError> {
        let found = self.each(|conn| bounds(conn, filter))?;
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
        let has = r#"SELECT EXISTS (SELECT 1 FROM "ProviderLogs" WHERE "providerName" = ?1)"#;
        if self.each(|conn| conn.query_row(has, [name], |row| row.get(0)))?.contains(&true) {
            return Ok(BTreeSet::new());
        }
        let sql = r#"SELECT DISTINCT "providerName" FROM "ProviderLogs""#;
        let names = self.each(|conn| {
            let mut names = conn.prepare(sql)?;
            names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        })?;
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
            self.each(|conn| wanted(conn, filter, &ids))?.into_iter().flatten().collect();
        if self.files.len() > 1 {
            calls.sort_by_key(|call| call.id);
            calls.dedup_by_key(|call| call.id);
        }
        Ok(calls)
    }

    /// The lowest id from `id` on: ids have gaps.
    fn first_from(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let sql = r#"SELECT min("id") FROM "ProviderLogs" WHERE "id" >= ?1"#;
        Ok(self.each(|conn| one_id(conn, sql, id))?.into_iter().flatten().min())
    }

    fn last_before(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let sql = r#"SELECT max("id") FROM "ProviderLogs" WHERE "id" < ?1"#;
        Ok(self.each(|conn| one_id(conn, sql, id))?.into_iter().flatten().max())
    }

    fn each<T>(
        &self,
        read: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let read = self.files.iter().map(|file| read(&file.conn));
        read.collect::<Result<_, _>>().map_err(StoreError::unavailable)
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

fn place(path: &std::path::Path) -> Option<Place> {
    let found: Metadata = path.metadata().ok()?;
    let has_wal = open::beside(path, "-wal").exists();
    Some(Place { device: found.dev(), inode: found.ino(), has_wal })
}

fn one_id(conn: &Connection, sql: &str, id: i64) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(sql)?.query_row([id], |row| row.get(0))
}

/// The lowest and the highest time as the log has them.
fn times(filter: &TrailFilter) -> [String; 2] {
    let text = |at: jiff::Timestamp| format!("{at:.3}");
    // Whatever is not of the log's form sorts somewhere; without bounds all rows are wanted.
    [
        filter.from.map_or_else(String::new, text),
        filter.to.map_or_else(|| "\u{10ffff}".to_owned(), text),
    ]
}

fn bounds(conn: &Connection, filter: &TrailFilter) -> rusqlite::Result<Option<(i64, i64)>> {
    let [from, to] = times(filter);
    let (condition, parameters): (&str, Vec<&dyn ToSql>) = match filter {
        TrailFilter { vrm: Some(vrm), .. } => (r#""vrm" = ?1"#, vec![vrm]),
        TrailFilter { from: None, to: None, .. } => {
            let sql = r#"SELECT (SELECT min("id") FROM "ProviderLogs"), (SELECT max("id") FROM "ProviderLogs")"#;
            return conn.prepare_cached(sql)?.query_row([], both);
        }
        TrailFilter { provider: Some(provider), .. } => (
            r#""providerName" = ?1 AND "requestedAt" >= ?2 AND "requestedAt" < ?3"#,
            vec![provider, &from, &to],
        ),
        _ => (BY_TIME, vec![&from, &to]),
    };
    // min and max in one SELECT read all entries of the condition in its index, and no others.
    let sql = format!(r#"SELECT min("id"), max("id") FROM "ProviderLogs" WHERE {condition}"#);
    conn.prepare_cached(&sql)?.query_row(parameters.as_slice(), both)
}

/// The index is by provider and time. The providers are found in it with a step each.
const BY_TIME: &str = r#""providerName" IN (
        WITH RECURSIVE "names" ("name") AS (
            SELECT min("providerName") FROM "ProviderLogs"
            UNION ALL
            SELECT (SELECT min("providerName") FROM "ProviderLogs" WHERE "providerName" > "name")
            FROM "names" WHERE "name" IS NOT NULL)
        SELECT "name" FROM "names")
    AND "requestedAt" >= ?1 AND "requestedAt" < ?2"#;

fn both(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(i64, i64)>> {
    Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))
}

/// The rows with these ids that are wanted, in one statement and so in one read transaction.
fn wanted(
    conn: &Connection,
    filter: &TrailFilter,
    ids: &RangeInclusive<i64>,
) -> rusqlite::Result<Vec<LoggedCall>> {
    let [from, to] = times(filter);
    let (first, last) = (ids.start(), ids.end());
    let mut parameters: Vec<&dyn ToSql> = vec![first, last];
    let mut conditions = String::new();
    // `+` keeps SQLite from the indexes on these, which would read more than the piece.
    for (condition, value) in [
        (r#""vrm" ="#, filter.vrm.as_ref()),
        (r#"+"providerName" ="#, filter.provider.as_ref()),
        (r#"+"requestedAt" >="#, filter.from.is_some().then_some(&from)),
        (r#"+"requestedAt" <"#, filter.to.is_some().then_some(&to)),
    ] {
        if let Some(value) = value {
            parameters.push(value);
            conditions += &format!(" AND {condition} ?{}", parameters.len());
        }
    }
    let optional = rows::optional_columns(conn)?;
    let sql = format!(
        r#"SELECT {}, {optional} FROM "ProviderLogs" WHERE "id" BETWEEN ?1 AND ?2{conditions} ORDER BY "id""#,
        logs::FIRST_COLUMNS
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut found = select.query(parameters.as_slice())?;
    let mut calls = Vec::new();
    while let Some(row) = found.next()? {
        let call = logs::from_row(row)?;
        if !filter.failed || call.has_failed() {
            calls.push(call);
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_looked_up_in_the_index_by_provider_and_time_and_no_row_is_read() {
        let conn = Connection::open_in_memory().unwrap();
        let first = include_str!("../../migrations/001_valuations_and_provider_logs.sql");
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
