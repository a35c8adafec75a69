//! The operators' listener.
//!
//! Separate from the public accept loop, whose limits and stop must not affect operators.
//!
//! Every connection is accepted. At the limit the oldest connection is closed, so that clients that
//! send or read nothing can't keep operators out. Each connection has deadlines: for a head, for a
//! request, for reading the next byte, and for its whole life.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::handlers::Handlers;
use super::{Guard, Operated};
use crate::listener::accept;
use crate::log_throttle::LogThrottle;
use crate::write_deadline::WriteDeadline;

/// The number of concurrent connections.
const CONNECTIONS: usize = 64;
/// For the head of a request, and for the pause before it.
const HEAD: Duration = Duration::from_secs(10);
/// For a whole request: an operator's body is small.
pub(super) const WHOLE: Duration = Duration::from_secs(10);
/// For the client to read the next byte of an answer.
const WRITE: Duration = Duration::from_secs(10);
/// For a connection; its last request may still be answered.
const LIFE: Duration = Duration::from_secs(300);
/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// From the end until running requests are cut off.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves operators until `shutdown` is ready, then gives running requests a second.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections.
pub async fn serve(
    listener: TcpListener,
    operated: Arc<dyn Operated>,
    guard: Guard,
    shutdown: impl Future<Output = ()>,
) {
    let handlers = Arc::new(Handlers {
        operated,
        guard,
        refusals: LogThrottle::new(),
        logins: LogThrottle::new(),
    });
    let (stop, stopping) = watch::channel(());
    let (mut connections, mut by_age) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    let throttle = LogThrottle::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, peer) = accept(&listener, "admin", &throttle) => {
                by_age.retain(|connection| !connection.is_finished());
                if by_age.len() >= CONNECTIONS && let Some(oldest) = by_age.pop_front() {
                    oldest.abort();
                }
                let serving = connection(stream, peer, Arc::clone(&handlers), stopping.clone());
                by_age.push_back(connections.spawn(serving));
            }
        }
    }
    drop(listener);
    stop.send_replace(());
    let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    handlers: Arc<Handlers>,
    mut stopping: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(super::stack(handlers, peer));
    let mut protocol = http1::Builder::new();
    // hyper enforces the header timeout only with a timer.
    protocol.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let stream = TokioIo::new(WriteDeadline::new(stream, WRITE));
    let mut connection = pin!(protocol.serve_connection(stream, service));
    let mut ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stopping.changed() => None,
        () = sleep(LIFE) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = timeout(WHOLE + WRITE, connection).await.ok();
    }
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "an operator's connection broke off");
    }
}
