//! The statements of a batch, prepared.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use futures_util::future::{try_join, try_join_all, try_join3};
use tokio_postgres::Statement;

use super::columns::for_many;
use super::error::PgError;
use crate::store::derived;

/// Locks the head of the log. Each transaction that writes does this first, so that writers take turns and no two
/// of them wait for each other.
pub(super) const LOCK_HEAD: &str =
    r#"SELECT "lastId", "head" FROM "log_head" WHERE "id" = 1 FOR UPDATE"#;

/// Stores a valuation unless its vehicle has one.
const INSERT_VALUATION: &str = r#"INSERT INTO "vehicle_valuation"
    ("vrm", "lowestValue", "highestValue", "providerName") VALUES ($1, $2, $3, $4)
    ON CONFLICT ("vrm") DO NOTHING"#;

/// The valuation of a vehicle.
pub(super) const FIND: &str = r#"SELECT CAST("lowestValue" AS text), CAST("highestValue" AS text),
    "providerName" FROM "vehicle_valuation" WHERE "vrm" = $1"#;

/// The valuations of vehicles, as [`FIND`], with the vehicle last.
const FIND_ALL: &str = r#"SELECT CAST("lowestValue" AS text), CAST("highestValue" AS text),
    "providerName", CAST("vrm" AS text) FROM "vehicle_valuation" WHERE "vrm" = ANY($1)"#;

/// Stores a row of the log, with its columns in the order of a query for whole rows.
pub(super) const INSERT_ROW: &str = r#"INSERT INTO "ProviderLogs" ("id", "providerName", "requestedAt",
    "requestDurationMs", "responseCode", "errorCode", "outcome", "rescue", "vrm", "requestUrl", "errorMessage")
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"#;

/// A time-out must not end the wait for a replica: the server would answer as if it had the rows.
pub(super) const BEFORE_COMMIT: &str = "SET LOCAL statement_timeout = 0";

/// Sets the head of the log.
pub(super) const SET_HEAD: &str =
    r#"UPDATE "log_head" SET "lastId" = $1, "head" = $2 WHERE "id" = 1"#;

/// The statements of a batch, as this connection has them. They fit the tables as these were then.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) lock_head: Statement,
    pub(super) insert_valuations: Statement,
    pub(super) find_all: Statement,
    pub(super) set_head: Statement,
    /// Those that write rows, by their text for one row. One without VALUES is for one row.
    pub(super) writes: HashMap<&'static str, Statement>,
}

impl Statements {
    /// # Errors
    /// If one does not fit the tables, or the connection broke.
    pub(super) async fn prepare(client: &ClientWrapper) -> Result<Self, PgError> {
        let singles = [LOCK_HEAD, FIND_ALL, SET_HEAD].map(|sql| client.prepare(sql));
        let [lock_head, find_all, set_head] = singles;
        let (lock_head, find_all, set_head) = try_join3(lock_head, find_all, set_head).await?;
        let texts = [INSERT_ROW].into_iter().chain(derived::WRITES);
        let writes = try_join_all(
            texts.map(|sql| async move { Ok::<_, PgError>((sql, many(client, sql).await?)) }),
        );
        let (writes, insert_valuations) = try_join(writes, many(client, INSERT_VALUATION)).await?;
        Ok(Self {
            lock_head,
            insert_valuations,
            find_all,
            set_head,
            writes: writes.into_iter().collect(),
        })
    }
}

/// A statement for any number of rows, if it takes rows.
async fn many(client: &ClientWrapper, sql: &str) -> Result<Statement, PgError> {
    let one = client.prepare(sql).await?;
    match for_many(sql, one.params()) {
        Some(many) => Ok(client.prepare(&many).await?),
        None => Ok(one),
    }
}
