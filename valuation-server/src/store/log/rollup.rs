//! The rollups: sums of `ProviderLogs` per hour, in `call_hours` and `call_durations`.
//!
//! `rollup_mark` says which rows are in them: all up to an id, each once, and none above it. So it is
//! exactly once without any memory of who wrote a row; `derived` adds them. A reader counts the rows above
//! the mark itself.

use std::collections::BTreeMap;

use super::rows::integer;
use crate::domain::{AccountedCall, CallOutcome, DurationBucket, HourCell};
use crate::store::sql::{Sql, SqlError, ValueRef};

/// An hour, in seconds.
pub(super) const HOUR: i64 = 3_600;
/// A day, in seconds.
pub(super) const DAY: i64 = 86_400;
/// The hour that is stored for calls whose time can't be read.
pub(super) const UNDATED: i64 = -1;

/// Adds to the sums of an hour.
pub(super) const INSERT_HOUR: &str = r#"INSERT INTO "call_hours" ("hour", "providerName", "errorCode",
    "outcome", "rescue", "calls", "sumMs", "maxMs", "minutes", "firstId", "lastId")
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT ("hour", "providerName", "errorCode", "outcome", "rescue") DO UPDATE SET
    "calls" = "call_hours"."calls" + excluded."calls",
    "sumMs" = "call_hours"."sumMs" + excluded."sumMs",
    "maxMs" = CASE WHEN "call_hours"."maxMs" < excluded."maxMs"
        THEN excluded."maxMs" ELSE "call_hours"."maxMs" END,
    "minutes" = "call_hours"."minutes" | excluded."minutes",
    "firstId" = CASE WHEN "call_hours"."firstId" > excluded."firstId"
        THEN excluded."firstId" ELSE "call_hours"."firstId" END,
    "lastId" = CASE WHEN "call_hours"."lastId" < excluded."lastId"
        THEN excluded."lastId" ELSE "call_hours"."lastId" END"#;

/// Adds to the durations of an interval.
pub(super) const INSERT_DURATION: &str = r#"INSERT INTO "call_durations"
    ("span", "at", "providerName", "bucket", "calls") VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT ("span", "at", "providerName", "bucket")
    DO UPDATE SET "calls" = "call_durations"."calls" + excluded."calls""#;

/// Moves the mark.
pub(super) const SET_MARK: &str = r#"UPDATE "rollup_mark" SET "countedTo" = $1"#;

/// Sums of some rows, before they are added to the tables.
#[derive(Debug, Default)]
pub(super) struct Rollup {
    pub(super) cells: BTreeMap<CellKey, Cell>,
    /// By interval, start, provider and bucket.
    pub(super) durations: BTreeMap<(i64, i64, String, u16), u64>,
    last_id: i64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CellKey {
    pub(super) hour: i64,
    pub(super) provider: String,
    pub(super) error_code: String,
    pub(super) outcome: &'static str,
    pub(super) rescue: bool,
}

/// The sums of a row of `call_hours`.
#[derive(Debug)]
pub(super) struct Cell {
    calls: u64,
    sum_ms: u64,
    max_ms: u64,
    minutes: u64,
    first_id: i64,
    last_id: i64,
}

impl Cell {
    /// Adds the sums of other rows, as [`INSERT_HOUR`] does.
    pub(super) fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        self.minutes |= other.minutes;
        self.first_id = self.first_id.min(other.first_id);
        self.last_id = self.last_id.max(other.last_id);
    }

    /// As they are stored, in the order of the columns.
    pub(super) fn numbers(&self) -> [i64; 6] {
        let Self { calls, sum_ms, max_ms, minutes, first_id, last_id } = *self;
        [whole(calls), whole(sum_ms), whole(max_ms), whole(minutes), first_id, last_id]
    }
}

impl Rollup {
    /// Adds a row.
    pub(super) fn add(&mut self, call: &AccountedCall<'_>) {
        let hour = call.at.map_or(UNDATED, |at| at - at.rem_euclid(HOUR));
        let minute = call.at.map_or(0, |at| 1 << (at.rem_euclid(HOUR) / 60));
        let key = CellKey {
            hour,
            provider: call.provider.to_owned(),
            error_code: call.error_code.to_owned(),
            outcome: call.outcome.as_str(),
            rescue: call.rescue,
        };
        let cell = self.cells.entry(key).or_insert(Cell {
            calls: 0,
            sum_ms: 0,
            max_ms: 0,
            minutes: 0,
            first_id: call.id,
            last_id: call.id,
        });
        cell.calls += 1;
        cell.sum_ms = cell.sum_ms.saturating_add(call.duration_ms);
        cell.max_ms = cell.max_ms.max(call.duration_ms);
        cell.minutes |= minute;
        cell.first_id = cell.first_id.min(call.id);
        cell.last_id = cell.last_id.max(call.id);
        self.last_id = self.last_id.max(call.id);
        if let (Some(at), CallOutcome::Success | CallOutcome::Failure) = (call.at, call.outcome) {
            let bucket = DurationBucket::of(call.duration_ms).number();
            for span in [HOUR, DAY] {
                let key = (span, at - at.rem_euclid(span), call.provider.to_owned(), bucket);
                *self.durations.entry(key).or_default() += 1;
            }
        }
    }

    /// Adds the sums to the tables, and moves the mark up to the last of these rows, from `counted_to`.
    pub(super) fn store(&self, sql: &dyn Sql, counted_to: i64) -> Result<(), SqlError> {
        if self.cells.is_empty() {
            return Ok(());
        }
        for (key, cell) in &self.cells {
            let [calls, sum_ms, max_ms, minutes, first_id, last_id] =
                cell.numbers().map(ValueRef::Integer);
            let values = [
                ValueRef::Integer(key.hour),
                ValueRef::from(key.provider.as_str()),
                ValueRef::from(key.error_code.as_str()),
                ValueRef::from(key.outcome),
                ValueRef::Integer(i64::from(key.rescue)),
                calls,
                sum_ms,
                max_ms,
                minutes,
                first_id,
                last_id,
            ];
            sql.execute(INSERT_HOUR, &values)?;
        }
        for ((span, at, provider, bucket), calls) in &self.durations {
            let values = [
                ValueRef::Integer(*span),
                ValueRef::Integer(*at),
                ValueRef::from(provider.as_str()),
                ValueRef::Integer(i64::from(*bucket)),
                ValueRef::Integer(whole(*calls)),
            ];
            sql.execute(INSERT_DURATION, &values)?;
        }
        sql.execute(SET_MARK, &[ValueRef::Integer(counted_to.max(self.last_id))])?;
        Ok(())
    }
}

/// The id up to which all rows are in the tables; `None` if somebody deleted the mark or made it a text, so
/// that the sums can't be used. Rows of the log are stored nevertheless.
pub(super) fn counted_to(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    one(sql, r#"SELECT max("countedTo") FROM "rollup_mark""#)
}

/// The lowest id in the tables.
pub(super) fn first_id(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    one(sql, r#"SELECT min("firstId") FROM "call_hours""#)
}

fn one(sql: &dyn Sql, select: &str) -> Result<Option<i64>, SqlError> {
    Ok(sql.first(select, &[], |row| Ok(integer(row.value(0)?)))?.flatten())
}

/// The cells of these hours, from `start` to before `end`, in the order of time. Those without a time
/// have the hour [`UNDATED`].
pub(super) fn hours(
    sql: &dyn Sql,
    (start, end): (i64, i64),
    mut each: impl FnMut(HourCell<'_>),
) -> Result<(), SqlError> {
    let select = r#"SELECT "hour", "providerName", "errorCode", "outcome", "rescue", "calls", "sumMs",
        "maxMs", "minutes", "firstId", "lastId" FROM "call_hours"
        WHERE "hour" >= $1 AND "hour" < $2 ORDER BY "hour""#;
    sql.each(select, &[ValueRef::Integer(start), ValueRef::Integer(end)], &mut |row| {
        let hour = row.integer(0)?;
        let outcome = row.value(3)?.as_str().ok();
        each(HourCell {
            hour: (hour >= 0).then_some(hour),
            provider: row.value(1)?.as_str().unwrap_or_default(),
            error_code: row.value(2)?.as_str().unwrap_or_default(),
            outcome: crate::domain::row_outcome(outcome, None, None),
            rescue: row.integer(4)? != 0,
            calls: natural(row.integer(5)?),
            sum_ms: natural(row.integer(6)?),
            max_ms: natural(row.integer(7)?),
            minutes: natural(row.integer(8)?),
            first_id: row.integer(9)?,
            last_id: row.integer(10)?,
        });
        Ok(())
    })
}

/// How many calls of each provider took how long, in the intervals of length `span` from `start` to before
/// `end`. The same provider and bucket may come more than once.
pub(super) fn durations(
    sql: &dyn Sql,
    span: i64,
    (start, end): (i64, i64),
    mut each: impl FnMut(&str, DurationBucket, u64),
) -> Result<(), SqlError> {
    let select = r#"SELECT "providerName", "bucket", "calls" FROM "call_durations"
        WHERE "span" = $1 AND "at" >= $2 AND "at" < $3"#;
    sql.each(select, &[span, start, end].map(ValueRef::Integer), &mut |row| {
        if let Some(bucket) = DurationBucket::from_number(row.integer(1)?) {
            let provider = row.value(0)?.as_str().unwrap_or_default();
            each(provider, bucket, natural(row.integer(2)?));
        }
        Ok(())
    })
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
