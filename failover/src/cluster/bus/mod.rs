//! The carriers of messages between nodes.
//!
//! A [`Bus`] joins an engine that exists already to a [`Port`], the cluster's side. Messages are small
//! and are repeated, so a bus may lose, repeat, delay and reorder them. What it must not do is deliver
//! old ones late: after a disconnection it sends the newest message of each kind, and no queue.
//!
//! Each engine is a feature of the crate: `cluster-udp`, `cluster-redis`, `cluster-nats` and
//! `cluster-kafka`. They run on tokio.

#[cfg(any(feature = "cluster-tls", feature = "cluster-udp"))]
pub mod error;
#[cfg(feature = "cluster-kafka")]
pub mod kafka;
mod memory;
#[cfg(feature = "cluster-nats")]
pub mod nats;
#[cfg(feature = "cluster-udp")]
pub mod peers;
#[cfg(feature = "cluster-tls")]
mod reconnect;
#[cfg(feature = "cluster-redis")]
pub mod redis;
#[cfg(feature = "cluster-tls")]
pub mod trust;
#[cfg(feature = "cluster-udp")]
pub mod udp;
#[cfg(any(feature = "cluster-tls", feature = "cluster-udp"))]
mod url;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cluster::wake::Wake;

pub use memory::{Address, Conditions, MemoryBus, Network};

/// The longest message, in bytes: it fits one datagram of any network.
pub const LONGEST_MESSAGE: usize = 1_024;

/// An engine that carries messages to all nodes of a cluster.
pub trait Bus: Send + 'static {
    /// Carries messages until it is dropped: sends what [`Port::next`] returns, and delivers what
    /// arrives. Its own messages may come back. Connects and reconnects by itself, with growing and
    /// random pauses, and reports both with [`Port::up`] and [`Port::down`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connections. A message that is being sent may be lost.
    fn run(self, port: Port) -> impl Future<Output = Infallible> + Send;
}

/// What a bus reports to its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery<'a> {
    /// A message of any node, this one included. It may be anything: it is checked by the receiver.
    Message(&'a [u8]),
    /// The bus is connected, and receives from now on.
    Up,
    /// The bus is not connected; the text says why.
    Down(&'a str),
    /// The bus, or the engine behind it, dropped this many incoming messages.
    Lagged(u64),
}

/// The cluster's side of a bus. Clones are the same port.
#[derive(Clone)]
pub struct Port(Arc<Shared>);

struct Shared {
    cluster: Arc<str>,
    /// The newest message of each key: a slow bus skips older ones.
    outbox: Mutex<BTreeMap<u64, Vec<u8>>>,
    /// For the bus that waits for one.
    published: Wake,
    receive: Box<dyn Fn(Delivery<'_>) + Send + Sync>,
}

impl Port {
    /// A port of the cluster of that name. `receive` is called by the bus, must not block, and gets
    /// what the bus delivers.
    pub fn new(
        cluster: impl Into<Arc<str>>,
        receive: impl Fn(Delivery<'_>) + Send + Sync + 'static,
    ) -> Self {
        let (cluster, receive) = (cluster.into(), Box::new(receive));
        let (outbox, published) = (Mutex::default(), Wake::default());
        Self(Arc::new(Shared { cluster, outbox, published, receive }))
    }

    /// The name of the cluster, for a topic or a channel: 1 to 64 of `a` to `z`, `0` to `9` and `-`.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.0.cluster
    }

    /// Hands a message to the bus, and replaces an earlier one of the same key that was not yet sent.
    /// Never waits.
    pub fn publish(&self, key: u64, message: Vec<u8>) {
        self.outbox().insert(key, message);
        self.0.published.wake();
    }

    /// The next message to send. For one waiting task.
    ///
    /// # Cancel safety
    /// A dropped future has taken no message.
    pub async fn next(&self) -> Vec<u8> {
        loop {
            if let Some(message) = self.try_next() {
                return message;
            }
            self.0.published.woken().await;
        }
    }

    /// The next message to send, if there is one.
    #[must_use]
    pub fn try_next(&self) -> Option<Vec<u8>> {
        self.outbox().pop_first().map(|(_, message)| message)
    }

    /// Whether no message waits to be sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.outbox().is_empty()
    }

    /// Delivers a message that arrived.
    pub fn deliver(&self, message: &[u8]) {
        (self.0.receive)(Delivery::Message(message));
    }

    /// Reports that the bus is connected. Again while it is: no harm.
    pub fn up(&self) {
        (self.0.receive)(Delivery::Up);
    }

    /// Reports that the bus is not connected, and why.
    pub fn down(&self, reason: impl fmt::Display) {
        (self.0.receive)(Delivery::Down(&reason.to_string()));
    }

    /// Reports that this many incoming messages were dropped.
    pub fn lagged(&self, messages: u64) {
        (self.0.receive)(Delivery::Lagged(messages));
    }

    // No panic can leave it half-changed, so poisoning is ignored.
    fn outbox(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("cluster", &self.0.cluster).finish_non_exhaustive()
    }
}
