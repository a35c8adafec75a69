//! A connection to a database, as the statements see it that both engines understand.
//!
//! Such a statement has numbered parameters, `$1` and so on, names in double quotes, and nothing that one of the
//! engines lacks: upserts are `ON CONFLICT … DO UPDATE` with the table's name before its columns, sums are cast
//! (`CAST(sum("calls") AS bigint)`), booleans are integers. Calls block the thread.

use std::sync::Arc;

use rusqlite::types::ToSqlOutput;
pub(super) use rusqlite::types::ValueRef;

use rusqlite::{CachedStatement, Connection};

use super::error::{Cause, OpenProblem, StoreError};
use super::failure::Failure;
use super::postgres::error::PgError;

/// A connection, or a transaction on it.
pub(super) trait Sql {
    /// Runs a statement, and calls `each` with each row as it comes: memory does not grow with their number.
    ///
    /// # Errors
    /// That of the database, or the first of `each`, after which no more rows are read.
    fn each(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError>;

    /// Runs a statement without rows, and gives the number of rows that it changed.
    ///
    /// # Errors
    /// That of the database.
    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, SqlError>;
}

/// A row of a result.
pub(super) trait Row {
    /// The value of a column, counted from 0.
    ///
    /// # Errors
    /// If there is no such column, or its type is none of ours.
    fn value(&self, column: usize) -> Result<ValueRef<'_>, SqlError>;
}

impl dyn Row + '_ {
    /// An integer.
    ///
    /// # Errors
    /// If it is something else.
    pub(super) fn integer(&self, column: usize) -> Result<i64, SqlError> {
        Ok(self.value(column)?.as_i64()?)
    }

    /// An integer or NULL.
    ///
    /// # Errors
    /// If it is something else.
    pub(super) fn optional_integer(&self, column: usize) -> Result<Option<i64>, SqlError> {
        Ok(self.value(column)?.as_i64_or_null()?)
    }

    /// A text.
    ///
    /// # Errors
    /// If it is something else, or not UTF-8.
    pub(super) fn text(&self, column: usize) -> Result<&str, SqlError> {
        Ok(self.value(column)?.as_str()?)
    }
}

impl dyn Sql + '_ {
    /// What `read` makes of the rows, all of which are read.
    ///
    /// # Errors
    /// As [`Sql::each`].
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        let mut all = Vec::new();
        self.each(sql, values, &mut |row| {
            all.push(read(row)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// What `read` makes of the first row, if there is one.
    ///
    /// # Errors
    /// As [`Sql::each`].
    pub(super) fn first<T>(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T, SqlError>,
    ) -> Result<Option<T>, SqlError> {
        let mut first = None;
        self.each(sql, values, &mut |row| {
            if first.is_none() {
                first = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(first)
    }
}

/// A failed statement.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// SQLite's.
    #[error(transparent)]
    Sqlite(Arc<rusqlite::Error>),
    /// PostgreSQL's.
    #[error(transparent)]
    Postgres(Arc<PgError>),
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<PgError> for SqlError {
    fn from(error: PgError) -> Self {
        Self::Postgres(Arc::new(error))
    }
}

impl From<rusqlite::types::FromSqlError> for SqlError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        rusqlite::Error::from(error).into()
    }
}

impl From<SqlError> for Cause {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Sqlite(error) => error,
            SqlError::Postgres(error) => error,
        }
    }
}

impl From<SqlError> for OpenProblem {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Sqlite(error) => error.into(),
            SqlError::Postgres(error) => Self::Postgres(error),
        }
    }
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl SqlError {
    /// What it says about other statements.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Sqlite(error) => Failure::of(error),
            Self::Postgres(error) => error.failure(),
        }
    }
}

impl Sql for Connection {
    fn each(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let mut statement = bound(self, sql, values)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            each(row)?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, SqlError> {
        Ok(bound(self, sql, values)?.raw_execute()? as u64)
    }
}

impl Row for rusqlite::Row<'_> {
    fn value(&self, column: usize) -> Result<ValueRef<'_>, SqlError> {
        Ok(self.get_ref(column)?)
    }
}

/// A statement with its values.
fn bound<'a>(
    conn: &'a Connection,
    sql: &str,
    values: &[ValueRef<'_>],
) -> rusqlite::Result<CachedStatement<'a>> {
    let mut statement = conn.prepare_cached(sql)?;
    let count = statement.parameter_count();
    for index in 1..=count {
        // To SQLite `$7` is a name. It numbers parameters in the order in which they stand.
        let number = statement.parameter_name(index).map_or(0, number);
        let Some(value) = number.checked_sub(1).and_then(|at| values.get(at)) else {
            return Err(rusqlite::Error::InvalidParameterCount(values.len(), count));
        };
        statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(*value))?;
    }
    Ok(statement)
}

/// The number in the name of a parameter; 0 if there is none. Without `str::parse`, since each commit has some
/// thirty parameters.
fn number(name: &str) -> usize {
    name.bytes().skip(1).fold(0, |number: usize, digit| match digit {
        b'0'..=b'9' => number.saturating_mul(10).saturating_add(usize::from(digit - b'0')),
        _ => usize::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_bound_by_its_number_in_whichever_order_they_stand() {
        let conn = Connection::open_in_memory().unwrap();
        let sql: &dyn Sql = &conn;
        let values = [ValueRef::Integer(1), ValueRef::Text(b"two"), ValueRef::Null];
        let read = |row: &dyn Row| {
            Ok((row.text(0)?.to_owned(), row.integer(1)?, row.optional_integer(2)?))
        };
        let row = sql.first("SELECT $2, $1 + $1, $3", &values, read).unwrap();
        assert_eq!(row, Some(("two".to_owned(), 2, None)));
        let none = sql.all("SELECT $1 WHERE $1 > 1", &values, |row| row.integer(0)).unwrap();
        assert!(none.is_empty());
        let numbers: Vec<_> = (1..=12).map(ValueRef::Integer).collect();
        let read = |row: &dyn Row| Ok((row.integer(0)?, row.integer(1)?));
        assert_eq!(sql.first("SELECT $12, $3", &numbers, read).unwrap(), Some((12, 3)));
        assert!(sql.first("SELECT $4", &values, read).is_err(), "a parameter without a value");
    }

    #[test]
    fn an_error_says_whether_another_statement_may_succeed() {
        let conn = Connection::open_in_memory().unwrap();
        let sql: &dyn Sql = &conn;
        sql.execute(r#"CREATE TABLE "t" ("id" integer PRIMARY KEY NOT NULL)"#, &[]).unwrap();
        let insert = r#"INSERT INTO "t" ("id") VALUES ($1)"#;
        assert_eq!(sql.execute(insert, &[ValueRef::Integer(1)]).unwrap(), 1);
        let twice = sql.execute(insert, &[ValueRef::Integer(1)]).unwrap_err();
        assert_eq!(twice.failure(), Failure::Row);
        let missing = sql.execute(r#"DELETE FROM "missing""#, &[]).unwrap_err();
        assert_eq!(missing.failure(), Failure::Statement);
    }
}
