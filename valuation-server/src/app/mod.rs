//! The composition root: what the server is made of, and the order in which it stops.
//!
//! ```text
//! HTTP → Valuer → Store hit → answer
//!               └ miss → Failover< Audit<SuperCar>, Audit<Premium> > → quote
//!                 quote + log of the calls → Store, one transaction → answer
//! ```
//!
//! It stops from the outside in: connections first, then the work that goes on without its
//! clients, then the database. Each has a deadline of its own.

mod memory;
mod records;
mod switch;
mod transition;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use failover::{Clock, CoarseClock};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::config::Config;
use crate::http::{self, Limits, Stopped};
use crate::store::{Store, StoreConfig, StoreError};
use crate::valuer::Valuer;
use memory::Memory;

pub use failover::State;
pub use switch::{Providers, ProvidersError, RouteStatus};
pub use transition::Transition;

/// How long work that goes on without its clients is waited for at the stop, on top of a
/// provider's deadline, which bounds it.
const GRACE: Duration = Duration::from_secs(2);
/// How long the route may take to be saved: a database that does not answer must not hold up the
/// stop for the route's sake.
const SAVING: Duration = Duration::from_secs(2);
/// How long the database may take to commit what waits and to close.
const CLOSING: Duration = Duration::from_secs(10);

/// The server, ready to run.
#[derive(Debug)]
pub struct App<K: Clock = CoarseClock> {
    listener: TcpListener,
    address: SocketAddr,
    providers: Providers<K>,
    store: Store,
    valuer: Valuer,
    limits: Limits,
    /// How long one question to the providers takes at most, a rescue included.
    longest_question: Duration,
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
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All requests were answered, and all they led to is stored.
    Whole,
    /// Something was cut off at its deadline.
    CutOff,
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

impl<K: Clock> App<K> {
    /// As [`start`](App::start), with the failover on a clock of the caller's.
    ///
    /// # Errors
    /// [`StartError`] names what can't work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start_on(config: &Config, clock: K) -> Result<Self, StartError> {
        let providers = Providers::new(config, clock)?;
        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        // A reader for each worker thread: a request reads where it runs.
        let workers = Handle::current().metrics().num_workers();
        let readers = u32::try_from(workers).unwrap_or(u32::MAX);
        let store = Store::open(&StoreConfig { readers, ..StoreConfig::new(&config.database) })?;
        Memory::new(providers.handle(), store.clone()).recall();
        let valuer = Valuer::new(Arc::new(records::Stored(store.clone())), providers.quotes());
        let longest_question = config.provider_timeout * if config.rescue { 2 } else { 1 };
        let limits = Limits { drain_timeout: longest_question + GRACE, ..Limits::default() };
        Ok(Self { listener, address, providers, store, valuer, limits, longest_question })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The providers and the switch between them.
    #[must_use]
    pub fn providers(&self) -> &Providers<K> {
        &self.providers
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `shutdown` is ready, then stops in order: no new connections, running requests
    /// answered, work under way seen through, everything committed.
    ///
    /// # Cancel safety
    /// Dropping the future cuts everything off. What was answered is stored.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Ended {
        let (stop_saving, stopping) = oneshot::channel();
        let memory = Memory::new(self.providers.handle(), self.store.clone());
        let saving = tokio::spawn(memory.keep(stopping));
        let stopped = http::serve(self.listener, self.valuer.clone(), self.limits, shutdown).await;
        let idle = timeout(self.longest_question + GRACE, self.valuer.idle()).await;
        if idle.is_err() {
            tracing::error!(left = self.valuer.in_flight(), "questions were cut off");
        }
        // Ended, the route is saved for the next start; dropped, that is what tells it to end.
        drop(stop_saving);
        let saved = timeout(SAVING, saving).await;
        if !matches!(saved, Ok(Ok(()))) {
            tracing::warn!("the route could not be saved in time");
        }
        let closed = timeout(CLOSING, self.store.shutdown()).await;
        if closed.is_err() {
            tracing::error!("the database did not close in time");
        }
        if stopped == Stopped::Drained && idle.is_ok() && closed.is_ok() {
            Ended::Whole
        } else {
            Ended::CutOff
        }
    }
}
