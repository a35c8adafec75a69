//! Which databases are accepted, and their migration.
//!
//! A file is inspected before anything is written to it. It is accepted if it is empty, if it is ours
//! (by its application id) and not newer than this program, or if it is the older service's: no ids,
//! and a table `vehicle_valuation` of that service's shape. All others are left unchanged.

use rusqlite::{Connection, Transaction, TransactionBehavior};
use rusqlite_migration::{M, Migrations};

use crate::store::error::OpenProblem;

/// One file per version; append only.
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("../../../migrations/001_valuations_and_provider_logs.sql")),
    M::up(include_str!("../../../migrations/002_failover_state.sql")),
    M::up(include_str!("../../../migrations/003_history.sql")),
    M::up(include_str!("../../../migrations/004_audit.sql")),
];

/// `VALU`, as the first migration sets it.
const APPLICATION_ID: i32 = 0x5641_4C55;

const TABLES: [Table; 6] = [
    Table {
        name: "vehicle_valuation",
        since: 0,
        key: &["vrm"],
        required: &["lowestValue", "highestValue"],
        optional: &[("providerName", "varchar")],
    },
    // Each commit of log rows writes these four.
    Table {
        name: "log_chain",
        since: 4,
        key: &["lastId"],
        required: &["firstId", "previous", "head", "rowTags"],
        optional: &[],
    },
    Table {
        name: "call_hours",
        since: 4,
        key: &["hour", "providerName", "errorCode", "outcome", "rescue"],
        required: &["calls", "sumMs", "maxMs", "minutes", "firstId", "lastId"],
        optional: &[],
    },
    Table {
        name: "call_durations",
        since: 4,
        key: &["span", "at", "providerName", "bucket"],
        required: &["calls"],
        optional: &[],
    },
    Table { name: "rollup_mark", since: 4, key: &["id"], required: &["countedTo"], optional: &[] },
    Table {
        name: "ProviderLogs",
        since: 0,
        key: &["id"],
        required: &[
            "vrm",
            "providerName",
            "requestedAt",
            "requestDurationMs",
            "requestUrl",
            "responseCode",
            "errorCode",
            "errorMessage",
        ],
        optional: &[("outcome", "varchar"), ("rescue", "boolean")],
    },
];

/// The version that this program migrates to.
pub(in crate::store) fn latest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Checks, without writing, whether the database may be used, and gives its schema version.
pub(in crate::store) fn inspect(conn: &Connection) -> Result<i32, OpenProblem> {
    // One snapshot for all reads: another server may be migrating the file.
    let conn = &Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*'",
        )?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    let has = |table: &Table| tables.iter().any(|name| name.eq_ignore_ascii_case(table.name));

    if application == APPLICATION_ID && version > latest() {
        return Err(OpenProblem::Newer { found: version, known: latest() });
    }
    if application != APPLICATION_ID && (application != 0 || version != 0) {
        let ids = format!("application_id {application}, user_version {version}");
        return Err(OpenProblem::Foreign(ids));
    }
    if !tables.is_empty() && !has(&TABLES[0]) {
        let first = tables.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(OpenProblem::Foreign(format!("{} tables: {first}", tables.len())));
    }
    for table in &TABLES {
        if has(table) || (table.since > 0 && version >= table.since) {
            table.check(conn)?;
        }
    }
    Ok(version)
}

/// Whether it is an archive of another database's log, which has a table of that name.
pub(in crate::store) fn is_archive(conn: &Connection) -> rusqlite::Result<bool> {
    has_table(conn, "provider_log_archive")
}

/// Whether there is a table of this name.
pub(in crate::store) fn has_table(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    conn.query_row(sql, [name], |row| row.get(0))
}

/// Migrates a database that passed [`inspect`].
pub(in crate::store) fn migrate(conn: &mut Connection) -> Result<(), OpenProblem> {
    // Takes the lock first, so that of two servers that start at once one waits for the other.
    conn.set_transaction_behavior(TransactionBehavior::Immediate);
    Migrations::from_slice(MIGRATIONS).to_latest(conn).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => OpenProblem::from(err),
        other => OpenProblem::Sqlite(std::sync::Arc::new(other)),
    })?;
    add_columns(conn)?;
    for table in &TABLES {
        table.check(conn)?;
    }
    Ok(())
}

/// Adds the optional columns, which are `NULL` in earlier rows.
///
/// Not as a numbered migration, since the number does not say whether a column exists: the older
/// service's database may have `providerName`, and its schema tool may remove it again. An earlier
/// version of this server still works with the file.
fn add_columns(conn: &mut Connection) -> Result<(), OpenProblem> {
    let tx = conn.transaction()?;
    for Table { name: table, optional, .. } in &TABLES {
        let columns = columns(table, &tx)?;
        for (name, kind) in *optional {
            if !columns.iter().any(|column| column.is(name)) {
                tx.execute_batch(&format!(r#"ALTER TABLE "{table}" ADD COLUMN "{name}" {kind}"#))?;
            }
        }
    }
    Ok(tx.commit()?)
}

/// The shape that a table must have for our statements.
struct Table {
    name: &'static str,
    /// The version whose databases must have it; 0 if they need not.
    since: i32,
    /// The columns of the primary key.
    key: &'static [&'static str],
    /// The other columns.
    required: &'static [&'static str],
    /// Columns that rows may be without, and their types.
    optional: &'static [(&'static str, &'static str)],
}

struct Column {
    name: String,
    must_be_given: bool,
    in_key: bool,
}

impl Column {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

fn columns(table: &str, conn: &Connection) -> rusqlite::Result<Vec<Column>> {
    conn.prepare(r#"SELECT name, "notnull" AND dflt_value IS NULL, pk FROM pragma_table_info(?1)"#)?
        .query_map([table], |row| {
            Ok(Column { name: row.get(0)?, must_be_given: row.get(1)?, in_key: row.get(2)? })
        })?
        .collect()
}

impl Table {
    fn check(&self, conn: &Connection) -> Result<(), OpenProblem> {
        let wrong = |problem| Err(OpenProblem::Shape { table: self.name, problem });
        let columns = columns(self.name, conn)?;
        if columns.is_empty() {
            return wrong("is missing".to_owned());
        }
        for name in self.key.iter().chain(self.required) {
            if !columns.iter().any(|column| column.is(name)) {
                return wrong(format!("has no column {name}"));
            }
        }
        for column in &columns {
            // `INSERT … ON CONFLICT(vrm)` needs exactly this key.
            let is_of_key = self.key.iter().any(|name| column.is(name));
            if column.in_key != is_of_key {
                let key = self.key.join(", ");
                return wrong(format!("does not have {key} alone as its primary key"));
            }
            let optional = self.optional.iter().map(|(name, _)| name);
            let known = self.required.iter().chain(optional).any(|name| column.is(name));
            if column.must_be_given && !known && !is_of_key {
                return wrong(format!("wants a value in its column {}", column.name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_valid_and_may_run_twice() {
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        conn.pragma_update(None, "user_version", 0).unwrap();
        migrate(&mut conn).unwrap();
        assert_eq!(inspect(&conn).unwrap(), latest());
    }

    #[test]
    fn a_table_of_our_name_that_our_statements_cannot_use_is_refused_by_what_is_wrong_with_it() {
        for (sql, expected) in [
            (
                "CREATE TABLE vehicle_valuation (vrm TEXT PRIMARY KEY, lowestValue, x)",
                "its table vehicle_valuation has no column highestValue, so it is not the table \
                 of this server",
            ),
            (
                "CREATE TABLE vehicle_valuation (vrm TEXT, lowestValue, highestValue)",
                "its table vehicle_valuation does not have vrm alone as its primary key, so it is \
                 not the table of this server",
            ),
            (
                "CREATE TABLE vehicle_valuation (vrm TEXT PRIMARY KEY, lowestValue, highestValue, \
                 mileage integer NOT NULL)",
                "its table vehicle_valuation wants a value in its column mileage, so it is not \
                 the table of this server",
            ),
        ] {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(sql).unwrap();
            assert_eq!(inspect(&conn).unwrap_err().to_string(), expected);
        }
    }
}
