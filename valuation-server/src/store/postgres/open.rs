//! Opens a database of PostgreSQL for the server.

use std::sync::Arc;

use super::connect::Connector;
use super::engine::PostgresEngine;
use super::reactor::Reactor;
use super::readers::Readers;
use crate::store::StoreConfig;
use crate::store::config::PostgresConfig;
use crate::store::error::{OpenProblem, StoreError};
use crate::store::stats::Shared;

/// Connects the writer, creates or migrates the schema, and prepares the readers.
///
/// # Errors
/// [`StoreError::Open`] names the database, what is wrong and what to do.
///
/// # Cancel safety
/// What is being opened is closed again.
pub(in crate::store) async fn open(
    server: &PostgresConfig,
    config: &StoreConfig,
    shared: &Arc<Shared>,
) -> Result<(PostgresEngine, Readers), StoreError> {
    let (server, config, shared) = (server.clone(), config.clone(), Arc::clone(shared));
    let place = server.address.clone().into();
    let opening = tokio::task::spawn_blocking(move || {
        let reactor = Reactor::start().map_err(|cause| OpenProblem::Thread(Arc::new(cause)))?;
        let connector = Connector::new(&server.address, Arc::new(reactor))?;
        let engine = PostgresEngine::open(&server, &config, &shared, connector.clone())?;
        let readers = usize::try_from(server.connections.saturating_sub(2)).unwrap_or(usize::MAX);
        Ok((engine, Readers::new(connector, readers, config.read_wait)?))
    });
    let opened = opening.await.unwrap_or_else(|ended| Err(OpenProblem::Thread(Arc::new(ended))));
    opened.map_err(|problem| StoreError::Open { place, problem })
}
