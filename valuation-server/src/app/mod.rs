//! The composition root: what the server is made of, and the order in which it stops.
//!
//! ```text
//! HTTP → Valuer → Store hit → answer
//!               └ miss → Failover< Audit<SuperCar>, Audit<Premium> > → quote
//!                 quote + log of the calls → Store, one transaction → answer
//! ```
//!
//! [`App::run`] stops from the outside in: connections, running valuations, the cluster, the route, the
//! database, the operators' side. Connections and valuations share one deadline, counted from the signal: the
//! longest valuation plus a grace period. Request bodies are read for a short time after the signal
//! only, so that no valuation starts too late. After the deadline connections are closed, and the calls
//! of unfinished valuations are logged as cancelled.

mod admin_side;
mod attempts;
mod backend;
mod carrier;
mod cluster_view;
mod configuration;
mod coverage;
mod doubt;
mod failed_calls;
mod fleet;
mod fleet_orders;
mod fleet_task;
mod history;
mod in_force;
mod last_trip;
mod live;
mod memory;
mod operator;
mod orders;
mod overview;
mod policy;
mod policy_notes;
mod preview;
mod recorder;
mod records;
mod report;
mod rollups;
mod saved_policy;
mod services;
mod standing;
mod start_error;
mod switch;
mod transition;
mod vehicles;
mod warnings;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use failover::clock::{Clock, CoarseClock};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Status};
use crate::http::{self, Limits, Options, Stopped, Watch};
use crate::store::{Store, StoreConfig};
use crate::system::{Room, room_for};
use crate::valuer::{Bounds, Valuer};
use admin_side::Admin;
use carrier::Carrier;
use history::History;
use memory::Memory;
use recorder::Recorder;
use standing::Standing;

pub use failover::State;
pub use live::{ApplyError, Live};
pub use records::Stored;
pub use start_error::StartError;
pub use switch::{Providers, ProvidersError};
pub use transition::{Transition, provider};

/// How much longer than the longest valuation the stop's deadline is: the last body may come a second
/// after the signal, and a commit may wait for another program's lock ([`StoreConfig::lock_wait`]).
const GRACE: Duration = Duration::from_secs(7);
/// How many concurrent HTTP/2 requests are allowed in addition to PUTs of new vehicles.
const OTHER_STREAMS: usize = 1_000;
/// How long saving the route and the history may take: a database that does not answer must not delay the stop.
const SAVING: Duration = Duration::from_secs(1);
/// How long leaving the cluster may take.
const LEAVING: Duration = Duration::from_secs(1);
/// How long the database may take to commit what waits and to close: more than
/// [`StoreConfig::lock_wait`] and [`StoreConfig::last_tries`] together.
const CLOSING: Duration = Duration::from_secs(10);

/// The server, ready to run.
#[derive(Debug)]
pub struct App<Clk: Clock = CoarseClock> {
    listener: TcpListener,
    address: SocketAddr,
    store: Store,
    live: Live<Clk>,
    admin: Option<Admin>,
    history: History,
    carrier: Option<Carrier>,
    started: Instant,
}

/// The result of a stop: the worst that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All requests were answered, and all their calls are stored.
    Whole,
    /// Something was cut off at its deadline.
    CutOff,
    /// This many provider calls since the start could not be stored; they are in the log alone.
    Lost(u64),
}

impl App {
    /// Builds the server, opens the database and binds the port. Blocks for the database.
    ///
    /// # Errors
    /// [`StartError`] names what can't work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_on(config, CoarseClock).await
    }
}

impl<Clk: Clock> App<Clk> {
    /// As [`start`](App::start), with a clock for the failover.
    ///
    /// # Errors
    /// [`StartError`] names what can't work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start_on(config: &Config, clock: Clk) -> Result<Self, StartError> {
        let providers = Providers::new(config, clock)?;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let admin = Admin::listen(config).await?;
        let carrier = Carrier::open(config)?;

        // A reader for each worker thread: a request reads where it runs.
        let workers = Handle::current().metrics().num_workers();
        let readers = u32::try_from(workers).unwrap_or(u32::MAX);
        let wanted = Room { connections: config.max_connections, valuations: config.max_puts };
        let Room { connections: max_connections, valuations: max_puts } = room_for(wanted);
        live::warn_of_weak_anchors(config);
        let store = Store::open(&StoreConfig {
            // A permit for every concurrent valuation: none waits for one.
            queue: max_puts,
            newest_head: providers.newest_head.clone(),
            ..StoreConfig::at(backend::backend(config, readers))
        })
        .await?;
        // First: the route is restored under the policy that is in force.
        policy_notes::recall(&providers, &store).await;
        Memory::new(providers.handle(), store.clone()).recall().await;
        providers.attempts.failed_calls.recall(&store).await;
        Standing::new(providers.clone(), store.clone()).recall().await;
        fleet_orders::join(&providers).map_err(ProvidersError::from)?;
        let bounds = Bounds { flights: max_puts, cache: config.cache };
        let valuer = Valuer::within(bounds, Arc::new(Stored(store.clone())), providers.quotes());
        let limits = Limits {
            max_connections,
            streams: max_puts.saturating_add(OTHER_STREAMS),
            drain_timeout: live::drain_timeout(config),
            ..Limits::default()
        };
        let watch = Watch { traffic: Arc::default(), access_log: config.access_log };
        let allow_origins = config.allow_origins.clone();
        let live = Live {
            options: Options { limits, watch, allow_origins }.into(),
            guard: admin.as_ref().map(|admin| admin.guard.clone()),
            queue: max_puts,
            status: Status::default(),
            applying: Arc::default(),
            providers,
            valuer,
        };
        let history = History::new(store.clone(), live.providers.attempts.calls.clone());
        let started = Instant::now();
        Ok(Self { listener, address, store, live, admin, history, carrier, started })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The operators' address, if they have a listener.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// The address for the other nodes of the cluster, over UDP.
    #[must_use]
    pub fn cluster_address(&self) -> Option<SocketAddr> {
        self.carrier.as_ref().and_then(Carrier::address)
    }

    /// Replaces the other nodes of the configuration, over UDP: for nodes on port 0, whose ports are known
    /// only when all are bound.
    #[must_use]
    pub fn with_cluster_peers(mut self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.carrier = self.carrier.map(|carrier| carrier.with_peers(peers));
        self
    }

    /// How long [`run`](Self::run) may take after its signal: the sum of its deadlines.
    #[must_use]
    pub fn longest_stop(&self) -> Duration {
        self.live.longest_stop()
    }

    /// A handle that puts another configuration in force while the server runs.
    #[must_use]
    pub fn live(&self) -> Live<Clk> {
        self.live.clone()
    }

    /// With what is known of the configuration's document, for the operators.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.live.status = status;
        self
    }

    /// The providers and the switch between them.
    #[must_use]
    pub fn providers(&self) -> &Providers<Clk> {
        &self.live.providers
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `shutdown` is ready, then stops in order. Operators are answered until the end;
    /// `/readyz` says that the server is stopping.
    ///
    /// # Cancel safety
    /// Dropping the future cuts everything off. Answered valuations are stored.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Ended
    where
        Clk: fmt::Debug,
    {
        let stopping = CancellationToken::new();
        let (save_last, end) = (CancellationToken::new(), CancellationToken::new());
        // Both sets abort their task if this future is dropped.
        let mut operators = self.operators(stopping.clone(), end.clone());
        let memory = Memory::new(self.live.providers.handle(), self.store.clone());
        let recorder = Recorder::new(self.history.clone(), &self.live.providers);
        let orders = Arc::clone(&self.live.providers.orders);
        let saved_policy = Arc::clone(&self.live.providers.saved_policy);
        let standing = Standing::new(self.live.providers.clone(), self.store.clone());
        let mut savers = JoinSet::new();
        savers.spawn(memory.keep(save_last.clone()));
        savers.spawn(policy_notes::keep(
            self.live.providers.clone(),
            self.store.clone(),
            save_last.clone(),
        ));
        savers.spawn(recorder.keep(save_last.clone()));
        savers.spawn(rollups::keep(self.store.clone(), save_last.clone()));
        savers.spawn(standing.keep(save_last.clone()));
        let mut node = JoinSet::new();
        let leave = CancellationToken::new();
        node.spawn(fleet_task::run(
            self.live.providers.clone(),
            self.carrier.take(),
            leave.clone(),
        ));
        let Self { listener, live: Live { valuer, options, .. }, store, .. } = self;
        let mut signalled = None;
        let shutdown = async {
            shutdown.await;
            signalled = Some(Instant::now());
            stopping.cancel();
        };

        // 1. Connections: none is accepted, running requests are answered.
        let connections = http::serve(listener, valuer.clone(), options.clone(), shutdown).await;
        // 2. Valuations whose clients have gone.
        let drain_timeout = options.get().limits.drain_timeout;
        let deadline = signalled.unwrap_or_else(Instant::now) + drain_timeout;
        let valuations = timeout_at(deadline, valuer.idle()).await;
        if valuations.is_err() {
            tracing::error!(left = valuer.in_flight(), "valuations were cut off");
        }
        // 3. The cluster, which this node leaves.
        leave.cancel();
        if timeout(LEAVING, node.join_next()).await.is_err() {
            tracing::warn!("the other nodes of the cluster could not be told of the stop in time");
        }
        // 4. The route and its order, for the next start, and the history's last row.
        save_last.cancel();
        let saved = async { while savers.join_next().await.is_some() {} };
        if timeout(SAVING, saved).await.is_err() {
            tracing::warn!("the route and the history could not be saved in time");
        }
        // 5. The database: commits what waits.
        let database = timeout(CLOSING, store.shutdown()).await;
        if database.is_err() {
            tracing::error!("the database did not close in time");
        }
        // The notes that were committed at the last moment.
        let _ = timeout(SAVING, async { while savers.join_next().await.is_some() {} }).await;
        // 6. The operators' side.
        end.cancel();
        while operators.join_next().await.is_some() {}
        // Also of a command that came during the stop.
        let ordered = orders.is_stored() && saved_policy.is_stored();
        if !ordered {
            tracing::error!("the last order could not be stored: the next start does not know it");
        }

        let whole =
            connections == Stopped::Drained && valuations.is_ok() && database.is_ok() && ordered;
        match store.lost_calls() {
            0 if whole => Ended::Whole,
            0 => Ended::CutOff,
            lost => Ended::Lost(lost),
        }
    }
}

/// The sum of a stop's deadlines.
fn longest_stop(drain_timeout: Duration) -> Duration {
    drain_timeout + LEAVING + SAVING + CLOSING + SAVING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_lasts_longer_than_a_commit_that_waits_for_another_programs_lock() {
        let store = StoreConfig::new("v.sqlite");
        assert!(store.lock_wait >= Duration::from_secs(5), "as docs/database.md promises");
        assert!(GRACE > store.lock_wait + Duration::from_secs(1));
        assert!(CLOSING > store.lock_wait + store.last_tries);
    }
}
