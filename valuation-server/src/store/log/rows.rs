//! Reads the rows of `ProviderLogs`: for the accounting, and for the hash chain.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, ToSql};

use super::id_ranges::Ids;
use crate::domain::{AccountedCall, log_seconds, row_outcome};

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
    /// Those of a provider in this time, from `start` to before `end` (in seconds since 1970), of these ids.
    During { provider: &'a str, start: i64, end: i64, ids: Ids },
}

/// Calls `each` with each of the rows, and gives their number. Nothing in a row is an error: a program or an
/// operator may have stored anything.
pub(super) fn each(
    conn: &Connection,
    rows: &Rows<'_>,
    mut each: impl FnMut(AccountedCall<'_>),
) -> rusqlite::Result<u64> {
    let optional = optional_columns(conn)?;
    let columns = format!(
        r#""id", "providerName", "requestedAt", "requestDurationMs", "responseCode", "errorCode",
            {optional}"#
    );
    query(conn, &columns, rows, |row| {
        each(call(row)?);
        Ok(())
    })
}

/// As [`each`], with all columns of the rows. The columns must exist, as in a migrated database.
pub(super) fn each_whole(
    conn: &Connection,
    rows: &Rows<'_>,
    mut each: impl FnMut(&WholeRow<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<u64> {
    query(conn, WHOLE, rows, |row| each(&WholeRow::of(row)?))
}

/// A row with all columns.
pub(super) struct WholeRow<'a> {
    pub(super) id: i64,
    row: &'a Row<'a>,
}

impl<'a> WholeRow<'a> {
    /// Of a query for [`WHOLE`].
    pub(super) fn of(row: &'a Row<'a>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, row })
    }

    pub(super) fn accounted(&self) -> rusqlite::Result<AccountedCall<'_>> {
        call(self.row)
    }

    /// Its values, in the table's order.
    pub(super) fn values(&self) -> impl Iterator<Item = rusqlite::Result<ValueRef<'_>>> {
        TABLE_ORDER.into_iter().map(|column| self.row.get_ref(column))
    }
}

fn query(
    conn: &Connection,
    columns: &str,
    rows: &Rows<'_>,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<u64> {
    let times;
    let (condition, parameters): (&str, Vec<&dyn ToSql>) = match rows {
        Rows::After { id, limit } => (r#""id" > ?1 ORDER BY "id" LIMIT ?2"#, vec![id, limit]),
        Rows::All { ids: (after, up_to) } => (r#""id" > ?1 AND "id" <= ?2"#, vec![after, up_to]),
        Rows::During { provider, start, end, ids: (after, up_to) } => {
            times = [*start, *end].map(text);
            // By the sign no range of ids is searched in place of the index by provider and time.
            let condition = r#""providerName" = ?1 AND "requestedAt" >= ?2 AND "requestedAt" < ?3
                AND +"id" > ?4 AND +"id" <= ?5"#;
            (condition, vec![provider, &times[0], &times[1], after, up_to])
        }
    };
    let sql = format!(r#"SELECT {columns} FROM "ProviderLogs" WHERE {condition}"#);
    let mut select = conn.prepare_cached(&sql)?;
    let mut found = select.query(parameters.as_slice())?;
    let mut count = 0;
    while let Some(row) = found.next()? {
        each(row)?;
        count += 1;
    }
    Ok(count)
}

fn call<'a>(row: &'a Row<'_>) -> rusqlite::Result<AccountedCall<'a>> {
    let error_code = row.get_ref(5)?;
    let duration_ms = integer(row.get_ref(3)?).map_or(0, |ms| u64::try_from(ms).unwrap_or(0));
    Ok(AccountedCall {
        id: row.get(0)?,
        at: str(row.get_ref(2)?).and_then(log_seconds),
        provider: str(row.get_ref(1)?).unwrap_or_default(),
        error_code: str(error_code).unwrap_or_default(),
        outcome: row_outcome(str(row.get_ref(6)?), integer(row.get_ref(4)?), str(error_code)),
        rescue: integer(row.get_ref(7)?) == Some(1),
        duration_ms: duration_ms.min(AccountedCall::LONGEST_MS),
    })
}

fn str(value: ValueRef<'_>) -> Option<&str> {
    value.as_str().ok()
}

pub(super) fn integer(value: ValueRef<'_>) -> Option<i64> {
    value.as_i64().ok()
}

/// A database of an earlier version, which nothing may change here, is without these columns.
pub(super) fn optional_columns(conn: &Connection) -> rusqlite::Result<String> {
    let mut has = conn
        .prepare_cached("SELECT count(*) FROM pragma_table_info('ProviderLogs') WHERE name = ?1")?;
    let mut column = |name: &str| -> rusqlite::Result<String> {
        let there: bool = has.query_row([name], |row| row.get(0))?;
        Ok(if there { format!(r#""{name}""#) } else { "NULL".to_owned() })
    };
    Ok(format!("{}, {}", column("outcome")?, column("rescue")?))
}

/// A time as the log has it.
fn text(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}
