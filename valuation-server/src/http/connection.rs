//! One connection, from its acceptance to its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::peer::{Peer, close_after};
use super::socket::Socket;
use super::{Answer, Limits};

/// The longest head of a request, in bytes, over either protocol. hyper answers 431 above it, and
/// above 100 headers.
const HEAD_BYTES: u16 = 16 * 1024;
/// How many requests one HTTP/2 connection may have open.
const STREAMS: u32 = 100;
/// How many bytes of bodies a client may send ahead of their reading, over one HTTP/2 connection.
const WINDOW: u32 = 64 * 1024;
/// How many streams a client may open and reset before they are taken up, and how many it may have
/// reset by its own faults, until its connection is ended: the bound on a flood of resets.
const RESETS: usize = 20;

/// What all connections of a listener are served with.
pub(super) type Protocol = auto::Builder<TokioExecutor>;

pub(super) fn protocol(limits: &Limits) -> Protocol {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        // Without a timer hyper has no deadline for heads.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES.into())
        // A client that closes its sending side after the request still gets its answer.
        .half_close(true);
    protocol
        .http2()
        .timer(TokioTimer::new())
        // HTTP/2 has no deadline for heads: a peer that is gone is found by its silence.
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout)
        .max_header_list_size(HEAD_BYTES.into())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_concurrent_streams(STREAMS);
    protocol
}

/// Serves one connection to its end, each request by `answer`.
pub(super) async fn converse<S, F>(
    stream: TcpStream,
    limits: Limits,
    protocol: Arc<Protocol>,
    mut stopping: watch::Receiver<()>,
    peer: Peer,
    answer: S,
) where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let socket = Socket::new(stream, &limits, peer.clone());
    let session = Arc::new((answer, peer.clone()));
    let service = service_fn(move |request| {
        let session = Arc::clone(&session);
        async move { Ok::<_, Infallible>(exchange(&session.0, &session.1, request).await) }
    });
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        // In this order: what the client has sent already is taken up before the stop.
        biased;
        ended = connection.as_mut() => ended,
        // Each answer says from now on that it is the last one. A connection at rest stays for a
        // moment, since its next request may have been sent before the client could know.
        _ = stopping.changed() => {
            match timeout(limits.stop_grace, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
        // HTTP/1 has the deadline for heads; HTTP/2 has none for a connection at rest.
        () = long_at_rest(&peer, limits.header_timeout) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.header_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Answers one request, if its head can be taken.
async fn exchange<S, F>(answer: &S, peer: &Peer, request: Request<Incoming>) -> Answer
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer>,
{
    let version = request.version();
    let mut answered = match peer.begin(&request) {
        Ok(()) => answer(request).await,
        Err(problem) => {
            // Where the next request would begin is not sure.
            let mut refused = problem.into_response(request.uri());
            close_after(&mut refused);
            refused
        }
    };
    peer.end(&mut answered, version);
    answered
}

/// Ready when no request came or ran for a whole period.
async fn long_at_rest(peer: &Peer, period: Duration) {
    let mut before = None;
    loop {
        // Twice the period at most, from the last answer on.
        let now = peer.at_rest();
        if now.is_some() && now == before {
            return;
        }
        before = now;
        sleep(period).await;
    }
}
