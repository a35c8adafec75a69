//! The accept loop, and the way it ends.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::handlers::Session;
use super::socket::Socket;
use super::{Limits, Watch};
use crate::valuer::Valuer;

/// The longest head of a request, in bytes. hyper answers 431 above it.
const HEAD_BYTES: usize = 64 * 1024;
/// How many requests one HTTP/2 connection may have open.
const STREAMS: u32 = 128;
/// The pause after an accept error that is not the client's, such as too many open files. Without
/// it the loop would spin until a file is closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every connection ended by itself.
    Drained,
    /// So many connections were cut off at the deadline.
    CutOff(usize),
}

/// Serves until `shutdown` is ready, then stops accepting, lets running requests finish, and cuts
/// off what is left after [`Limits::drain_timeout`].
///
/// Valuations that were under way go on without their clients: wait for
/// [`Valuer::idle`] afterwards.
///
/// # Cancel safety
/// Dropping the future closes the listener and all connections.
pub async fn serve(
    listener: TcpListener,
    valuer: Valuer,
    limits: Limits,
    kept: Watch,
    shutdown: impl Future<Output = ()>,
) -> Stopped {
    let protocol = Arc::new(protocol(&limits));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            // A limit on connections belongs here: beside `connections.len()`.
            stream = accept(&listener) => {
                let session = Session::new(valuer.clone(), limits, kept.clone());
                connections.spawn(converse(stream, session, protocol.clone(), stopping.clone()));
            }
        }
    }
    drop(listener);
    drop(stopping);
    stop.send_replace(());
    let drained = timeout(limits.drain_timeout, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_ok() {
        return Stopped::Drained;
    }
    let left = connections.len();
    connections.shutdown().await;
    tracing::warn!(left, "connections were cut off at the deadline");
    Stopped::CutOff(left)
}

/// The next connection, whatever goes wrong before it.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        let error = match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => error,
        };
        // The client left between its handshake and our accept: no reason to pause.
        if !matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
        ) {
            tracing::warn!(%error, "accepting a connection failed; pausing");
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        // Without a timer hyper has no deadline for heads.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES)
        // A client that closes its sending side after the request still gets its answer.
        .half_close(true);
    protocol
        .http2()
        .timer(TokioTimer::new())
        // HTTP/2 has no deadline for heads: a peer that is gone is found by its silence.
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout)
        .max_concurrent_streams(STREAMS);
    protocol
}

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    session: Session,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    mut stopping: watch::Receiver<()>,
) {
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let socket = Socket::new(stream, session.header_timeout(), session.unread().clone());
    let session = Arc::new(session);
    let service = service_fn(move |request| {
        let session = Arc::clone(&session);
        async move { Ok::<_, Infallible>(session.answer(request).await) }
    });
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        // In this order: what the client has sent already is taken up before the stop.
        biased;
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
