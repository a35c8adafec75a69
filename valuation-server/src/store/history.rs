//! The history: what each source, a failover or a provider, did in each interval.
//!
//! A row is written for each ten seconds in which something happened; a missing row is zero. All columns
//! add up: a second row for the same interval, after a restart or by another server on the same file, is
//! added to the first, and thinning replaces rows by their sums, to minutes after a day and to hours after
//! [31 days](Span::kept). Nothing is lost by it but when within the longer interval something happened.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::error::StoreError;
use super::sql::{Row, Sql, SqlError, ValueRef};
use crate::domain::{Counts, Latencies};

/// The columns that add up, in the order of [`values`].
const COUNTS: [&str; 4 + Latencies::BUCKETS] = [
    "calls",
    "failures",
    "rescues",
    "fallbackMs",
    "upTo1ms",
    "upTo2.5ms",
    "upTo5ms",
    "upTo10ms",
    "upTo25ms",
    "upTo50ms",
    "upTo100ms",
    "upTo250ms",
    "upTo500ms",
    "upTo1s",
    "upTo2.5s",
    "upTo5s",
    "upTo10s",
    "above10s",
];

/// The length of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// Ten seconds, for a day.
    TenSeconds,
    /// A minute, for 31 days.
    Minute,
    /// An hour, for three years.
    Hour,
}

impl Span {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::TenSeconds, Self::Minute, Self::Hour];

    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// How long its rows are kept before they are thinned; those of an hour are deleted then.
    #[must_use]
    pub const fn kept(self) -> Duration {
        const DAY: u64 = 24 * 60 * 60;
        Duration::from_secs(match self {
            Self::TenSeconds => DAY,
            Self::Minute => 31 * DAY,
            Self::Hour => 3 * 365 * DAY,
        })
    }

    pub(super) const fn longer(self) -> Option<Self> {
        match self {
            Self::TenSeconds => Some(Self::Minute),
            Self::Minute => Some(Self::Hour),
            Self::Hour => None,
        }
    }

    /// The start, in seconds since 1970, of the interval that `at` is in.
    pub(super) fn start(self, at: SystemTime) -> i64 {
        let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        floor(whole(seconds), self)
    }
}

/// A source's counts in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The failover's or the provider's name.
    pub source: String,
    /// The interval's start, in seconds since 1970: a multiple of its length.
    pub at: u64,
    /// What was counted in it.
    pub counts: Counts,
}

/// Counts to add to the rows of ten seconds, and the caller that waits.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) at: SystemTime,
    pub(super) counts: Vec<(&'static str, Counts)>,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// Adds the counts to the rows of their interval. It needs a transaction.
pub(super) fn add(sql: &dyn Sql, recording: &Recording) -> Result<(), SqlError> {
    let insert = format!(
        r#"INSERT INTO "history" ("span", "at", "source", {columns})
            VALUES ($1, $2, $3, {values}) {ADDED}"#,
        columns = columns(|name| format!(r#""{name}""#)),
        values = (4..4 + COUNTS.len()).map(|at| format!("${at}")).collect::<Vec<_>>().join(", "),
        ADDED = added(),
    );
    let span = Span::TenSeconds;
    for (source, counts) in &recording.counts {
        let mut all = vec![
            ValueRef::Integer(span.seconds().into()),
            ValueRef::Integer(span.start(recording.at)),
            ValueRef::Text(source.as_bytes()),
        ];
        all.extend(values(counts).map(ValueRef::Integer));
        sql.execute(&insert, &all)?;
    }
    Ok(())
}

/// The rows of one span from the interval that `since` is in, in the order of time.
pub(super) fn rows(
    sql: &dyn Sql,
    span: Span,
    since: SystemTime,
) -> Result<Vec<HistoryRow>, SqlError> {
    let select = format!(
        r#"SELECT "source", "at", {columns} FROM "history"
            WHERE "span" = $1 AND "at" >= $2 ORDER BY "at", "source""#,
        columns = columns(|name| format!(r#""{name}""#)),
    );
    let values = [span.seconds().into(), span.start(since)].map(ValueRef::Integer);
    sql.all(&select, &values, |row| {
        let (source, at) = (row.text(0)?.to_owned(), natural(row.integer(1)?));
        Ok(HistoryRow { source, at, counts: counts(row, 2)? })
    })
}

/// The sums by source of all intervals that begin in this time.
pub(super) fn totals(
    sql: &dyn Sql,
    time: &Range<SystemTime>,
) -> Result<BTreeMap<String, Counts>, SqlError> {
    let seconds =
        |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| whole(since.as_secs()));
    let [ten, minute, hour] = Span::ALL.map(|span| i64::from(span.seconds()));
    let select = format!(
        r#"SELECT "source", {sums} FROM "history"
            WHERE "span" IN ($1, $2, $3) AND "at" >= $4 AND "at" < $5 GROUP BY "source""#,
        sums = sums(),
    );
    let values = [ten, minute, hour, seconds(time.start), seconds(time.end)];
    let rows = sql.all(&select, &values.map(ValueRef::Integer), |row| {
        Ok((row.text(0)?.to_owned(), counts(row, 1)?))
    })?;
    Ok(rows.into_iter().collect())
}

pub(super) fn floor(at: i64, span: Span) -> i64 {
    at - at.rem_euclid(i64::from(span.seconds()))
}

pub(super) fn columns(write: impl FnMut(&&str) -> String) -> String {
    COUNTS.iter().map(write).collect::<Vec<_>>().join(", ")
}

/// The sums of the columns, as integers in both engines.
pub(super) fn sums() -> String {
    columns(|name| format!(r#"CAST(sum("{name}") AS bigint)"#))
}

/// What becomes of a row that exists already.
pub(super) fn added() -> String {
    let sums = columns(|name| format!(r#""{name}" = "history"."{name}" + excluded."{name}""#));
    format!(r#"ON CONFLICT ("span", "at", "source") DO UPDATE SET {sums}"#)
}

fn values(counts: &Counts) -> [i64; COUNTS.len()] {
    let Counts { calls, failures, rescues, fallback_ms, latencies } = counts;
    let mut values = [0; COUNTS.len()];
    let all = [calls, failures, rescues, fallback_ms].into_iter().chain(&latencies.0);
    for (value, count) in values.iter_mut().zip(all) {
        *value = whole(*count);
    }
    values
}

/// The counts in a row's columns from `first` on.
fn counts(row: &dyn Row, first: usize) -> Result<Counts, SqlError> {
    let count = |column| row.integer(first + column).map(natural);
    let mut latencies = Latencies::default();
    for (bucket, value) in latencies.0.iter_mut().enumerate() {
        *value = count(4 + bucket)?;
    }
    let (calls, failures, rescues) = (count(0)?, count(1)?, count(2)?);
    Ok(Counts { calls, failures, rescues, fallback_ms: count(3)?, latencies })
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn natural(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::sqlite::schema;
    use rusqlite::Connection;

    pub(in crate::store) const NAMES: [&str; 3] =
        ["valuations", "SuperCar Valuations", "Premium Car Valuations"];

    pub(in crate::store) fn database() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        schema::migrate(&mut conn).unwrap();
        conn
    }

    pub(in crate::store) fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    pub(in crate::store) fn add_at(
        conn: &mut Connection,
        seconds: u64,
        counts: Vec<(&'static str, Counts)>,
    ) {
        add(conn, &Recording { at: at(seconds), counts, done: oneshot::channel().0 }).unwrap();
    }

    pub(in crate::store) fn all(conn: &Connection) -> BTreeMap<String, Counts> {
        totals(conn, &(UNIX_EPOCH..at(1 << 40))).unwrap()
    }

    pub(in crate::store) fn some(seed: u64) -> Counts {
        let mut counts = Counts {
            calls: seed,
            failures: seed / 2,
            rescues: seed / 3,
            fallback_ms: seed * 7,
            latencies: Latencies::default(),
        };
        for (bucket, count) in latencies(&mut counts) {
            *count = seed * (bucket as u64 + 1);
        }
        counts
    }

    fn latencies(counts: &mut Counts) -> impl Iterator<Item = (usize, &mut u64)> {
        counts.latencies.0.iter_mut().enumerate()
    }

    #[test]
    fn the_columns_are_those_of_the_table_in_the_order_of_the_counts() {
        let mut conn = database();
        let mut counts = Counts::ZERO;
        (counts.calls, counts.failures, counts.rescues, counts.fallback_ms) = (1, 2, 3, 4);
        latencies(&mut counts).for_each(|(bucket, count)| *count = 5 + bucket as u64);
        add_at(&mut conn, 59, vec![("a", counts)]);
        let stored: Vec<i64> = conn
            .query_row("SELECT * FROM history", [], |row| (3..21).map(|at| row.get(at)).collect())
            .unwrap();
        assert_eq!(stored, (1..=18).collect::<Vec<_>>());
        let row = HistoryRow { source: "a".into(), at: 50, counts };
        assert_eq!(rows(&conn, Span::TenSeconds, at(55)).unwrap(), [row]);
        assert_eq!(rows(&conn, Span::TenSeconds, at(60)).unwrap(), []);
        for (bound, column) in Latencies::BOUNDS.iter().zip(&COUNTS[4..]) {
            let (number, unit) = if *bound < 1.0 { (bound * 1e3, "ms") } else { (*bound, "s") };
            assert_eq!(*column, format!("upTo{number}{unit}"));
        }
    }

    #[test]
    fn rows_of_one_interval_add_up_and_a_clock_that_steps_back_loses_none() {
        let mut conn = database();
        for seconds in [1_000, 1_009, 2_000, 1_005] {
            add_at(&mut conn, seconds, vec![(NAMES[0], some(10)), (NAMES[1], some(1))]);
        }
        let seen: Vec<_> = rows(&conn, Span::TenSeconds, UNIX_EPOCH).unwrap();
        let seen: Vec<_> =
            seen.iter().map(|row| (row.at, row.source.as_str(), row.counts.calls)).collect();
        assert_eq!(
            seen,
            [
                (1_000, NAMES[1], 3),
                (1_000, NAMES[0], 30),
                (2_000, NAMES[1], 1),
                (2_000, NAMES[0], 10),
            ]
        );
        add(
            &conn,
            &Recording {
                at: UNIX_EPOCH - Duration::from_secs(5),
                counts: vec![(NAMES[0], some(1))],
                done: oneshot::channel().0,
            },
        )
        .unwrap();
        assert_eq!(all(&conn)[NAMES[0]].calls, 41);
    }
}
