//! The readers: a pool of connections.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use super::connect::{Connector, Purpose};
use super::error::PgError;
use super::reactor::Reactor;
use super::session::Session;
use super::statements::FIND;
use super::value::Answer;
use crate::domain::Vrm;
use crate::store::error::{Cause, StoreError};
use crate::store::queue::StoredValuation;
use crate::store::reading::DiskUse;
use crate::store::sql::{Sql, SqlError};
use crate::store::valuation_row;

/// How much longer than for the server's own time-out an answer is awaited.
const MARGIN: Duration = Duration::from_millis(400);

/// How long a read that found no connection counts.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Connections for reads.
#[derive(Clone)]
pub(in crate::store) struct Readers {
    pool: Pool,
    reactor: Arc<Reactor>,
    wait: Duration,
    /// When the last read found no connection, and why; `None` after one that did.
    trouble: Arc<Mutex<Option<(Instant, Cause)>>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

impl Readers {
    /// Connects when the first read needs it. No read takes longer than `wait`.
    ///
    /// # Errors
    /// Never with a number of connections above 0.
    pub(super) fn new(
        connector: Connector,
        connections: usize,
        wait: Duration,
    ) -> Result<Self, PgError> {
        let reactor = connector.reactor();
        let made = Made { connector, wait };
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(Config::new(), made, config);
        let pool = Pool::builder(manager).max_size(connections.max(1)).build();
        let pool = pool.map_err(|_| PgError::NoneFree(wait))?;
        Ok(Self { pool, reactor, wait, trouble: Arc::default() })
    }

    /// The stored valuation of a vehicle.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] and [`StoreError::Corrupt`].
    pub(in crate::store) async fn find(&self, vrm: &Vrm) -> StoredValuation {
        let client = self.client().await?;
        let found = tokio::time::timeout(self.patience(), async {
            let find = client.prepare_cached(FIND).await?;
            client.query_opt(&find, &[&vrm.as_str()]).await
        });
        let Ok(found) = found.await else {
            return Err(give_up(client, Arc::new(PgError::TimedOut(self.patience()))));
        };
        let row = found.map_err(|error| StoreError::unavailable(PgError::from(error)))?.map(Answer);
        row.map(|row| valuation_row::read(vrm, &row)).transpose()
    }

    /// Runs a read on a thread that it may block.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(in crate::store) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Sql) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let client = self.client().await?;
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let (handle, patience) = (readers.reactor.handle(), Some(readers.patience()));
            match read(&Session { client: &client, handle, patience }) {
                Err(SqlError::Postgres(error)) if matches!(*error, PgError::TimedOut(_)) => {
                    Err(give_up(client, error))
                }
                read => read.map_err(Into::into),
            }
        });
        match reading.await {
            Ok(read) => read,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => Err(StoreError::unavailable(cancelled)),
            },
        }
    }

    /// The room that the database takes. What is left for it the server doesn't tell.
    pub(in crate::store) async fn disk_use(&self) -> DiskUse {
        let select = "SELECT pg_database_size(current_database())";
        let size = self.read(move |sql| sql.first(select, &[], |row| row.integer(0))).await;
        let size = size.ok().flatten().and_then(|size| u64::try_from(size).ok());
        DiskUse { database: size.unwrap_or_default(), free: None }
    }

    /// The server ends a statement after `wait` by itself, and the connection stays usable. An answer that has not
    /// come by now comes from nowhere.
    fn patience(&self) -> Duration {
        self.wait + MARGIN
    }

    /// Why reads find no connection. Forgotten after a while without a read, since nobody reads by a server that
    /// counts as not ready.
    pub(in crate::store) fn trouble(&self) -> Option<Cause> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = trouble.as_ref().filter(|(at, _)| at.elapsed() < REMEMBERED);
        recent.map(|(_, cause)| Arc::clone(cause))
    }

    async fn client(&self) -> Result<Object, StoreError> {
        // The pool would warn of each.
        self.pool.retain(|client, _| !client.is_closed());
        let got = match tokio::time::timeout(self.wait, self.pool.get()).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(PoolError::Backend(error))) => Err(PgError::Client(error)),
            Ok(Err(_)) | Err(_) => Err(PgError::NoneFree(self.wait)),
        };
        let got = got.map_err(|error| Arc::new(error) as Cause);
        let trouble = got.as_ref().err().map(|cause| (Instant::now(), Arc::clone(cause)));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        got.map_err(StoreError::Unavailable)
    }
}

/// Closes a connection that does not answer: else each further read would wait behind the one before.
fn give_up(client: Object, error: Cause) -> StoreError {
    drop(Object::take(client));
    StoreError::Unavailable(error)
}

/// Makes the connections of the pool.
struct Made {
    connector: Connector,
    wait: Duration,
}

impl Connect for Made {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<
        Box<
            dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>>
                + Send
                + '_,
        >,
    > {
        Box::pin(self.connector.connect(Purpose::Read(self.wait)))
    }
}
