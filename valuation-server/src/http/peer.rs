//! What a connection's socket and the requests on it tell one another.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Version};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::sleep;

use super::Answer;
use super::head::{Framing, Heads};
use super::problem::Problem;

/// One client's connection, as its socket and its requests see it. A clone costs a reference count.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<State>);

#[derive(Debug)]
struct State {
    /// Whether bytes have come that are part of no request that was read whole, so that more of
    /// the kind may follow. Every read sets it, and a request that is complete clears it.
    unread: AtomicBool,
    heads: Mutex<Heads>,
    /// Requests that came, and requests that were answered.
    began: AtomicU64,
    ended: AtomicU64,
    /// Places for large bodies, shared by all connections of a listener.
    large_bodies: Arc<Semaphore>,
    /// Changes once, when the server is told to stop.
    stopping: watch::Receiver<()>,
}

impl Peer {
    pub(super) fn new(stopping: watch::Receiver<()>, large_bodies: Arc<Semaphore>) -> Self {
        Self(Arc::new(State {
            unread: AtomicBool::new(false),
            heads: Mutex::default(),
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            large_bodies,
            stopping,
        }))
    }

    /// A place for a large body, until it is dropped; `None` if all are taken.
    pub(super) fn large_body(&self) -> Option<SemaphorePermit<'_>> {
        self.0.large_bodies.try_acquire().ok()
    }

    /// Says whether what has come so far was read.
    pub(super) fn set_unread(&self, unread: bool) {
        // Ordering: Relaxed. A hint between a connection and the requests on it, which run in one
        // task under HTTP/1; nothing else is published by it.
        self.0.unread.store(unread, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        // Ordering: as in `set_unread`.
        self.0.unread.load(Ordering::Relaxed)
    }

    /// Notes what was read from the socket.
    pub(super) fn came(&self, bytes: &[u8]) {
        self.set_unread(true);
        self.heads().note(bytes);
    }

    /// Notes that it is no HTTP/1 that comes.
    pub(super) fn speaks_http2(&self) {
        self.heads().give_up();
    }

    /// Takes up a request.
    ///
    /// # Errors
    /// 400 for a head that somebody else could read otherwise. The connection must end with it.
    pub(super) fn begin(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        // Ordering: Relaxed. The counts stand for nothing but themselves.
        self.0.began.fetch_add(1, Ordering::Relaxed);
        if request.version() >= Version::HTTP_2 {
            return Ok(());
        }
        // Of a message in chunks no exact length is known.
        let framing = request.body().size_hint().exact().map_or(Framing::Chunked, Framing::Length);
        self.heads().take(framing).map_err(Problem::bad_request)?;
        one_coding(request)?;
        one_host(request)
    }

    /// Finishes a request: an answer after which the connection can't or shall not go on says so.
    pub(super) fn end(&self, answer: &mut Answer, version: Version) {
        // Ordering: as in `begin`.
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        if version >= Version::HTTP_2 {
            return;
        }
        let in_step = self.heads().end(!self.has_unread());
        if !in_step || self.is_stopping() {
            close_after(answer);
        }
    }

    /// The number of requests that came, if all of them are answered.
    pub(super) fn at_rest(&self) -> Option<u64> {
        // Ordering: Relaxed. Read by the task that runs the connection, between its requests.
        let began = self.0.began.load(Ordering::Relaxed);
        (self.0.ended.load(Ordering::Relaxed) == began).then_some(began)
    }

    /// Whether the server was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        // An error means that the listener has gone, which is a stop as well.
        self.0.stopping.has_changed().unwrap_or(true)
    }

    /// Ready when the server was told to stop so long ago.
    pub(super) async fn stopped_for(&self, grace: Duration) {
        let _ = self.0.stopping.clone().changed().await;
        sleep(grace).await;
    }

    // What panics under this lock leaves a connection that is closed; poison adds nothing.
    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.0.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the connection closed after this answer.
pub(super) fn close_after(answer: &mut Answer) {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// The one transfer coding that is taken; hyper takes any list that ends with it.
fn one_coding(request: &Request<Incoming>) -> Result<(), Problem> {
    match request.headers().get(header::TRANSFER_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Err(Problem::of_head("Transfer-Encoding must be chunked and nothing else"))
        }
        _ => Ok(()),
    }
}

/// RFC 9112, section 3.2: exactly one `Host` in HTTP/1.1, and one that makes sense.
fn one_host(request: &Request<Incoming>) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.as_bytes().iter().all(|b| is_of_a_host(*b)) => Ok(()),
        (Some(_), None) => Err(Problem::of_head("Host must be a name or address, and a port")),
        (None, _) if request.version() < Version::HTTP_11 => Ok(()),
        _ => Err(Problem::of_head("a request must have exactly one Host")),
    }
}

fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}
