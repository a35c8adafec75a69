//! A TCP proxy in front of a broker: it counts connections, can stall them, and can end TLS.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    open: AtomicUsize,
    stalled: AtomicBool,
}

impl Proxy {
    /// Passes connections on to a port of this machine, without TLS.
    pub(crate) async fn start(target: u16, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let mut accepting = JoinSet::new();
        let of_connections = Arc::clone(&shared);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&of_connections), tls.clone());
                connections.spawn(async move {
                    shared.open.fetch_add(1, Ordering::Relaxed);
                    let _ended = serve(client, target, tls, &shared).await;
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, shared, _accepting: accepting }
    }

    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Connections stay open, and nothing passes.
    pub(crate) fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::Relaxed);
    }
}

async fn serve(
    client: TcpStream,
    target: u16,
    tls: Option<TlsAcceptor>,
    shared: &Shared,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", target)).await?;
    match tls {
        Some(tls) => both(tls.accept(client).await?, server, shared).await,
        None => both(client, server, shared).await,
    }
}

async fn both(
    client: impl AsyncRead + AsyncWrite,
    server: TcpStream,
    shared: &Shared,
) -> io::Result<()> {
    let (client_read, client_write) = tokio::io::split(client);
    let (server_read, server_write) = tokio::io::split(server);
    tokio::select! {
        ended = pass(client_read, server_write, shared) => ended,
        ended = pass(server_read, client_write, shared) => ended,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
) -> io::Result<()> {
    let mut buffer = [0; 4_096];
    loop {
        let length = from.read(&mut buffer).await?;
        while shared.stalled.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}
