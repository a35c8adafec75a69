//! A simulated provider: in this process, on loopback, with faults that can be changed while it runs.
//!
//! In addition to its provider's resource it serves `GET /fault`, which shows the fault and the number
//! of calls so far, and `POST /fault?mode=…&rate=…&retry-after=…`, which sets it:
//!
//! | mode | a call |
//! |---|---|
//! | `ok` | is answered |
//! | `500`, `503`, `429`, `404` or any other status of three digits from 200 on | is answered with this status and no valuation |
//! | `hang` | is never answered |
//! | `reset` | has its connection reset |
//! | `garbage` | is answered with 200 and a text that is not a valuation |
//! | `slow` | is answered after [`Pace::slow`] |
//!
//! `rate` is the share of the calls that the mode affects, such as `0.5` or `1/3`, exact and
//! evenly spread; by default all. A rate without a mode is a share of `500`.
//! `retry-after` is a number of seconds that answers with a status carry as that header.

mod api;
mod fault;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::domain::Provider;
use crate::providers::BaseUrl;

use api::Api;
pub use fault::{Fault, FaultError, Mode};

/// How long a simulator takes to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Before each answer.
    pub latency: Duration,
    /// Before an answer in [`Mode::Slow`], instead of the latency.
    pub slow: Duration,
}

impl Pace {
    /// No waiting at all, for tests; slow is a second.
    pub const INSTANT: Self = Self { latency: Duration::ZERO, slow: Duration::from_secs(1) };
}

impl Default for Pace {
    /// 20 ms, and 2 s when slow.
    fn default() -> Self {
        Self { latency: Duration::from_millis(20), slow: Duration::from_secs(2) }
    }
}

/// A running simulator. Dropping it stops it; [`Simulator::stop`] also waits.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    /// Dropping it stops the simulator.
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    api: &'static Api,
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fault: Fault,
    /// Calls since the fault was set. A call's index among them decides whether it is affected.
    since: u64,
    calls: u64,
}

impl Simulator {
    /// Starts the simulator of `provider` on `listen`; port 0 takes a free one.
    ///
    /// # Errors
    /// What the operating system says if it can't listen there; `Unsupported` for a provider without a
    /// simulator.
    pub async fn start(provider: Provider, listen: SocketAddr, pace: Pace) -> io::Result<Self> {
        let unsupported =
            || io::Error::new(io::ErrorKind::Unsupported, format!("{provider}: no simulator"));
        let api = Api::of(provider).ok_or_else(unsupported)?;
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { api, pace, state: Mutex::default() });
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&shared), stopped));
        Ok(Self { address, shared, _stop: stop, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    ///
    /// # Panics
    /// If it listens on an IPv6 address with a scope, which a URL can't have; loopback has none.
    #[must_use]
    pub fn base_url(&self) -> BaseUrl {
        BaseUrl::parse(&format!("http://{}", self.address))
            .expect("an address without a scope makes a URL")
    }

    /// Sets the fault, from the next call on.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.set_fault(fault);
    }

    /// The fault that is set.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.shared.lock().fault
    }

    /// The number of calls, answered or not, without those to `/fault`.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.lock().calls
    }

    /// Stops. When it returns, the port is free and all connections are closed.
    pub async fn stop(self) {
        let Self { accepting, _stop: stop, .. } = self;
        drop(stop);
        // An error is a panic, which is reported already.
        let _ = accepting.await;
    }
}

impl Shared {
    fn set_fault(&self, fault: Fault) {
        let mut state = self.lock();
        state.fault = fault;
        state.since = 0;
    }

    /// Counts a call, and says what happens to it, and with which `Retry-After`.
    fn admit(&self) -> (Mode, Option<u32>) {
        let mut state = self.lock();
        let index = state.since;
        state.since += 1;
        state.calls += 1;
        (state.fault.mode_of(index), state.fault.retry_after)
    }

    // No code panics under the lock, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
