//! One connection, from accept to close.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};

use super::socket::{LINGER, Socket};
use super::state::ConnectionState;
use super::streams::{self, GuardedBody, HEAD_BYTES, StreamGuard};
use crate::http::limits::Limits;
use crate::http::problem::{Answer, Problem};

/// The number of concurrent streams of a connection. Fewer than the hundred of RFC 9113, section 6.5.2:
/// the h2 crate keeps the memory of the peak, and a client can open another connection.
const STREAMS: u32 = 32;
/// The receive window of an HTTP/2 connection, in bytes.
const WINDOW: u32 = 64 * 1024;
/// How many streams a client may reset before they are accepted, and by its own errors, until its
/// connection is closed: the bound on a flood of resets.
const RESETS: usize = 20;

/// How long a connection must be idle before the stop closes it: a rejected client has had its
/// [`LINGER`], and sent answers are out.
const SETTLED: Duration = LINGER.saturating_add(Duration::from_millis(250));

/// hyper's settings, shared by the connections of a listener.
pub(super) type Protocol = auto::Builder<TokioExecutor>;

pub(in crate::http) fn protocol(limits: &Limits) -> Protocol {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        // hyper enforces the header timeout only with a timer.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD_BYTES.into())
        // A client may close its sending side after the request.
        .half_close(true);
    protocol
        .http2()
        .timer(TokioTimer::new())
        // HTTP/2 has no header timeout; pings detect a dead client.
        .keep_alive_interval(limits.header_timeout)
        .keep_alive_timeout(limits.header_timeout)
        // Up to twice the limit the rejection is ours, with a body: see `streams`.
        .max_header_list_size(2 * u32::from(HEAD_BYTES))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_concurrent_streams(STREAMS);
    protocol
}

/// Serves one connection to its end. A rejected request goes to `service` as well, with its
/// [`Problem`] as an extension.
pub(in crate::http) async fn serve<S>(
    stream: TcpStream,
    limits: Limits,
    protocol: Arc<Protocol>,
    mut stopping: watch::Receiver<()>,
    state: ConnectionState,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Answers are written whole: Nagle's algorithm would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let socket = Socket::new(stream, &limits, state.clone());
    let requests = state.clone();
    let serving = service_fn(move |request| {
        // Counted here, not in the future: over HTTP/2 more heads may arrive before its first poll.
        let running = requests.begin();
        let (request, stream) = checked(request, &requests);
        let version = request.version();
        // A combinator, because an `async` block takes twice the size of what it awaits, and each
        // connection reserves the room for one.
        service.clone().oneshot(request).map_ok(move |mut answer| {
            running.finish(&mut answer, version);
            GuardedBody::wrap(answer, stream)
        })
    });
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(socket), serving));
    let mut ended = tokio::select! {
        // In this order: requests that were sent before the stop are served.
        biased;
        ended = connection.as_mut() => Some(ended),
        // From now on each answer announces the close. An idle connection stays for the grace period:
        // its next request may have been sent before the client could know.
        _ = stopping.changed() => timeout(limits.stop_grace, connection.as_mut()).await.ok(),
        // HTTP/1 has its own deadlines, for heads and for each written byte.
        expired = expired(&state, &limits) => match expired {
            Expired::Idle => None,
            Expired::Unread => Some(Ok(())),
        },
    };
    if ended.is_none() {
        // Finishes running requests; closes idle connections.
        connection.as_mut().graceful_shutdown();
        ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = settled(&state, SETTLED) => None,
        };
    }
    if let Some(Err(error)) = ended {
        // hyper has answered it with an empty 4xx.
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            state.traffic().refused_requests.inc();
        }
        tracing::debug!(%error, "a connection broke off");
    }
}

/// The request as the service gets it, and what its answer holds over HTTP/2.
fn checked(
    request: Request<Incoming>,
    state: &ConnectionState,
) -> (Request<Incoming>, Option<StreamGuard>) {
    let (mut request, stream, checked) = if request.version() < Version::HTTP_2 {
        // Where the next request begins is unknown.
        let checked = state.check(&request).map_err(Problem::closing);
        (request, None, checked)
    } else {
        let (request, guard, checked) = streams::admit(request, state);
        (request, Some(guard), checked)
    };
    if let Err(problem) = checked {
        state.traffic().refused_requests.inc();
        request.extensions_mut().insert(problem);
    }
    (request, stream)
}

/// How long a connection has been idle, as far as it was looked at.
struct Idle {
    /// The number of its requests; `None` if some were running.
    requests: Option<u64>,
    since: Instant,
}

impl Idle {
    fn new() -> Self {
        Self { requests: None, since: Instant::now() }
    }

    fn update(&mut self, state: &ConnectionState) -> Duration {
        let requests = state.at_rest();
        if requests.is_none() || requests != self.requests {
            *self = Self { requests, since: Instant::now() };
        }
        self.since.elapsed()
    }
}

/// Ready when the connection has been idle for `period`.
async fn settled(state: &ConnectionState, period: Duration) {
    let mut idle = Idle::new();
    while idle.update(state) < period {
        sleep(period / 8).await;
    }
}

/// Why an HTTP/2 connection is closed.
enum Expired {
    /// No request began or ran for [`Limits::header_timeout`].
    Idle,
    /// The client has not read an answer for [`Limits::write_timeout`].
    Unread,
}

/// Ready when the connection has expired. It polls, so a connection may stay up to twice its limit.
async fn expired(state: &ConnectionState, limits: &Limits) -> Expired {
    let mut idle = Idle::new();
    loop {
        if state.next_period() {
            return Expired::Unread;
        }
        if idle.update(state) >= limits.header_timeout {
            return Expired::Idle;
        }
        sleep(limits.write_timeout.min(limits.header_timeout)).await;
    }
}
