//! Takes rows of the log that an archive has out of a database of PostgreSQL, next to running servers.
//!
//! Nothing here locks `log_head`, which would stop the servers: they write none of the rows that are archived. Rows are
//! compared and deleted in one state (`REPEATABLE READ`), so that a row that somebody changes meanwhile fails it.
//!
//! The partition of a month of which all rows are archived is dropped, with all other rows up to its last one in the
//! same transaction, so that the rows that stay are still those of the hash chain that stays. Its rows are compared
//! without a lock, and counted under the lock that dropping needs: the whole table. That is tried for a moment and
//! again later, so that servers never wait for a long report.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use super::address::PostgresAddress;
use super::error::PgError;
use super::link::Link;
use super::log;
use super::session::Session;
use crate::store::error::OpenProblem;
use crate::store::failure::Failure;
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// Deletes. The time-out is for rows and partitions that another archive command has locked.
const WRITE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout = '30s'";

/// Compares and drops: each statement sees what was committed before it.
const DROP: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '30s'";

/// Waits for the whole table, for a moment: no server can write or read the log meanwhile.
const LOCK_ALL: &str = r#"SAVEPOINT "drop"; SET LOCAL lock_timeout = '200ms';
    LOCK TABLE ONLY "ProviderLogs" IN ACCESS EXCLUSIVE MODE"#;

/// The pause between two tries to have the table.
const PAUSE: Duration = Duration::from_millis(800);

/// How long it is tried: then the rows are deleted one by one, for which no reader is in the way.
const TRIES: Duration = Duration::from_secs(20);

/// How many rows of other partitions may go with a partition.
const STRAY: i64 = 10_000;

/// A connection that may delete rows.
pub(in crate::store) struct PostgresArchiving {
    link: Link,
    /// How long a partition is tried to be dropped.
    pub(in crate::store) tries: Duration,
}

impl fmt::Debug for PostgresArchiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresArchiving").finish_non_exhaustive()
    }
}

/// The partition of a month, all of whose rows are to be archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct WholeMonth {
    name: String,
    /// The rows up to this id go with it, in whichever partition. A record of the hash chain ends with it.
    pub(in crate::store) up_to: i64,
}

impl PostgresArchiving {
    /// Connects. Blocks the thread.
    ///
    /// # Errors
    /// [`OpenProblem`].
    pub(in crate::store) fn open(address: &PostgresAddress) -> Result<Self, OpenProblem> {
        Ok(Self { link: Link::open_log(address)?, tries: TRIES })
    }

    /// The columns of a table in their order, the key first.
    pub(in crate::store) fn columns(&self, table: (&str, &str)) -> Result<Vec<String>, SqlError> {
        log::columns(&self.link.session(), table)
    }

    /// Reads one state. `failed` makes an error of the caller's.
    ///
    /// # Errors
    /// That of `read`, or of the database.
    pub(in crate::store) fn read<T, E>(
        &self,
        failed: impl Fn(SqlError) -> E,
        read: impl FnOnce(&dyn Sql) -> Result<T, E>,
    ) -> Result<T, E> {
        let session = self.link.session();
        let begun = session.batch(log::BEGIN).map_err(|error| failed(error.into()));
        let read = begun.and_then(|()| read(&session));
        log::end(session);
        read
    }

    /// Reads one state and deletes from it, or does nothing.
    ///
    /// # Errors
    /// That of `write`, or of the database.
    pub(in crate::store) fn write<T, E>(
        &self,
        failed: impl Fn(SqlError) -> E,
        write: impl FnOnce(&dyn Sql) -> Result<T, E>,
    ) -> Result<T, E> {
        let session = self.link.session();
        let failed = |error: PgError| failed(error.into());
        let written = session.batch(WRITE).map_err(failed).and_then(|()| {
            let written = write(&session)?;
            session.batch("COMMIT").map_err(failed)?;
            Ok(written)
        });
        written.inspect_err(|_| log::end(session))
    }

    /// The partition of the lowest row, if it is a month's, has no row above `cut`, and few other rows are below its
    /// last one.
    pub(in crate::store) fn whole_month(
        &self,
        sql: &dyn Sql,
        cut: i64,
    ) -> Result<Option<WholeMonth>, SqlError> {
        let select = r#"SELECT CAST(relname AS text) FROM pg_class WHERE oid =
            (SELECT "tableoid" FROM "ProviderLogs" ORDER BY "id" LIMIT 1)"#;
        let name = sql.first(select, &[], |row| Ok(row.text(0)?.to_owned()))?;
        let Some(name) = name.filter(|name| is_month(name)) else { return Ok(None) };
        let last = last_id(sql, &name)?.filter(|last| *last <= cut);
        let Some(last) = last else { return Ok(None) };
        let select = r#"SELECT min("lastId") FROM "log_chain" WHERE "lastId" >= $1"#;
        let up_to = sql.first(select, &[ValueRef::Integer(last)], |row| row.optional_integer(0))?;
        let Some(up_to) = up_to.flatten().filter(|up_to| *up_to <= cut) else { return Ok(None) };
        let mut stray = 0;
        for other in partitions(sql)?.iter().filter(|other| **other != name) {
            let select = format!(
                r#"SELECT count(*) FROM (SELECT 1 FROM "{other}" WHERE "id" <= $1 LIMIT $2) AS "stray""#
            );
            let values = [up_to, STRAY + 1].map(ValueRef::Integer);
            stray += sql.first(&select, &values, |row| row.integer(0))?.unwrap_or(0);
        }
        Ok((stray <= STRAY).then_some(WholeMonth { name, up_to }))
    }

    /// Compares the rows with the archive, then drops the partition and deletes what goes with it. `compare` gives the
    /// number of rows up to the last that go. Gives it too; `None` if others used the table all the time, or the
    /// rows are not those that were compared: nothing is done.
    ///
    /// # Errors
    /// That of `compare`, or of the database: nothing is done.
    pub(in crate::store) fn drop_month<E>(
        &self,
        month: &WholeMonth,
        failed: impl Fn(SqlError) -> E,
        compare: impl FnOnce(&dyn Sql) -> Result<u64, E>,
    ) -> Result<Option<u64>, E> {
        let session = self.link.session();
        let begun = session.batch(DROP).map_err(|error| failed(error.into()));
        let dropped = begun.and_then(|()| {
            let rows = compare(&session)?;
            let others = delete_others(&session, month).map_err(&failed)?;
            let left = rows.saturating_sub(others);
            Ok(drop_partition(session, month, left, self.tries).map_err(&failed)?.then_some(rows))
        });
        if !matches!(dropped, Ok(Some(_))) {
            log::end(session);
        }
        dropped
    }
}

/// Deletes the rows up to an id that are in other partitions, and the records of the hash chain up to it.
fn delete_others(sql: &dyn Sql, month: &WholeMonth) -> Result<u64, SqlError> {
    let (mut rows, up_to) = (0, [ValueRef::Integer(month.up_to)]);
    for other in partitions(sql)?.iter().filter(|other| **other != month.name) {
        rows += sql.execute(&format!(r#"DELETE FROM "{other}" WHERE "id" <= $1"#), &up_to)?;
    }
    sql.execute(r#"DELETE FROM "log_chain" WHERE "lastId" <= $1"#, &up_to)?;
    Ok(rows)
}

/// Drops the partition and commits, when it can have the whole table and the partition has so many rows and no newer
/// one; `false` otherwise. What the transaction did before is kept from try to try, and no lock that a server waits
/// for.
fn drop_partition(
    session: Session<'_>,
    month: &WholeMonth,
    rows: u64,
    tries: Duration,
) -> Result<bool, SqlError> {
    let name = month.name.as_str();
    let began = Instant::now();
    loop {
        match try_drop(session, month, rows) {
            Ok(true) => {
                tracing::info!(
                    partition = name,
                    "an archived partition of ProviderLogs was dropped"
                );
                return Ok(true);
            }
            Ok(false) => {
                tracing::warn!(
                    partition = name,
                    "a partition of ProviderLogs got rows while it was archived: its older rows are deleted one \
                     by one"
                );
                return Ok(false);
            }
            Err(error) if error.failure() != Failure::Locked => return Err(error),
            Err(_) if began.elapsed() >= tries => {
                tracing::warn!(
                    partition = name,
                    waited = ?tries,
                    "a partition of ProviderLogs cannot be dropped while others read the log, such as a report \
                     or pg_dump: its rows are deleted one by one, and the empty partition stays"
                );
                return Ok(false);
            }
            Err(_) => {}
        }
        session.batch(r#"ROLLBACK TO SAVEPOINT "drop""#)?;
        thread::sleep(PAUSE);
    }
}

/// From the lock on nobody reads or writes the table. What a server had begun to write is seen.
fn try_drop(
    session: Session<'_>,
    WholeMonth { name, up_to }: &WholeMonth,
    rows: u64,
) -> Result<bool, SqlError> {
    session.batch(LOCK_ALL)?;
    let select = format!(r#"SELECT count(*), coalesce(max("id"), 0) FROM "{name}""#);
    let read = |row: &dyn Row| Ok((row.integer(0)?.unsigned_abs(), row.integer(1)?));
    let found = (&session as &dyn Sql).first(&select, &[], read)?;
    if found.is_none_or(|(count, last)| count != rows || last > *up_to) {
        return Ok(false);
    }
    session.batch(&format!(
        r#"ALTER TABLE "ProviderLogs" DETACH PARTITION "{name}"; DROP TABLE "{name}"; COMMIT"#
    ))?;
    Ok(true)
}

fn last_id(sql: &dyn Sql, partition: &str) -> Result<Option<i64>, SqlError> {
    let select = format!(r#"SELECT max("id") FROM "{partition}""#);
    Ok(sql.first(&select, &[], |row| row.optional_integer(0))?.flatten())
}

/// The names of all partitions.
fn partitions(sql: &dyn Sql) -> Result<Vec<String>, SqlError> {
    let select = r#"SELECT CAST(child.relname AS text) FROM pg_inherits
        JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
        WHERE pg_inherits.inhparent = to_regclass('"ProviderLogs"') ORDER BY 1"#;
    sql.all(select, &[], |row| Ok(row.text(0)?.to_owned()))
}

/// Whether a partition has such a name as [`partitions`](super::partitions) makes. No other is dropped.
fn is_month(name: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let month = name.strip_prefix("ProviderLogs_").and_then(|month| month.split_once('_'));
    month.is_some_and(|(year, month)| digits(year, 4) && digits(month, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_partition_that_is_named_by_its_month_is_dropped() {
        assert!(is_month("ProviderLogs_2026_01"));
        let others = ["ProviderLogs_other", "ProviderLogs_2026_1", "ProviderLogs_2026_01x", "t"];
        assert!(others.iter().all(|name| !is_month(name)));
    }
}
