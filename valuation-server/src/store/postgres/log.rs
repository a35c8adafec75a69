//! The log of a database of PostgreSQL, opened for reading alone, through one connection of its own.

use std::fmt;
use std::time::Duration;

use tokio_postgres::CancelToken;

use super::address::PostgresAddress;
use super::connect::Connector;
use super::link::Link;
use super::migrations;
use super::session::Session;
use crate::store::error::OpenProblem;
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// How long one answer may take for [`PostgresLog::limit_waits`], and the end of a snapshot always.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads one state from the first query on. With the lock no partition is dropped until the end, also one that was
/// not read yet; a lock is no query, so that nothing was dropped between it and the state.
pub(super) const BEGIN: &str = r#"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    LOCK TABLE ONLY "ProviderLogs" IN ACCESS SHARE MODE"#;

/// A log that is open for reading alone.
pub(in crate::store) struct PostgresLog {
    link: Link,
    address: PostgresAddress,
}

impl fmt::Debug for PostgresLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLog").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PostgresLog {
    /// Connects. Blocks the thread, for ten seconds at most.
    ///
    /// # Errors
    /// [`OpenProblem`] says why the database can't be reached or has no log.
    pub(in crate::store) fn open(address: &PostgresAddress) -> Result<Self, OpenProblem> {
        Ok(Self { link: Link::open_log(address)?, address: address.clone() })
    }

    /// For statements, each of which sees a state of its own.
    pub(in crate::store) fn sql(&self) -> &dyn Sql {
        &self.link
    }

    /// Whether both are one database, by whatever addresses.
    pub(in crate::store) fn is_same(&self, other: &Self) -> bool {
        self.address == other.address
            || self.identity().is_some_and(|own| Some(own) == other.identity())
    }

    /// What no other database has; `None` if the server doesn't tell.
    fn identity(&self) -> Option<(String, String)> {
        let select = r#"SELECT CAST("system_identifier" AS text), CAST(current_database() AS text)
            FROM pg_control_system()"#;
        let read = |row: &dyn Row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
        self.sql().first(select, &[], read).ok().flatten()
    }

    /// Whether the connection is open, as far as is known.
    pub(in crate::store) fn is_current(&self) -> bool {
        !self.link.client.is_closed()
    }

    /// From now on an answer that does not come within five seconds is an error. After it the log must be opened
    /// again.
    pub(in crate::store) fn limit_waits(&mut self) {
        self.link.patience = Some(PATIENCE);
    }

    /// The highest id that was ever given; `None` if somebody removed the record of it.
    pub(in crate::store) fn last_id(&self) -> Result<Option<i64>, SqlError> {
        last_id(self.sql())
    }

    /// The version of its schema, and the newest that this program knows.
    pub(in crate::store) fn schema_versions(&self) -> (i32, i32) {
        (self.link.version, migrations::latest())
    }

    /// What ends a statement that runs.
    pub(in crate::store) fn interrupt(&self) -> ServerInterrupt {
        let token = self.link.client.cancel_token();
        ServerInterrupt { token, connector: self.link.connector.clone() }
    }

    /// A read transaction. Its first read fixes the state.
    pub(in crate::store) fn snapshot(&mut self) -> Result<PostgresSnapshot<'_>, SqlError> {
        let session = self.link.session();
        session.batch(BEGIN).inspect_err(|_| end(session))?;
        Ok(PostgresSnapshot { session })
    }
}

/// One state of a log.
pub(in crate::store) struct PostgresSnapshot<'a> {
    session: Session<'a>,
}

impl fmt::Debug for PostgresSnapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSnapshot").finish_non_exhaustive()
    }
}

impl Drop for PostgresSnapshot<'_> {
    fn drop(&mut self) {
        end(self.session);
    }
}

impl PostgresSnapshot<'_> {
    /// For statements, all of which see this state.
    pub(in crate::store) fn sql(&self) -> &dyn Sql {
        &self.session
    }

    /// Whether there is a table of this name.
    pub(in crate::store) fn has_table(&self, name: &str) -> Result<bool, SqlError> {
        has_table(self.sql(), name)
    }

    /// The columns of a table in their order, the key first.
    pub(in crate::store) fn columns(
        &self,
        (name, key): (&str, &str),
    ) -> Result<Vec<String>, SqlError> {
        columns(self.sql(), (name, key))
    }

    /// The highest id that was ever given; `None` if somebody removed the record of it.
    pub(in crate::store) fn last_id(&self) -> Result<Option<i64>, SqlError> {
        last_id(self.sql())
    }
}

/// Ends the statement of a [`PostgresLog`] that runs, from another thread.
pub(in crate::store) struct ServerInterrupt {
    token: CancelToken,
    connector: Connector,
}

impl ServerInterrupt {
    /// Asks the server for it over a connection of its own, and waits for nothing.
    pub(in crate::store) fn interrupt(&self) {
        let (token, tls) = (self.token.clone(), self.connector.tls.clone());
        self.connector.handle().spawn(async move {
            // If it fails, the statement goes on, and the caller tries again.
            let _ = tokio::time::timeout(PATIENCE, token.cancel_query(tls)).await;
        });
    }
}

/// Rolls a transaction back. If that fails, the connection is broken, and the next use tells.
pub(super) fn end(session: Session<'_>) {
    let _ = Session { patience: Some(PATIENCE), ..session }.batch("ROLLBACK");
}

/// Whether there is a table of this name.
pub(super) fn has_table(sql: &dyn Sql, name: &str) -> Result<bool, SqlError> {
    let name = format!("\"{name}\"");
    let select = "SELECT to_regclass($1) IS NOT NULL";
    let found = sql.first(select, &[ValueRef::from(name.as_str())], |row| row.integer(0))?;
    Ok(found == Some(1))
}

/// The columns of a table in their order, the key first.
pub(super) fn columns(sql: &dyn Sql, (name, key): (&str, &str)) -> Result<Vec<String>, SqlError> {
    let name = format!("\"{name}\"");
    let select = "SELECT CAST(attname AS text) FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        ORDER BY CAST(attname AS text) <> CAST($2 AS text), attnum";
    let values = [name.as_str(), key].map(ValueRef::from);
    sql.all(select, &values, |row| Ok(row.text(0)?.to_owned()))
}

fn last_id(sql: &dyn Sql) -> Result<Option<i64>, SqlError> {
    sql.first(r#"SELECT "lastId" FROM "log_head" WHERE "id" = 1"#, &[], |row| row.integer(0))
}
