//! Copies the log: records of its hash chain, each with the rows up to its end.

use rusqlite::types::Value;

use super::error::MigrateError;
use super::side::Side;
use super::tables::{CHAIN, REQUESTED_AT, ROWS, Table, Values};
use crate::domain::LogHead;
use crate::store::chain;
use crate::store::sql::{Row, SqlError, ValueRef};

/// How many rows a piece has. Only one record alone may have more.
const PIECE: i64 = 2_000;

/// Some records, and the rows up to the last one's end.
pub(super) struct LogPiece {
    records: Vec<Values>,
    rows: Vec<Values>,
    /// Where the log ends with it.
    pub(super) end: LogHead,
}

impl LogPiece {
    /// Reads what follows the head; `None` at the end of the log.
    pub(super) fn read(from: &Side, after: Option<LogHead>) -> Result<Option<Self>, MigrateError> {
        // The first piece takes rows of any id. The ids in SQLite begin where somebody wanted it.
        let after_id = after.map_or(i64::MIN, |after| after.last_id);
        Self::read_after(from, after_id).map_err(MigrateError::reading(&from.place))
    }

    fn read_after(from: &Side, after_id: i64) -> Result<Option<Self>, SqlError> {
        let Some(end) = end_of_piece(from, after_id)? else { return Ok(None) };
        let range = [after_id, end.last_id].map(ValueRef::Integer);
        let all =
            |table: &Table| from.sql().all(&table.select_range(), &range, |row| table.read(row));
        let (records, rows) = (all(&CHAIN)?, all(&ROWS)?);
        Ok(Some(Self { records, rows, end }))
    }

    /// The times of its rows.
    pub(super) fn times(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(|row| match row.get(REQUESTED_AT) {
            Some(Value::Text(time)) => Some(time.as_str()),
            _ => None,
        })
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Adds it to the end of the target's log, within a transaction of the caller.
    pub(super) fn write(&self, to: &Side) -> Result<(), MigrateError> {
        to.insert(&ROWS.insert(), &self.rows)?;
        to.insert(&CHAIN.insert(), &self.records)?;
        to.set_end(Some(self.end), 0)
    }
}

/// The last record of the piece after an id.
fn end_of_piece(from: &Side, after_id: i64) -> Result<Option<LogHead>, SqlError> {
    let select = format!(
        r#"SELECT "firstId", "lastId", "head" FROM "log_chain" WHERE "lastId" > $1
            ORDER BY "lastId" LIMIT {PIECE}"#
    );
    let (mut end, mut rows) = (None, 0_i64);
    from.sql().each(&select, &[ValueRef::Integer(after_id)], &mut |row: &dyn Row| {
        if rows < PIECE {
            let (first_id, last_id) = (row.integer(0)?, row.integer(1)?);
            rows = rows.saturating_add(last_id.saturating_sub(first_id)).saturating_add(1);
            let hash = chain::hash(row, 2)?.unwrap_or(chain::START);
            end = Some(LogHead { last_id, hash });
        }
        Ok(())
    })?;
    Ok(end)
}
