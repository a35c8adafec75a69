//! Inspects a database of PostgreSQL: nothing is created, locked for writing or changed.

use super::address::PostgresAddress;
use super::error::PgError;
use super::link::Link;
use super::log::has_table;
use super::migrations;
use crate::store::error::OpenProblem;
use crate::store::sql::{Row, Sql};
use crate::store::sqlite::look::Found;

/// Whether a server could be started with the database: whether it can be reached with these credentials and can be
/// written to, and whose tables it has. Blocks the thread, for ten seconds at most until it is reached.
///
/// # Errors
/// [`OpenProblem`] says what is wrong and what to do.
pub(in crate::store) fn look(address: &PostgresAddress) -> Result<Found, OpenProblem> {
    let link = Link::open(address)?;
    let (version, latest) = (link.version, migrations::latest());
    let session = link.session();
    let sql: &dyn Sql = &session;
    let is_read_only =
        sql.first("SELECT current_setting('transaction_read_only')", &[], |row| {
            Ok(row.text(0)? == "on")
        })?;
    if is_read_only == Some(true) {
        return Err(PgError::ReadOnly.into());
    }
    if version < latest {
        // Without a schema in its search path, CREATE TABLE fails as well.
        let select = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
            CAST(current_user AS text), coalesce(CAST(current_schema() AS text), 'public')";
        let read = |row: &dyn Row| {
            Ok((row.integer(0)? == 1, row.text(1)?.to_owned(), row.text(2)?.to_owned()))
        };
        if let Some((false, role, schema)) = sql.first(select, &[], read)? {
            return Err(OpenProblem::MayNotCreate { role, schema });
        }
    }
    if version > 0 {
        rights(sql)?;
        let head =
            sql.first(r#"SELECT "lastId" FROM "log_head" WHERE "id" = 1"#, &[], |_| Ok(()))?;
        head.ok_or(PgError::NoHead)?;
    }
    Ok(match version {
        0 if has_table(sql, "vehicle_valuation")? => Found::OlderService,
        0 => Found::Empty,
        version => Found::Ours { version, latest },
    })
}

/// The first table that a batch writes and the role may not write to.
fn rights(sql: &dyn Sql) -> Result<(), OpenProblem> {
    let select = r#"SELECT "name", CAST(current_user AS text) FROM (VALUES
            ('ProviderLogs', 'INSERT'), ('vehicle_valuation', 'INSERT, DELETE'), ('log_chain', 'INSERT'),
            ('log_head', 'UPDATE'), ('rollup_mark', 'UPDATE'), ('call_hours', 'INSERT, UPDATE'),
            ('call_durations', 'INSERT, UPDATE'), ('failover_state', 'INSERT, UPDATE'),
            ('history', 'INSERT, UPDATE, DELETE'), ('writer_probe', 'UPDATE')
        ) AS t ("name", "rights"), regexp_split_to_table("rights", ', ') AS "right"
        WHERE NOT has_table_privilege(quote_ident("name"), "right")"#;
    let read = |row: &dyn Row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
    match sql.first(select, &[], read)? {
        Some((table, role)) => Err(PgError::MayNotWrite { table, role }.into()),
        None => Ok(()),
    }
}
