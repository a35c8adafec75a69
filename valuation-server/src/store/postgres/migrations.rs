//! The schema, and its versions.
//!
//! Servers that start at once take turns by an advisory lock, which is the session's: the server gives it back
//! when a connection breaks.

use deadpool_postgres::ClientWrapper;
use refinery::{Migration, Runner};
use tokio_postgres::error::SqlState;

use super::error::{PgError, shown};
use crate::store::error::OpenProblem;

/// One file per version; append only.
const MIGRATIONS: [(&str, &str); 1] = [(
    "V1__valuations_and_log",
    include_str!("../../../migrations/postgres/V1__valuations_and_log.sql"),
)];

/// Where the versions are kept.
const TABLE: &str = "valuation_server_schema";

/// `VALU` in ASCII: the lock of those that change the schema.
const LOCK: i64 = 0x5641_4C55;

/// How long a migration waits for each lock.
const LOCK_WAIT: &str = "SET lock_timeout = '30s'";

/// The version that this program migrates to.
pub(in crate::store) fn latest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// The version of the schema; 0 without one.
pub(super) async fn version(client: &ClientWrapper) -> Result<i32, PgError> {
    let select = format!(r#"SELECT coalesce(max("version"), 0) FROM "{TABLE}""#);
    match client.query_one(&select, &[]).await {
        Ok(row) => Ok(row.try_get(0)?),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Migrates the schema to the latest version.
///
/// # Errors
/// [`OpenProblem::Newer`], and what the server says.
pub(super) async fn migrate(client: &mut ClientWrapper) -> Result<(), OpenProblem> {
    if version(client).await? == latest() {
        return Ok(());
    }
    // Neither another server's migration nor a reader of the older service's table holds a start up for ever.
    client.batch_execute(LOCK_WAIT).await.map_err(PgError::from)?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(PgError::from)?;
    let migrated = migrate_alone(client).await;
    let unlocked = client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await;
    migrated?;
    unlocked.map_err(PgError::from)?;
    Ok(())
}

async fn migrate_alone(client: &mut ClientWrapper) -> Result<(), OpenProblem> {
    let found = version(client).await?;
    if found > latest() {
        return Err(OpenProblem::Newer { found, known: latest() });
    }
    let encoding = client.query_one("SELECT current_setting('server_encoding')", &[]).await;
    let encoding: String = encoding.and_then(|row| row.try_get(0)).map_err(PgError::from)?;
    if encoding != "UTF8" {
        return Err(PgError::Encoding(encoding).into());
    }
    let failed = |error: refinery::Error| PgError::Migration(shown(&error));
    let migrations = MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql));
    let migrations = migrations.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut runner = Runner::new(&migrations);
    runner.set_migration_table_name(TABLE);
    runner.run_async(&mut **client).await.map_err(failed)?;
    Ok(())
}
