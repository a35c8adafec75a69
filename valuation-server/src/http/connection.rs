//! One connection, from its acceptance to its end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::peer::{Peer, close_after};
use super::socket::{LINGER, Socket};
use super::streams::{Sent, Stream};
use super::trace::{Identity, X_REQUEST_ID};
use super::{Answer, Limits};

/// The longest head of a request, in bytes, over either protocol: 431 above it.
pub(super) const HEAD_BYTES: u16 = 16 * 1024;
/// The most headers of a request, which is hyper's own limit over HTTP/1.1.
pub(super) const HEADERS: usize = 100;
/// How many requests one HTTP/2 connection may have open. Fewer than the hundred that RFC 9113 recommends
/// (section 6.5.2): the library's memory for so many stays with the connection, and clients with more
/// to ask open another one.
const STREAMS: u32 = 32;
/// How many bytes of bodies a client may send ahead of their reading, over one HTTP/2 connection.
const WINDOW: u32 = 64 * 1024;
/// How many streams a client may open and reset before they are taken up, and how many it may have
/// reset by its own faults, until its connection is ended: the bound on a flood of resets.
const RESETS: usize = 20;

/// How long nothing must be under way until a connection that is to end is closed from here. What was
/// answered before has been sent by then, and a client that was refused has had its time.
const SETTLED: Duration = LINGER.saturating_add(Duration::from_millis(250));

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
        // Twice the limit, up to which the answer is ours.
        .max_header_list_size(2 * u32::from(HEAD_BYTES))
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
    let service = Arc::new(Service { answer, peer: peer.clone(), retry_after: limits.retry_after });
    let serving = service_fn(move |request| {
        // Not in the future: over HTTP/2 more heads may come before it is polled.
        let running = Running::begin(Arc::clone(&service));
        let (request, stream) = Stream::of(request, &running.0.peer);
        exchange(running, request, stream)
    });
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(socket), serving));
    let mut ended = tokio::select! {
        // In this order: what the client has sent already is taken up before the stop.
        biased;
        ended = connection.as_mut() => Some(ended),
        // Each answer says from now on that it is the last one. A connection at rest stays for a
        // moment, since its next request may have been sent before the client could know.
        _ = stopping.changed() => timeout(limits.stop_grace, connection.as_mut()).await.ok(),
        // HTTP/1 has deadlines for heads and for each byte that is written.
        over = outstayed(&peer, &limits) => match over {
            Outstayed::AtRest => None,
            Outstayed::Untaken => Some(Ok(())),
        },
    };
    if ended.is_none() {
        // What runs is answered. Who has nothing under way, and does not go by himself, has no say.
        connection.as_mut().graceful_shutdown();
        ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = settled(&peer, SETTLED) => None,
        };
    }
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// What answers the requests of a connection.
struct Service<S> {
    answer: S,
    peer: Peer,
    retry_after: Duration,
}

/// A request that was taken up. Dropped, it counts as ended, however it ended: over HTTP/2 a client
/// may reset it while it waits.
struct Running<S>(Arc<Service<S>>);

impl<S> Running<S> {
    fn begin(service: Arc<Service<S>>) -> Self {
        service.peer.began();
        Self(service)
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        self.0.peer.ended();
    }
}

/// Answers one request, if there is a place for it and its head can be taken.
fn exchange<S, F>(
    running: Running<S>,
    request: Request<Incoming>,
    stream: Option<Stream>,
) -> Exchange<S, F>
where
    S: Fn(Request<Incoming>) -> F,
{
    let Service { answer, peer, retry_after } = &*running.0;
    let version = request.version();
    let refused = match &stream {
        Some(stream) => stream.refusal(*retry_after),
        None => peer.begin(&request).err(),
    };
    let answering = match refused {
        Some(problem) => {
            peer.refused();
            let mut refused = problem.into_response(request.uri());
            let id = Identity::of(request.headers()).into_header();
            refused.headers_mut().insert(X_REQUEST_ID, id);
            if version < Version::HTTP_2 {
                // Where the next request would begin is not sure.
                close_after(&mut refused);
            }
            Answering::Refused { refused: Some(Box::new(refused)) }
        }
        None => Answering::Taken { answer: answer(request) },
    };
    Exchange { answering, running, stream, version }
}

pin_project! {
    /// A request that is being answered. Written out, since each connection keeps the room of one, and
    /// an `async fn` would take more than once what it awaits.
    struct Exchange<S, F> {
        #[pin]
        answering: Answering<F>,
        // Dropped after it.
        running: Running<S>,
        stream: Option<Stream>,
        version: Version,
    }
}

pin_project! {
    #[project = AnsweringProjected]
    enum Answering<F> {
        Taken { #[pin] answer: F },
        Refused { refused: Option<Box<Answer>> },
    }
}

impl<S, F: Future<Output = Answer>> Future for Exchange<S, F> {
    type Output = Result<Response<Sent>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answered = match this.answering.project() {
            AnsweringProjected::Taken { answer } => ready!(answer.poll(cx)),
            AnsweringProjected::Refused { refused } => {
                *refused.take().expect("not polled after it was answered")
            }
        };
        this.running.0.peer.end(&mut answered, *this.version);
        Poll::Ready(Ok(Sent::new(answered, this.stream.take())))
    }
}

/// Ready when nothing has been under way for so long, from the last request's end on.
async fn settled(peer: &Peer, period: Duration) {
    let (mut before, mut since) = (peer.at_rest(), Instant::now());
    while before.is_none() || since.elapsed() < period {
        sleep(period / 8).await;
        let now = peer.at_rest();
        if now.is_none() || now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// Why a connection over HTTP/2 is to end from here.
enum Outstayed {
    /// No request came or ran for [`Limits::header_timeout`].
    AtRest,
    /// The client has left an answer untaken for [`Limits::write_timeout`].
    Untaken,
}

/// Ready when the connection has stayed for too long. Looks at it now and then: it may stay for as
/// long once more.
async fn outstayed(peer: &Peer, limits: &Limits) -> Outstayed {
    let (mut before, mut since) = (None, Instant::now());
    loop {
        if peer.turn_era() {
            return Outstayed::Untaken;
        }
        let now = peer.at_rest();
        if now.is_none() || now != before {
            (before, since) = (now, Instant::now());
        } else if since.elapsed() >= limits.header_timeout {
            return Outstayed::AtRest;
        }
        sleep(limits.write_timeout.min(limits.header_timeout)).await;
    }
}
