//! Datagrams of each node to all others.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// The largest datagram that is carried: longer ones arrive cut off, and are refused as too long.
const LARGEST: usize = 2_048;

/// Sends each node's datagrams on to the others, until it is killed.
pub(in crate::demo) struct Relay {
    address: SocketAddr,
    nodes: Arc<RwLock<Vec<SocketAddr>>>,
    task: JoinSet<()>,
}

impl Relay {
    pub(super) async fn start() -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut relay = Self { address, nodes: Arc::default(), task: JoinSet::new() };
        relay.restart().await?;
        Ok(relay)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn carry(&mut self, nodes: Vec<SocketAddr>) {
        *self.nodes.write().unwrap_or_else(PoisonError::into_inner) = nodes;
    }

    /// Closes its socket.
    pub(super) async fn kill(&mut self) {
        self.task.shutdown().await;
    }

    pub(super) async fn restart(&mut self) -> io::Result<()> {
        self.kill().await;
        let socket = UdpSocket::bind(self.address).await?;
        self.address = socket.local_addr()?;
        self.task.spawn(carry(socket, Arc::clone(&self.nodes)));
        Ok(())
    }
}

async fn carry(socket: UdpSocket, nodes: Arc<RwLock<Vec<SocketAddr>>>) {
    let mut buffer = [0; LARGEST];
    loop {
        // An error is about an earlier datagram, to a node that is gone.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let nodes = nodes.read().unwrap_or_else(PoisonError::into_inner).clone();
        for node in nodes.into_iter().filter(|node| *node != from) {
            // As above; lost datagrams are no harm.
            let _ = socket.send_to(&buffer[..length], node).await;
        }
    }
}
