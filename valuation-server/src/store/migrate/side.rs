//! The database that is moved, and that into which it is moved: all that the engines do in different ways.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use rusqlite::types::Value;

use super::error::MigrateError;
use crate::domain::LogHead;
use crate::store::audit_file::{self, AuditFile};
use crate::store::config::{Durability, SqliteConfig};
use crate::store::error::{OpenProblem, StoreError};
use crate::store::failure::Failure;
use crate::store::location::Location;
use crate::store::postgres::address::PostgresAddress;
use crate::store::postgres::command::CommandLink;
use crate::store::postgres::partitions::Month;
use crate::store::sql::{Sql, SqlError, ValueRef};
use crate::store::sqlite::{open, schema};

/// How long the target file may be locked by somebody.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// After how many pages the write-ahead log is carried into the target file: SQLite's own default.
const CHECKPOINT: u32 = 1_000;

/// One of both databases.
pub(super) struct Side {
    pub(super) place: Location,
    link: Link,
}

enum Link {
    File(Connection),
    Server(Box<CommandLink>),
}

impl Side {
    /// Opens the source, which nothing here changes.
    ///
    /// # Errors
    /// [`MigrateError::Open`] and [`MigrateError::Older`].
    pub(super) fn source(place: &Location) -> Result<Self, MigrateError> {
        let failed = |problem| StoreError::Open { place: place.clone(), problem };
        let (link, found, known) = match place {
            Location::File(path) => {
                let AuditFile { conn, schema_version, .. } = AuditFile::open(path)?;
                if schema::is_archive(&conn).map_err(StoreError::unavailable)? {
                    return Err(failed(OpenProblem::Archive).into());
                }
                (Link::File(conn), schema_version, schema::latest())
            }
            Location::Server(address) => {
                let link = CommandLink::connect(address).map_err(failed)?;
                let (found, known) = link.schema_versions().map_err(failed)?;
                (Link::Server(Box::new(link)), found, known)
            }
        };
        if found > known {
            return Err(failed(OpenProblem::Newer { found, known }).into());
        }
        if found < known {
            return Err(MigrateError::Older { place: place.clone(), found, known });
        }
        Ok(Self { place: place.clone(), link })
    }

    /// Opens the target and creates its tables, if `may_be` finds nothing in what is there. Nobody else uses it
    /// then.
    ///
    /// # Errors
    /// [`MigrateError::Open`], [`MigrateError::InUse`], and those of `may_be`.
    pub(super) fn target(
        place: &Location,
        may_be: impl Fn(&dyn Sql) -> Result<(), MigrateError>,
    ) -> Result<Self, MigrateError> {
        let link = match place {
            Location::File(path) => Link::File(target_file(place, path, &may_be)?),
            Location::Server(address) => {
                Link::Server(Box::new(target_server(place, address, &may_be)?))
            }
        };
        Ok(Self { place: place.clone(), link })
    }

    /// For statements that both engines understand.
    pub(super) fn sql(&self) -> &dyn Sql {
        match &self.link {
            Link::File(conn) => conn,
            Link::Server(link) => link.sql(),
        }
    }

    /// Whether a SELECT must make a text of an amount.
    pub(super) fn casts_money(&self) -> bool {
        matches!(self.link, Link::Server(_))
    }

    /// Begins a transaction that reads one state.
    pub(super) fn begin_snapshot(&self) -> Result<(), MigrateError> {
        let begun = match &self.link {
            Link::File(conn) => conn.execute_batch("BEGIN").map_err(SqlError::from),
            Link::Server(link) => link.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        };
        begun.map_err(MigrateError::reading(&self.place))
    }

    /// Begins a transaction that writes, if the log still ends with this head.
    ///
    /// # Errors
    /// [`MigrateError::InUse`] if not: another program writes to it.
    pub(super) fn begin_write(&self, end: Option<LogHead>) -> Result<(), MigrateError> {
        let begun = match &self.link {
            Link::File(conn) => conn.execute_batch("BEGIN IMMEDIATE").map_err(SqlError::from),
            Link::Server(link) => link.batch("BEGIN"),
        };
        begun.map_err(MigrateError::writing(&self.place))?;
        let Link::Server(link) = &self.link else { return Ok(()) };
        let found = link.lock_head().map_err(MigrateError::reading(&self.place))?;
        if found.hash == end.map_or([0; 32], |end| end.hash) {
            return Ok(());
        }
        Err(in_use(&self.place, "another program, which has added rows to it"))
    }

    /// Ends a transaction of either kind.
    pub(super) fn commit(&self) -> Result<(), MigrateError> {
        let ended = match &self.link {
            Link::File(conn) => conn.execute_batch("COMMIT").map_err(SqlError::from),
            Link::Server(link) => link.batch("COMMIT"),
        };
        ended.map_err(MigrateError::writing(&self.place))
    }

    /// Runs a statement with `VALUES` for each of the rows.
    pub(super) fn insert(&self, sql: &str, rows: &[Vec<Value>]) -> Result<(), MigrateError> {
        if rows.is_empty() {
            return Ok(());
        }
        let inserted = match &self.link {
            Link::File(conn) => rows.iter().try_for_each(|row| execute(conn, sql, row)),
            Link::Server(link) => link.insert(sql, rows),
        };
        inserted.map_err(MigrateError::writing(&self.place))
    }

    /// Runs a statement with these values.
    pub(super) fn execute(&self, sql: &str, values: &[Value]) -> Result<(), MigrateError> {
        execute(self.sql(), sql, values).map_err(MigrateError::writing(&self.place))
    }

    /// Prepares for rows of these times, and for those that a server adds that starts at `now`. Not within a
    /// transaction.
    pub(super) fn prepare_for<'a>(
        &self,
        times: impl IntoIterator<Item = &'a str>,
        now: Option<SystemTime>,
    ) -> Result<(), MigrateError> {
        let Link::Server(link) = &self.link else { return Ok(()) };
        let mut months: Vec<_> = times.into_iter().filter_map(Month::of_text).collect();
        months.sort_unstable();
        months.dedup();
        link.ensure_partitions(months, now).map_err(MigrateError::writing(&self.place))
    }

    /// The highest id that was ever given to a row, as far as the engine keeps it.
    pub(super) fn last_given_id(&self) -> Result<i64, MigrateError> {
        let given = match &self.link {
            Link::File(conn) => audit_file::recorded_id(conn).map(Option::unwrap_or_default),
            Link::Server(link) => link.head().map(|head| head.last_id),
        };
        given.map_err(MigrateError::reading(&self.place))
    }

    /// Sets where the log ends, and the highest id that was ever given.
    pub(super) fn set_end(&self, end: Option<LogHead>, given: i64) -> Result<(), MigrateError> {
        let last_id = given.max(end.map_or(0, |end| end.last_id));
        let set = match &self.link {
            Link::Server(link) => {
                link.set_head(&LogHead { last_id, hash: end.map_or([0; 32], |end| end.hash) })
            }
            Link::File(_) if last_id == 0 => Ok(()),
            Link::File(conn) => set_sequence(conn, last_id),
        };
        set.map_err(MigrateError::writing(&self.place))
    }

    /// What was committed is on the disk.
    pub(super) fn settle(&self) -> Result<(), MigrateError> {
        let Link::File(conn) = &self.link else { return Ok(()) };
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let settled = conn.query_row(checkpoint, [], |_| Ok(())).map_err(SqlError::from);
        settled.map_err(MigrateError::writing(&self.place))
    }
}

fn in_use(place: &Location, user: &'static str) -> MigrateError {
    MigrateError::InUse { place: place.clone(), user }
}

/// Alone: a server could not open the file, and none has it open.
fn target_file(
    place: &Location,
    path: &Path,
    may_be: impl Fn(&dyn Sql) -> Result<(), MigrateError>,
) -> Result<Connection, MigrateError> {
    let failed = |problem| StoreError::Open { place: place.clone(), problem };
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        let (conn, found) = audit_file::open(path).map_err(failed)?;
        may_be(&conn)?;
        // An empty one of another version is not made by this command, and may be another version's.
        if found != schema::latest() {
            return Err(failed(OpenProblem::Newer { found, known: schema::latest() }).into());
        }
    }
    let file = SqliteConfig { durability: Durability::Normal, ..SqliteConfig::new(path) };
    let conn = open::first_writer(&file, LOCK_WAIT).map_err(failed)?;
    may_be(&conn)?;
    // Write-ahead logging ends only for the one connection that there is. Begun in exclusive mode, it needs no
    // shared memory, and lets nobody else in.
    let alone = || -> rusqlite::Result<()> {
        let mode = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        conn.pragma_update_and_check(None, "journal_mode", "delete", mode)?;
        conn.pragma_update_and_check(None, "locking_mode", "exclusive", mode)?;
        conn.pragma_update_and_check(None, "journal_mode", "wal", mode)?;
        conn.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT, |_| Ok(()))?;
        // The first write takes the lock.
        conn.execute_batch("BEGIN IMMEDIATE; COMMIT")
    };
    match alone() {
        Ok(()) => Ok(conn),
        Err(error) if Failure::of(&error) == Failure::Locked => {
            Err(in_use(place, "a server or another program"))
        }
        Err(error) => Err(failed(OpenProblem::Sqlite(Arc::new(error))).into()),
    }
}

fn target_server(
    place: &Location,
    address: &PostgresAddress,
    may_be: impl Fn(&dyn Sql) -> Result<(), MigrateError>,
) -> Result<CommandLink, MigrateError> {
    let failed = |problem| StoreError::Open { place: place.clone(), problem };
    let mut link = CommandLink::connect(address).map_err(failed)?;
    if !link.lock().map_err(MigrateError::reading(place))? {
        return Err(in_use(place, "another `valuation-server migrate`"));
    }
    if link.is_served().map_err(MigrateError::reading(place))? {
        return Err(in_use(place, "a server"));
    }
    // The older service's table may be there without the others.
    let has_valuations = r#"SELECT to_regclass('"vehicle_valuation"') IS NOT NULL"#;
    let has_valuations = link.sql().first(has_valuations, &[], |row| row.integer(0));
    let has_valuations = has_valuations.map_err(MigrateError::reading(place))? == Some(1);
    let (found, _) = link.schema_versions().map_err(failed)?;
    if found == 0 && has_valuations {
        let select = r#"SELECT 1 FROM "vehicle_valuation" LIMIT 1"#;
        let row =
            link.sql().first(select, &[], |_| Ok(())).map_err(MigrateError::reading(place))?;
        if row.is_some() {
            return Err(MigrateError::NotEmpty {
                place: place.clone(),
                table: "vehicle_valuation",
            });
        }
    }
    link.migrate().map_err(failed)?;
    may_be(link.sql())?;
    Ok(link)
}

fn set_sequence(conn: &Connection, last_id: i64) -> Result<(), SqlError> {
    let sql: &dyn Sql = conn;
    let values = [ValueRef::Integer(last_id)];
    let update = "UPDATE sqlite_sequence SET seq = $1 WHERE name = 'ProviderLogs'";
    if sql.execute(update, &values)? == 0 {
        let insert = "INSERT INTO sqlite_sequence (name, seq) VALUES ('ProviderLogs', $1)";
        sql.execute(insert, &values)?;
    }
    Ok(())
}

fn execute(sql: &dyn Sql, statement: &str, values: &[Value]) -> Result<(), SqlError> {
    let values: Vec<_> = values.iter().map(ValueRef::from).collect();
    sql.execute(statement, &values)?;
    Ok(())
}
