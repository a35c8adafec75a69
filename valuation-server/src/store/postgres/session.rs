//! One connection of which each call blocks the thread.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio_postgres::RowStream;
use tokio_postgres::types::ToSql;

use super::error::PgError;
use super::value::{Answer, Parameter};
use crate::store::sql::{Row, Sql, SqlError, ValueRef};

/// How many rows are taken from a stream at once: waiting for each by itself costs more than reading it.
const ROWS: usize = 64;

/// A connection, or a transaction on it, for the statements that both engines understand.
#[derive(Clone, Copy)]
pub(in crate::store) struct Session<'a> {
    pub(super) client: &'a ClientWrapper,
    pub(super) handle: &'a Handle,
    /// How long one answer may take; `None` for the commands, which somebody watches.
    pub(super) patience: Option<Duration>,
}

impl Session<'_> {
    /// Blocks the thread until the future is ready, or for the longest time of one answer.
    ///
    /// # Errors
    /// That of the future, or [`PgError::TimedOut`]: then the connection must be given up, since its answer
    /// may still come.
    pub(super) fn wait<T, E: Into<PgError>>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, PgError> {
        self.handle.block_on(async {
            let Some(patience) = self.patience else {
                return future.await.map_err(Into::into);
            };
            in_time(patience, future).await
        })
    }

    /// Runs statements without parameters and rows.
    pub(super) fn batch(&self, sql: &str) -> Result<(), PgError> {
        self.wait(self.client.batch_execute(sql))
    }

    fn query(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<RowStream, PgError> {
        let values: Vec<_> = values.iter().map(|value| Parameter(*value)).collect();
        self.wait(async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client
                .query_raw(&statement, values.iter().map(|value| value as &(dyn ToSql + Sync)))
                .await
        })
    }
}

/// The output of a future, if it is ready in time.
pub(super) async fn in_time<T, E: Into<PgError>>(
    longest: Duration,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, PgError> {
    match tokio::time::timeout(longest, future).await {
        Ok(ended) => ended.map_err(Into::into),
        Err(_) => Err(PgError::TimedOut(longest)),
    }
}

impl Sql for Session<'_> {
    fn each(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let mut rows = Box::pin(self.query(sql, values)?).ready_chunks(ROWS);
        loop {
            let next = self.wait(async { Ok::<_, PgError>(rows.next().await) })?;
            let Some(chunk) = next else {
                return Ok(());
            };
            for row in chunk {
                each(&Answer(row.map_err(PgError::from)?))?;
            }
        }
    }

    fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<u64, SqlError> {
        let rows = self.query(sql, values)?;
        self.wait(async {
            let mut rows = Box::pin(rows);
            while rows.try_next().await?.is_some() {}
            Ok::<_, PgError>(rows.rows_affected().unwrap_or(0))
        })
        .map_err(Into::into)
    }
}
