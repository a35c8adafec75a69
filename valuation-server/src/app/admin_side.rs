//! The operators' side of the server: its listener, and what it is given to show and to control.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use failover::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::configuration::Configured;
use super::operator::Backstage;
use super::report::Reports;
use super::{App, StartError};
use crate::admin::{self, Guard};
use crate::config::{Config, Secret};
use crate::telemetry::{Metrics, Sources};

/// The operators' side, ready to run.
#[derive(Debug)]
pub(super) struct Admin {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) guard: Guard,
}

impl Admin {
    pub(super) async fn listen(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(address) = config.admin_listen else { return Ok(None) };
        let failed = |source| StartError::AdminListen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let guard = Guard::new(address, config.admin_token.as_ref().map(Secret::expose));
        Ok(Some(Self { listener, address, guard }))
    }
}

impl<Clk: Clock> App<Clk> {
    /// The task that answers operators until `end`.
    pub(super) fn operators(
        &mut self,
        stopping: CancellationToken,
        end: CancellationToken,
    ) -> JoinSet<()>
    where
        Clk: fmt::Debug,
    {
        let Some(Admin { listener, guard, .. }) = self.admin.take() else { return JoinSet::new() };
        let providers = Arc::new(self.live.providers.clone());
        let failovers = failover::prometheus::Metrics::new();
        failovers.watch(&self.live.providers.handle());
        let metrics = Metrics::new(Sources {
            failovers,
            calls: self.live.providers.attempts.calls.clone(),
            client_errors: Arc::clone(&self.live.providers.attempts.client_errors),
            traffic: Arc::clone(&self.live.options.get().watch.traffic),
            store: self.store.clone(),
            valuer: self.live.valuer.clone(),
            lasting: Arc::clone(&providers) as _,
            config: self.live.status.clone(),
            cluster: self
                .live
                .providers
                .fleet
                .as_ref()
                .map(|fleet| Box::new(fleet.cluster.clone()) as _),
        });
        let reports = Reports::new(self.live.providers.config().location());
        let backstage = Backstage {
            store: self.store.clone(),
            stopping,
            metrics,
            providers,
            history: self.history.clone(),
            reports,
            configured: Configured::new(self.live.clone()),
            started: self.started,
        };
        let serving = admin::serve(listener, Arc::new(backstage), guard, end.cancelled_owned());
        JoinSet::from_iter([serving])
    }
}
