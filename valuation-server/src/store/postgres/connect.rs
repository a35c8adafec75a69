//! Makes connections.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::context::TokioContext;

use super::address::PostgresAddress;
use super::error::PgError;
use super::reactor::Reactor;
use super::tls;
use crate::store::error::OpenProblem;

/// What is done when a connection has something to say by itself. The calls come from the connections' thread.
pub(super) trait Events: Send + Sync + 'static {
    /// A valuation was deleted or changed.
    fn changed(&self);

    /// The connection broke. Not called when it is dropped.
    fn broken(&self, cause: PgError);
}

/// What a connection is for.
#[derive(Clone)]
pub(super) enum Purpose {
    /// The writer's, which hears of changes.
    Write(Arc<dyn Events>),
    /// Reads, none of which may take longer on the server.
    Read(Duration),
    /// A command's: it may take as long as it needs.
    Command,
}

/// Makes connections to one database, which a runtime drives.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    pub(super) tls: MakeRustlsConnect,
    reactor: Arc<Reactor>,
}

impl Connector {
    /// # Errors
    /// [`OpenProblem::Tls`].
    pub(super) fn new(
        address: &PostgresAddress,
        reactor: Arc<Reactor>,
    ) -> Result<Self, OpenProblem> {
        Ok(Self { config: address.config().clone(), tls: tls::connector(address)?, reactor })
    }

    pub(super) fn reactor(&self) -> Arc<Reactor> {
        Arc::clone(&self.reactor)
    }

    pub(super) fn handle(&self) -> &Handle {
        self.reactor.handle()
    }

    /// Connects. The task reads what comes; without it the connection is closed.
    ///
    /// # Errors
    /// Nothing can be reached there that takes these credentials, or, to write, none that can.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub(super) async fn connect(
        &self,
        purpose: Purpose,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let mut config = self.config.clone();
        // A server that became read-only still gives what is stored. Of several hosts one that can't write may be
        // behind.
        if !matches!(purpose, Purpose::Write(_)) && config.get_hosts().len() < 2 {
            config.target_session_attrs(TargetSessionAttrs::Any);
        }
        let connecting = config.connect(self.tls.clone());
        // The socket belongs to the runtime in which it is made.
        let (client, connection) = TokioContext::new(connecting, self.handle().clone()).await?;
        let settings = settings(&purpose);
        let events = match purpose {
            Purpose::Write(events) => Some(events),
            Purpose::Read(_) | Purpose::Command => None,
        };
        let task = AbortOnDrop(Some(self.handle().spawn(drive(connection, events))));
        client.batch_execute(&settings).await?;
        Ok((client, task.keep()))
    }

    /// Connects, with a cache of prepared statements.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub(super) async fn client(
        &self,
        purpose: Purpose,
    ) -> Result<ClientWrapper, tokio_postgres::Error> {
        let (client, task) = self.connect(purpose).await?;
        Ok(ClientWrapper::new(client, task))
    }
}

/// A task that ends with the future that has it.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl AbortOnDrop {
    fn keep(mut self) -> JoinHandle<()> {
        match self.0.take() {
            Some(task) => task,
            None => unreachable!("only this takes it"),
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Reads what the server sends, until the connection ends.
async fn drive(
    mut connection: Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
    events: Option<Arc<dyn Events>>,
) {
    let cause = loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => {
                events.iter().for_each(|events| events.changed());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.into(),
            None => break PgError::Lost,
        }
    };
    if let Some(events) = events {
        events.broken(cause);
    }
}

/// The session's settings, each of which an operator may have set otherwise for the role.
fn settings(purpose: &Purpose) -> String {
    let limit = match purpose {
        Purpose::Read(longest) => longest.as_millis(),
        Purpose::Write(_) | Purpose::Command => 0,
    };
    // A writer that vanished within a transaction holds the lock for which all others wait. Without a time-out of the
    // server that would last until its TCP gives up, which may take hours.
    let write = "SET idle_in_transaction_session_timeout = '5s'; LISTEN \"vehicle_valuation\"";
    let write = if matches!(purpose, Purpose::Write(_)) { write } else { "" };
    // The server looks whether its client is still there while it waits for a lock: it must not hold a
    // connection that was given up. CockroachDB doesn't have that setting.
    format!(
        "SET statement_timeout = {limit}; SET standard_conforming_strings = on;
         SELECT set_config(name, '500ms', false) FROM pg_settings
            WHERE name = 'client_connection_check_interval'; {write}"
    )
}
