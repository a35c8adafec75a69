//! The tables that an archive has of a database: the log's rows, and the records of its hash chain. Both
//! are copied and compared in the order of their ids, whatever their columns.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Statement};

use super::id_ranges::Ids;

/// A table whose rows have rising ids.
#[derive(Debug)]
pub(in crate::store) struct LogTable {
    name: &'static str,
    key: &'static str,
    /// All of them, the key first.
    columns: Vec<String>,
}

/// Which of two files an error is about.
#[derive(Debug)]
pub(in crate::store) enum CopyError {
    Reading(rusqlite::Error),
    Writing(rusqlite::Error),
}

impl LogTable {
    /// `ProviderLogs`, as it is in this file.
    pub(in crate::store) fn rows(conn: &Connection) -> rusqlite::Result<Self> {
        Self::of(conn, "ProviderLogs", "id")
    }

    /// `log_chain`, as it is in this file.
    pub(in crate::store) fn chain(conn: &Connection) -> rusqlite::Result<Self> {
        Self::of(conn, "log_chain", "lastId")
    }

    fn of(conn: &Connection, name: &'static str, key: &'static str) -> rusqlite::Result<Self> {
        let columns = conn
            .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name <> ?2")?
            .query_map([name, key], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(Self { name, key, columns })
    }

    /// Its name.
    pub(in crate::store) fn name(&self) -> &'static str {
        self.name
    }

    /// A column that the other table is without.
    pub(in crate::store) fn column_missing_in(&self, other: &Self) -> Option<&str> {
        let has =
            |name: &String| other.columns.iter().any(|known| known.eq_ignore_ascii_case(name));
        self.columns.iter().find(|name| !has(name)).map(String::as_str)
    }

    /// Without the columns that the other table doesn't have: a file of an earlier version has fewer.
    pub(in crate::store) fn common(mut self, other: &Self) -> Self {
        while let Some(missing) = self.column_missing_in(other).map(str::to_owned) {
            self.columns.retain(|name| *name != missing);
        }
        self
    }

    fn select<'c>(&self, conn: &'c Connection) -> rusqlite::Result<Statement<'c>> {
        let columns: Vec<_> = self.columns.iter().map(|name| quoted(name)).collect();
        let Self { name, key, .. } = self;
        conn.prepare(&format!(
            r#"SELECT {} FROM "{name}" WHERE "{key}" > ?1 AND "{key}" <= ?2 ORDER BY "{key}""#,
            columns.join(", ")
        ))
    }

    /// Copies rows as they are stored, in constant memory, and gives their number.
    pub(in crate::store) fn copy(
        &self,
        from: &Connection,
        to: &Connection,
        ids: Ids,
    ) -> Result<u64, CopyError> {
        let columns: Vec<_> = self.columns.iter().map(|name| quoted(name)).collect();
        let values = vec!["?"; columns.len()].join(", ");
        let sql =
            format!(r#"INSERT INTO "{}" ({}) VALUES ({values})"#, self.name, columns.join(", "));
        let mut insert = to.prepare(&sql).map_err(CopyError::Writing)?;
        let mut select = self.select(from).map_err(CopyError::Reading)?;
        let mut rows = select.query(ids).map_err(CopyError::Reading)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(CopyError::Reading)? {
            for column in 0..self.columns.len() {
                let value = row.get_ref(column).map_err(CopyError::Reading)?;
                insert
                    .raw_bind_parameter(column + 1, ToSqlOutput::Borrowed(value))
                    .map_err(CopyError::Writing)?;
            }
            insert.raw_execute().map_err(CopyError::Writing)?;
            count += 1;
        }
        Ok(count)
    }

    /// The lowest of these ids whose row is in one of the files alone, or is not the same in both.
    pub(in crate::store) fn difference(
        &self,
        one: &Connection,
        other: &Connection,
        ids: Ids,
    ) -> rusqlite::Result<Option<i64>> {
        let (mut one, mut other) = (self.select(one)?, self.select(other)?);
        let (mut one, mut other) = (one.query(ids)?, other.query(ids)?);
        loop {
            let (a, b) = match (one.next()?, other.next()?) {
                (None, None) => return Ok(None),
                (Some(row), None) | (None, Some(row)) => return row.get(0).map(Some),
                (Some(a), Some(b)) => (a, b),
            };
            for column in 0..self.columns.len() {
                if a.get_ref(column)? != b.get_ref(column)? {
                    let (a, b): (i64, i64) = (a.get(0)?, b.get(0)?);
                    return Ok(Some(a.min(b)));
                }
            }
        }
    }

    /// Deletes rows, and gives their number.
    pub(in crate::store) fn delete(
        &self,
        conn: &Connection,
        (after, up_to): Ids,
    ) -> rusqlite::Result<usize> {
        let Self { name, key, .. } = self;
        conn.prepare_cached(&format!(
            r#"DELETE FROM "{name}" WHERE "{key}" > ?1 AND "{key}" <= ?2"#
        ))?
        .execute((after, up_to))
    }

    /// The lowest and the highest id; `None` without rows.
    pub(in crate::store) fn ends(&self, conn: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
        let Self { name, key, .. } = self;
        // Each by itself, so that both are found at the ends of the table.
        let sql = format!(
            r#"SELECT (SELECT min("{key}") FROM "{name}"), (SELECT max("{key}") FROM "{name}")"#
        );
        let ends: (Option<i64>, Option<i64>) =
            conn.prepare_cached(&sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(ends.0.zip(ends.1))
    }
}

/// A name as an identifier in SQL.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!(r#""{}""#, name.replace('"', r#""""#))
}
