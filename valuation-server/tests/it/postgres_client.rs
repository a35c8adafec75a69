//! A connection to PostgreSQL whose calls block the thread, as those of a file do.

use std::future::Future;
use std::sync::{Arc, LazyLock, mpsc};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Config, Error, NoTls, SimpleQueryMessage};

/// Drives all connections. A test's own runtime is blocked while the test waits for one.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Waits on this thread, which may be a runtime's, for a future on [`RUNTIME`].
fn blocking<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    RUNTIME.spawn(async move { send.send(future.await) });
    receive.recv().expect("the future does not panic")
}

/// A connection. Dropped, it is closed, and its transaction is rolled back.
pub(crate) struct PostgresClient(Arc<tokio_postgres::Client>);

impl PostgresClient {
    /// Connects to a database without TLS.
    pub(crate) fn connect(config: Config) -> Result<Self, Error> {
        blocking(async move {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(Self(Arc::new(client)))
        })
    }

    /// Runs statements without parameters.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), Error> {
        let (client, sql) = (Arc::clone(&self.0), sql.to_owned());
        blocking(async move { client.batch_execute(&sql).await })
    }

    /// The rows of a query as PostgreSQL writes their values; NULL is `None`.
    pub(crate) fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let (client, sql) = (Arc::clone(&self.0), sql.to_owned());
        let messages = blocking(async move { client.simple_query(&sql).await })?;
        let values = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(values).collect())
    }
}

/// What PostgreSQL says; the client's error has it in its source.
pub(crate) fn words(error: &Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
}
