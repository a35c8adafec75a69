//! A way to a server that can be broken, as by a bad network card.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::providers::BaseUrl;

/// Listens on loopback and carries each connection to another address, while it is open. Dropping it
/// closes all connections.
pub(super) struct Gate {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl Gate {
    /// An open gate to `server`.
    pub(super) async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (is_open, watched) = watch::channel(true);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, watched));
        Ok(Self { address, is_open, _accepting: accepting })
    }

    pub(super) fn base_url(&self) -> BaseUrl {
        BaseUrl::parse(&format!("http://{}", self.address))
            .expect("an address without a scope makes a URL")
    }

    /// Shuts it, which resets all connections, or opens it again.
    pub(super) fn set_open(&self, is_open: bool) {
        self.is_open.send_replace(is_open);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, is_open: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        connections.spawn(carry(client, server, is_open.clone()));
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut is_open: watch::Receiver<bool>) {
    let carried = async {
        let mut server = TcpStream::connect(server).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        biased;
        // An error means that the gate is gone.
        _ = is_open.wait_for(|open| !open) => {}
        // Either end closes as it likes.
        _ = carried => {}
    }
}
