//! Statements that are recorded, to be sent together.

use std::cell::RefCell;

use rusqlite::types::Value;

use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// Records the writes of a transaction, by statement. It reads nothing.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    written: RefCell<Vec<Written>>,
}

/// The rows of one statement.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) sql: String,
    pub(super) rows: Vec<Vec<Value>>,
}

impl Recorder {
    /// What was recorded, in the order of the first row of each statement.
    pub(super) fn into_written(self) -> Vec<Written> {
        self.written.into_inner()
    }
}

impl Sql for Recorder {
    fn each(
        &self,
        _: &str,
        _: &[ValueRef<'_>],
        _: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        Ok(())
    }

    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, SqlError> {
        let row = values.iter().map(|value| owned(*value)).collect();
        let mut written = self.written.borrow_mut();
        match written.iter_mut().find(|written| written.sql == sql) {
            Some(written) => written.rows.push(row),
            None => written.push(Written { sql: sql.to_owned(), rows: vec![row] }),
        }
        Ok(1)
    }
}

/// A text of ours is UTF-8.
pub(super) fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
