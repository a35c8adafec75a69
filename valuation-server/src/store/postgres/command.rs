//! A connection of a command that moves a database, and what it says to PostgreSQL alone.

use std::time::SystemTime;

use rusqlite::types::Value;
use tokio_postgres::types::ToSql;

use super::address::{APPLICATION_NAME, PostgresAddress};
use super::columns::{columns, for_many};
use super::error::PgError;
use super::link::Link;
use super::migrations;
use super::partitions::{self, Month};
use super::session::Session;
use super::statements::{LOCK_HEAD, SET_HEAD};
use crate::domain::LogHead;
use crate::store::error::OpenProblem;
use crate::store::failure::Failure;
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// The name by which the server shows the connection: not that of a server of ours.
const NAME: &str = "valuation-server migrate";

/// `MOVE` in ASCII: the lock of a command that moves rows into this database.
const LOCK: i64 = 0x4D4F_5645;

/// How often the lock for a new partition is waited for, which has a time-out.
const TRIES: usize = 25;

/// The connection. Calls block the thread, as long as the server takes.
pub(in crate::store) struct CommandLink(Link);

impl CommandLink {
    /// # Errors
    /// What is wrong with the database.
    pub(in crate::store) fn connect(address: &PostgresAddress) -> Result<Self, OpenProblem> {
        Link::open(&address.clone().with_application_name(NAME)).map(Self)
    }

    /// For statements that both engines understand.
    pub(in crate::store) fn sql(&self) -> &dyn Sql {
        &self.0
    }

    fn session(&self) -> Session<'_> {
        self.0.session()
    }

    /// The version of its schema, which is 0 without one, and the newest that this program knows.
    ///
    /// # Errors
    /// It can't be read.
    pub(in crate::store) fn schema_versions(&self) -> Result<(i32, i32), OpenProblem> {
        let Link { client, connector, .. } = &self.0;
        Ok((connector.handle().block_on(migrations::version(client))?, migrations::latest()))
    }

    /// Creates the schema, or migrates it to the latest version.
    ///
    /// # Errors
    /// As [`migrations::migrate`].
    pub(in crate::store) fn migrate(&mut self) -> Result<(), OpenProblem> {
        let Link { client, connector, .. } = &mut self.0;
        connector.handle().block_on(migrations::migrate(client))
    }

    /// Runs statements without parameters and rows.
    ///
    /// # Errors
    /// The server's.
    pub(in crate::store) fn batch(&self, sql: &str) -> Result<(), SqlError> {
        Ok(self.session().batch(sql)?)
    }

    /// Runs a statement that has `VALUES` for all of the rows at once.
    ///
    /// # Errors
    /// The server's: then none is written.
    pub(in crate::store) fn insert(&self, sql: &str, rows: &[Vec<Value>]) -> Result<(), SqlError> {
        let client = &self.0.client;
        self.session().wait(async {
            let one = client.prepare_cached(sql).await?;
            let many = for_many(sql, one.params()).ok_or(PgError::Unprepared(sql.to_owned()))?;
            let many = client.prepare_cached(&many).await?;
            let values = columns(rows, one.params().len());
            let values: Vec<_> =
                values.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
            client.execute(&many, &values).await?;
            Ok::<_, PgError>(())
        })?;
        Ok(())
    }

    /// Locks the head of the log until the end of the transaction, and gives it.
    ///
    /// # Errors
    /// The server's, or the head is none.
    pub(in crate::store) fn lock_head(&self) -> Result<LogHead, SqlError> {
        self.head_by(LOCK_HEAD)
    }

    /// The head of the log.
    ///
    /// # Errors
    /// As [`lock_head`](Self::lock_head).
    pub(in crate::store) fn head(&self) -> Result<LogHead, SqlError> {
        self.head_by(r#"SELECT "lastId", "head" FROM "log_head" WHERE "id" = 1"#)
    }

    fn head_by(&self, select: &str) -> Result<LogHead, SqlError> {
        let read = |row: &dyn Row| {
            let hash = row.value(1)?.as_blob()?;
            let hash = hash.try_into().map_err(|_| PgError::Head(hash.len()))?;
            Ok(LogHead { last_id: row.integer(0)?, hash })
        };
        match self.sql().first(select, &[], read)? {
            Some(head) => Ok(head),
            None => Err(PgError::Head(0).into()),
        }
    }

    /// Sets the head of the log.
    ///
    /// # Errors
    /// The server's.
    pub(in crate::store) fn set_head(&self, head: &LogHead) -> Result<(), SqlError> {
        self.0.execute(SET_HEAD, &[ValueRef::Integer(head.last_id), ValueRef::Blob(&head.hash)])?;
        Ok(())
    }

    /// Makes the partitions for these months, and for the next ones of a server that starts at `now`. Not within a
    /// transaction.
    ///
    /// # Errors
    /// The server's.
    pub(in crate::store) fn ensure_partitions(
        &self,
        months: impl IntoIterator<Item = Month>,
        now: Option<SystemTime>,
    ) -> Result<(), SqlError> {
        let session = self.session();
        for month in months {
            patiently(|| partitions::ensure_month(&session, month))?;
        }
        match now {
            Some(now) => patiently(|| partitions::ensure(&session, now)),
            None => Ok(()),
        }
    }

    /// Whether a server of ours is connected to the database, as far as it shows its name.
    ///
    /// # Errors
    /// The server's.
    pub(in crate::store) fn is_served(&self) -> Result<bool, SqlError> {
        let select = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = $1";
        self.is_positive(select, ValueRef::from(APPLICATION_NAME))
    }

    /// Makes this the only command that moves rows into the database, until the connection ends. `false` if there
    /// is another.
    ///
    /// # Errors
    /// The server's.
    pub(in crate::store) fn lock(&self) -> Result<bool, SqlError> {
        self.is_positive("SELECT pg_try_advisory_lock($1)", ValueRef::Integer(LOCK))
    }

    fn is_positive(&self, select: &str, value: ValueRef<'_>) -> Result<bool, SqlError> {
        let found = self.sql().first(select, &[value], |row| row.integer(0))?;
        Ok(found.is_some_and(|found| found > 0))
    }
}

/// Tries again what did not get its lock.
fn patiently(mut work: impl FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
    for _ in 1..TRIES {
        match work() {
            Err(error) if error.failure() == Failure::Locked => {}
            done => return done,
        }
    }
    work()
}
