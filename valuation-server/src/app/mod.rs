//! The composition root: what the server is made of, and the order in which it stops.
//!
//! ```text
//! HTTP → Valuer → Store hit → answer
//!               └ miss → Failover< Audit<SuperCar>, Audit<Premium> > → quote
//!                 quote + log of the calls → Store, one transaction → answer
//! ```
//!
//! It stops from the outside in: connections first, then the work that goes on without its
//! clients, then the database, and the operators' side last. The first two have one deadline, counted
//! from the order to stop: as long as the longest question to the providers, and a little. A body
//! that has not come shortly after the order is given up, so that no question begins too late for it.
//! What remains at the deadline is cut off: its clients lose their connections, and the calls of a
//! question that was given up are logged as cancelled. The database has a deadline of its own after
//! that.

mod client_errors;
mod memory;
mod operator;
mod records;
mod switch;
mod transition;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::admin::{self, Guard};
use crate::config::{Config, Secret};
use crate::http::{self, Limits, Stopped, Watch};
use crate::store::{Store, StoreConfig, StoreError};
use crate::telemetry::{Metrics, Sources};
use crate::valuer::{Bounds, Valuer};
use memory::Memory;
use operator::Backstage;

pub use failover::State;
pub use records::Stored;
pub use switch::{Providers, ProvidersError, RouteStatus};
pub use transition::Transition;

/// How much longer than the longest question a stop may take: the last body may come a second after
/// the order, and a commit may wait for another program's lock ([`StoreConfig::lock_wait`]).
const GRACE: Duration = Duration::from_secs(7);
/// How many requests over HTTP/2 there may be at once beside the PUTs of new ones.
const OTHER_STREAMS: usize = 1_000;
/// How long the route may take to be saved: a database that does not answer must not hold up the
/// stop for the route's sake.
const SAVING: Duration = Duration::from_secs(1);
/// How long the database may take to commit what waits and to close: longer than
/// [`StoreConfig::lock_wait`] and [`StoreConfig::last_tries`] together.
const CLOSING: Duration = Duration::from_secs(10);

/// The server, ready to run.
#[derive(Debug)]
pub struct App<Clk: Clock = CoarseClock> {
    listener: TcpListener,
    address: SocketAddr,
    providers: Providers<Clk>,
    store: Store,
    valuer: Valuer,
    limits: Limits,
    watch: Watch,
    admin: Option<Admin>,
}

/// The operators' side, ready to run.
#[derive(Debug)]
struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

/// Why the server can't start. The text names what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The providers, or the policy that chooses between them.
    #[error(transparent)]
    Providers(#[from] ProvidersError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address to listen on.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The address for operators to listen on.
    #[error(
        "cannot listen on {address} for operators: {source}; choose another address with \
         --admin-listen"
    )]
    AdminListen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl Admin {
    async fn listen(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(address) = config.admin_listen else { return Ok(None) };
        let failed = |source| StartError::AdminListen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let guard = Guard::new(address, config.admin_token.as_ref().map(Secret::expose));
        Ok(Some(Self { listener, address, guard }))
    }
}

/// How a stop went: the worst of what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All requests were answered, and all they led to is stored.
    Whole,
    /// Something was cut off at its deadline.
    CutOff,
    /// Since the start, so many calls to providers could not be stored, and are in the server's log
    /// alone.
    Lost(u64),
}

impl App {
    /// Puts the server together, opens the database and takes the port. Blocks for the database.
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
    /// As [`start`](App::start), with the failover on a clock of the caller's.
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

        // A reader for each worker thread: a request reads where it runs.
        let workers = Handle::current().metrics().num_workers();
        let readers = u32::try_from(workers).unwrap_or(u32::MAX);
        let (max_connections, max_puts) = room_for(config.max_connections, config.max_puts);
        let store = Store::open(&StoreConfig {
            readers,
            // A place for every question that may be under way: none waits for one.
            queue: max_puts,
            durability: config.durability,
            ..StoreConfig::new(&config.database)
        })?;
        Memory::new(providers.handle(), store.clone()).recall();
        let bounds = Bounds { flights: max_puts, cache: config.cache };
        let valuer = Valuer::within(bounds, Arc::new(Stored(store.clone())), providers.quotes());
        let longest_question = config.provider_timeout * if config.rescue { 2 } else { 1 };
        let limits = Limits {
            max_connections,
            streams: max_puts.saturating_add(OTHER_STREAMS),
            drain_timeout: longest_question + GRACE,
            ..Limits::default()
        };
        let watch = Watch { traffic: Arc::default(), access_log: config.access_log };
        Ok(Self { listener, address, providers, store, valuer, limits, watch, admin })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators find it; `None` where they have no side of their own.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// The providers and the switch between them.
    #[must_use]
    pub fn providers(&self) -> &Providers<Clk> {
        &self.providers
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `shutdown` is ready, then stops in order: no new connections, running requests
    /// answered, work under way seen through, everything committed. Operators are answered until
    /// the end, and told that it is near.
    ///
    /// # Cancel safety
    /// Dropping the future cuts everything off. What was answered is stored.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Ended
    where
        Clk: fmt::Debug,
    {
        let draining = Arc::new(AtomicBool::new(false));
        let (stopped, stop) = oneshot::channel::<()>();
        // Dropped with this future, it takes the task with it.
        let mut operators = JoinSet::new();
        if let Some(Admin { listener, guard, .. }) = self.admin.take() {
            let backstage = Arc::new(self.backstage(Arc::clone(&draining)));
            operators.spawn(admin::serve(listener, backstage, guard, async { drop(stop.await) }));
        }
        let shutdown = async {
            shutdown.await;
            // Ordering: Relaxed. The flag stands for nothing but itself.
            draining.store(true, Ordering::Relaxed);
        };
        let ended = self.serve(shutdown).await;
        drop(stopped);
        while operators.join_next().await.is_some() {}
        ended
    }

    fn backstage(&self, draining: Arc<AtomicBool>) -> Backstage<Clk> {
        let failovers = failover::prometheus::Metrics::new();
        failovers.watch(&self.providers.handle());
        let metrics = Metrics::new(Sources {
            failovers,
            calls: Arc::clone(self.providers.calls()),
            client_errors: Arc::clone(self.providers.client_errors()),
            traffic: Arc::clone(&self.watch.traffic),
            store: self.store.clone(),
            valuer: self.valuer.clone(),
        });
        let providers = Arc::new(self.providers.clone());
        Backstage { store: self.store.clone(), draining, metrics, providers }
    }

    async fn serve(self, shutdown: impl Future<Output = ()>) -> Ended {
        let Self { listener, valuer, limits, watch, store, providers, .. } = self;
        let (stop_saving, stopping) = oneshot::channel();
        let saving = Memory::new(providers.handle(), store.clone()).keep(stopping);
        // Dropped with this future, it takes the task with it.
        let mut saving = JoinSet::from_iter([saving]);
        let mut ordered = None;
        let shutdown = async {
            shutdown.await;
            ordered = Some(Instant::now());
        };
        let stopped = http::serve(listener, valuer.clone(), limits, watch, shutdown).await;
        let deadline = ordered.unwrap_or_else(Instant::now) + limits.drain_timeout;
        let idle = timeout_at(deadline, valuer.idle()).await;
        if idle.is_err() {
            tracing::error!(left = valuer.in_flight(), "questions were cut off");
        }
        // Its end is what tells the task to save a last time, for the next start.
        drop(stop_saving);
        if timeout(SAVING, saving.join_next()).await.is_err() {
            tracing::warn!("the route could not be saved in time");
        }
        let closed = timeout(CLOSING, store.shutdown()).await;
        if closed.is_err() {
            tracing::error!("the database did not close in time");
        }
        match store.lost_calls() {
            lost @ 1.. => Ended::Lost(lost),
            0 if stopped == Stopped::Drained && idle.is_ok() && closed.is_ok() => Ended::Whole,
            0 => Ended::CutOff,
        }
    }
}

/// The numbers of connections and of PUTs that are wanted, limited by the files that the system gives.
fn room_for(connections: usize, questions: usize) -> (usize, usize) {
    #[cfg(unix)]
    {
        use crate::system::{Room, room_for};
        let Room { connections, questions } = room_for(Room { connections, questions });
        (connections, questions)
    }
    #[cfg(not(unix))]
    (connections, questions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_lasts_longer_than_a_commit_that_waits_for_another_programs_lock() {
        let store = StoreConfig::new("v.sqlite");
        assert!(store.lock_wait >= Duration::from_secs(5), "as the README promises");
        assert!(GRACE > store.lock_wait + Duration::from_secs(1));
        assert!(CLOSING > store.lock_wait + store.last_tries);
    }
}
