//! The tables that an archive has of a database: the log's rows, and the records of its hash chain. Both
//! are copied and compared in the order of their ids, whatever their columns.

use super::chain;
use super::id_ranges::Ids;
use super::rows::both;
use crate::store::sql::{Sql, SqlError, ValueRef};

/// How many rows are held in memory to compare them.
const PIECE: i64 = 256;

/// A table whose rows have rising ids.
#[derive(Debug)]
pub(in crate::store) struct LogTable {
    name: &'static str,
    key: &'static str,
    /// All of them, the key first.
    columns: Vec<String>,
}

/// Which of two databases an error is about.
#[derive(Debug)]
pub(in crate::store) enum CopyError {
    Reading(SqlError),
    Writing(SqlError),
}

impl LogTable {
    /// `ProviderLogs`, and the id of its rows.
    pub(in crate::store) const ROWS: (&'static str, &'static str) = ("ProviderLogs", "id");
    /// `log_chain`, and the id of its records.
    pub(in crate::store) const CHAIN: (&'static str, &'static str) = ("log_chain", "lastId");

    /// One of these with its columns, the key first.
    pub(in crate::store) fn new(
        (name, key): (&'static str, &'static str),
        columns: Vec<String>,
    ) -> Self {
        Self { name, key, columns }
    }

    /// Which one it is.
    pub(in crate::store) fn which(&self) -> (&'static str, &'static str) {
        (self.name, self.key)
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

    fn columns(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|name| quoted(name)).collect();
        columns.join(", ")
    }

    fn select(&self) -> String {
        let (Self { name, key, .. }, columns) = (self, self.columns());
        format!(
            r#"SELECT {columns} FROM "{name}" WHERE "{key}" > $1 AND "{key}" <= $2 ORDER BY "{key}""#
        )
    }

    /// Copies rows as they are stored, in constant memory, and gives their number.
    pub(in crate::store) fn copy(
        &self,
        from: &dyn Sql,
        to: &dyn Sql,
        (after, up_to): Ids,
    ) -> Result<u64, CopyError> {
        let places: Vec<_> = (1..=self.columns.len()).map(|number| format!("${number}")).collect();
        let (name, columns, places) = (self.name, self.columns(), places.join(", "));
        let insert = format!(r#"INSERT INTO "{name}" ({columns}) VALUES ({places})"#);
        let (mut count, mut failed) = (0, false);
        let ids = [after, up_to].map(ValueRef::Integer);
        from.each(&self.select(), &ids, &mut |row| {
            let values = (0..self.columns.len()).map(|column| row.value(column));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            to.execute(&insert, &values).inspect_err(|_| failed = true)?;
            count += 1;
            Ok(())
        })
        .map_err(|error| {
            if failed { CopyError::Writing(error) } else { CopyError::Reading(error) }
        })?;
        Ok(count)
    }

    /// The lowest of these ids whose row is in one of the databases alone, or is not the same in both.
    pub(in crate::store) fn difference(
        &self,
        one: &dyn Sql,
        other: &dyn Sql,
        (mut after, up_to): Ids,
    ) -> Result<Option<i64>, SqlError> {
        loop {
            let (one, other) =
                (self.encoded(one, (after, up_to))?, self.encoded(other, (after, up_to))?);
            if let Some(at) =
                (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at))
            {
                let ids = [one.get(at), other.get(at)].into_iter().flatten().map(|(id, _)| *id);
                return Ok(ids.min());
            }
            match one.last() {
                Some((last, _)) => after = *last,
                None => return Ok(None),
            }
        }
    }

    /// The first of these rows, with an encoding of their values.
    fn encoded(&self, sql: &dyn Sql, (after, up_to): Ids) -> Result<Vec<(i64, Vec<u8>)>, SqlError> {
        let select = format!("{} LIMIT $3", self.select());
        sql.all(&select, &[after, up_to, PIECE].map(ValueRef::Integer), |row| {
            let mut encoded = Vec::new();
            chain::encode((0..self.columns.len()).map(|column| row.value(column)), &mut encoded)?;
            Ok((row.integer(0)?, encoded))
        })
    }

    /// How many rows there are with these ids.
    pub(in crate::store) fn count(
        &self,
        sql: &dyn Sql,
        (after, up_to): Ids,
    ) -> Result<u64, SqlError> {
        let Self { name, key, .. } = self;
        let select =
            format!(r#"SELECT count(*) FROM "{name}" WHERE "{key}" > $1 AND "{key}" <= $2"#);
        let ids = [after, up_to].map(ValueRef::Integer);
        let count = sql.first(&select, &ids, |row| row.integer(0))?;
        Ok(count.map_or(0, i64::unsigned_abs))
    }

    /// Deletes rows, and gives their number.
    pub(in crate::store) fn delete(
        &self,
        sql: &dyn Sql,
        (after, up_to): Ids,
    ) -> Result<u64, SqlError> {
        let Self { name, key, .. } = self;
        let delete = format!(r#"DELETE FROM "{name}" WHERE "{key}" > $1 AND "{key}" <= $2"#);
        sql.execute(&delete, &[after, up_to].map(ValueRef::Integer))
    }

    /// The lowest and the highest id; `None` without rows.
    pub(in crate::store) fn ends(
        (name, key): (&str, &str),
        sql: &dyn Sql,
    ) -> Result<Option<(i64, i64)>, SqlError> {
        // Each by itself, so that both are found at the ends of the index.
        let select = format!(
            r#"SELECT (SELECT min("{key}") FROM "{name}"), (SELECT max("{key}") FROM "{name}")"#
        );
        Ok(sql.first(&select, &[], both)?.flatten())
    }
}

/// A name as an identifier in SQL.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!(r#""{}""#, name.replace('"', r#""""#))
}
