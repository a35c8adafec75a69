//! Reads the rows of `ProviderLogs`: for the accounting, and for the hash chain.

use std::fmt;

use jiff::Timestamp;

use super::id_ranges::Ids;
use crate::domain::{AccountedCall, log_seconds, row_outcome};
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// All columns, those of the accounting first.
pub(super) const WHOLE: &str = r#""id", "providerName", "requestedAt", "requestDurationMs",
    "responseCode", "errorCode", "outcome", "rescue", "vrm", "requestUrl", "errorMessage""#;

/// The places of the columns in [`WHOLE`], in the table's order.
const TABLE_ORDER: [usize; 11] = [0, 8, 1, 2, 3, 9, 4, 5, 10, 6, 7];

/// Which rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows<'a> {
    /// The first of those with a higher id, in the order of their ids.
    After { id: i64, limit: u32 },
    /// All of these ids.
    All { ids: Ids },
    /// Those from the first to the last id, in the order of their ids.
    Between { first: i64, last: i64 },
    /// Those of a provider in this time, from `start` to before `end` (in seconds since 1970), of these ids.
    During { provider: &'a str, start: i64, end: i64, ids: Ids },
}

/// The columns `"outcome"` and `"rescue"` in a SELECT: a file of an earlier version, which nothing may change
/// here, is without them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Optional {
    pub(super) outcome: bool,
    pub(super) rescue: bool,
}

impl fmt::Display for Optional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |there, name| if there { name } else { "NULL" };
        let (outcome, rescue) =
            (column(self.outcome, r#""outcome""#), column(self.rescue, r#""rescue""#));
        write!(f, "{outcome}, {rescue}")
    }
}

/// Calls `each` with each of the rows, and gives their number. Nothing in a row is an error: a program or an
/// operator may have stored anything.
pub(super) fn each(
    sql: &dyn Sql,
    optional: Optional,
    rows: &Rows<'_>,
    mut each: impl FnMut(AccountedCall<'_>),
) -> Result<u64, SqlError> {
    let columns = format!(
        r#""id", "providerName", "requestedAt", "requestDurationMs", "responseCode", "errorCode",
            {optional}"#
    );
    query(sql, &columns, rows, |row| {
        each(call(row)?);
        Ok(())
    })
}

/// As [`each`], with all columns of the rows. The columns must exist, as in a migrated database.
pub(super) fn each_whole(
    sql: &dyn Sql,
    rows: &Rows<'_>,
    mut each: impl FnMut(&WholeRow<'_>) -> Result<(), SqlError>,
) -> Result<u64, SqlError> {
    query(sql, WHOLE, rows, |row| each(&WholeRow::of(row)?))
}

/// A row with all columns.
pub(super) struct WholeRow<'a> {
    pub(super) id: i64,
    row: &'a dyn Row,
}

impl<'a> WholeRow<'a> {
    /// Of a query for [`WHOLE`], or with its columns.
    pub(super) fn of(row: &'a dyn Row) -> Result<Self, SqlError> {
        Ok(Self { id: row.integer(0)?, row })
    }

    pub(super) fn accounted(&self) -> Result<AccountedCall<'_>, SqlError> {
        call(self.row)
    }

    /// Its values, in the table's order.
    pub(super) fn values(&self) -> impl Iterator<Item = Result<ValueRef<'_>, SqlError>> {
        TABLE_ORDER.into_iter().map(|column| self.row.value(column))
    }
}

fn query(
    sql: &dyn Sql,
    columns: &str,
    rows: &Rows<'_>,
    mut each: impl FnMut(&dyn Row) -> Result<(), SqlError>,
) -> Result<u64, SqlError> {
    let [start, end];
    let limited;
    let (condition, values) = match rows {
        Rows::After { id, limit } => {
            // A limit that is bound makes SQLite prepare the statement again each time, which was a third of a
            // commit.
            limited = format!(r#""id" > $1 ORDER BY "id" LIMIT {limit}"#);
            (limited.as_str(), vec![ValueRef::Integer(*id)])
        }
        Rows::All { ids: (after, up_to) } => (
            r#""id" > $1 AND "id" <= $2"#,
            vec![ValueRef::Integer(*after), ValueRef::Integer(*up_to)],
        ),
        Rows::Between { first, last } => (
            r#""id" >= $1 AND "id" <= $2 ORDER BY "id""#,
            vec![ValueRef::Integer(*first), ValueRef::Integer(*last)],
        ),
        Rows::During { provider, start: from, end: to, ids: (after, up_to) } => {
            [start, end] = [*from, *to].map(seconds_text);
            // By the sign no range of ids is searched in place of the index by provider and time.
            let condition = r#""providerName" = $1 AND "requestedAt" >= $2 AND "requestedAt" < $3
                AND +"id" > $4 AND +"id" <= $5"#;
            let values = vec![
                ValueRef::from(*provider),
                ValueRef::from(start.as_str()),
                ValueRef::from(end.as_str()),
                ValueRef::Integer(*after),
                ValueRef::Integer(*up_to),
            ];
            (condition, values)
        }
    };
    let select = format!(r#"SELECT {columns} FROM "ProviderLogs" WHERE {condition}"#);
    let mut count = 0;
    sql.each(&select, &values, &mut |row| {
        count += 1;
        each(row)
    })?;
    Ok(count)
}

/// Two ids, or neither.
pub(super) fn both(row: &dyn Row) -> Result<Option<(i64, i64)>, SqlError> {
    Ok(row.optional_integer(0)?.zip(row.optional_integer(1)?))
}

fn call(row: &dyn Row) -> Result<AccountedCall<'_>, SqlError> {
    let error_code = row.value(5)?;
    let duration_ms = integer(row.value(3)?).map_or(0, |ms| u64::try_from(ms).unwrap_or(0));
    Ok(AccountedCall {
        id: row.integer(0)?,
        at: str(row.value(2)?).and_then(log_seconds),
        provider: str(row.value(1)?).unwrap_or_default(),
        error_code: str(error_code).unwrap_or_default(),
        outcome: row_outcome(str(row.value(6)?), integer(row.value(4)?), str(error_code)),
        rescue: integer(row.value(7)?) == Some(1),
        duration_ms: duration_ms.min(AccountedCall::LONGEST_MS),
    })
}

fn str(value: ValueRef<'_>) -> Option<&str> {
    value.as_str().ok()
}

pub(super) fn integer(value: ValueRef<'_>) -> Option<i64> {
    value.as_i64().ok()
}

/// A time as the log has it: UTC, with milliseconds. Its order as text is the order of time; the index by
/// provider and time needs that.
pub(super) fn time_text(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn seconds_text(seconds: i64) -> String {
    time_text(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}
