//! The state of a connection, shared by its socket and its requests, and the quotas of a listener.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header;
use hyper::{Request, StatusCode, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::sleep;

use super::chunked::Chunked;
use super::head::{Body, Heads};
use crate::http::limits::Limits;
use crate::http::problem::{Answer, Problem, announce_close};
use crate::http::traffic::{Connected, Traffic};

/// The size from which a head needs a permit, in bytes. Most heads are smaller.
const LARGE_HEAD: usize = 4 * 1024;

/// The permits that all connections of a listener share.
#[derive(Debug)]
pub(in crate::http) struct Quotas {
    large_bodies: Semaphore,
    large_heads: Arc<Semaphore>,
    http2: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Whether the last stream was rejected.
    full: AtomicBool,
    traffic: Arc<Traffic>,
}

impl Quotas {
    pub(in crate::http) fn new(limits: &Limits, traffic: &Arc<Traffic>) -> Self {
        let permits = |permits: usize| Semaphore::new(permits.min(Semaphore::MAX_PERMITS));
        Self {
            large_bodies: permits(limits.large_bodies),
            large_heads: Arc::new(permits(limits.large_heads)),
            http2: Arc::new(permits(limits.http2_connections)),
            streams: Arc::new(permits(limits.streams)),
            full: AtomicBool::new(false),
            traffic: Arc::clone(traffic),
        }
    }
}

/// A quota is exhausted.
#[derive(Debug, thiserror::Error)]
#[error("there are too many {0}")]
pub(super) struct OverCapacity(&'static str);

/// The state of one connection. A clone costs a reference count.
#[derive(Clone, Debug)]
pub(in crate::http) struct ConnectionState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    /// Whether bytes were read that belong to no complete request, so that more may follow. Every
    /// read sets it; a complete request clears it.
    unread: AtomicBool,
    heads: Mutex<Heads>,
    /// Requests that began, and requests that ended.
    began: AtomicU64,
    ended: AtomicU64,
    /// Whether the client does not read.
    stalled: AtomicBool,
    /// HTTP/2 answers that the client has not read: those of this period and of the one before, in
    /// turn.
    unread_answers: [AtomicU64; 2],
    period: AtomicUsize,
    _connected: Connected,
    quotas: Arc<Quotas>,
    /// Changes once, at the stop.
    stopping: watch::Receiver<()>,
}

impl ConnectionState {
    pub(in crate::http) fn new(
        address: SocketAddr,
        stopping: watch::Receiver<()>,
        quotas: Arc<Quotas>,
    ) -> Self {
        Self(Arc::new(Inner {
            address,
            unread: AtomicBool::new(false),
            heads: Mutex::default(),
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            unread_answers: Default::default(),
            period: AtomicUsize::new(0),
            _connected: quotas.traffic.connected(),
            quotas,
            stopping,
        }))
    }

    /// The address of the client, or of the proxy before it. An IPv4-mapped address is shown as IPv4.
    pub(in crate::http) fn address(&self) -> SocketAddr {
        let address = self.0.address;
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// A permit for a large body; `None` if all are taken.
    pub(in crate::http) fn large_body(&self) -> Option<SemaphorePermit<'_>> {
        self.0.quotas.large_bodies.try_acquire().ok()
    }

    /// Ready `grace` after the stop.
    pub(in crate::http) async fn stopped_for(&self, grace: Duration) {
        let _ = self.0.stopping.clone().changed().await;
        sleep(grace).await;
    }

    /// Whether all bytes so far belong to complete requests.
    pub(in crate::http) fn set_unread(&self, unread: bool) {
        // Ordering: Relaxed. A hint that publishes no other data; under HTTP/1 one task reads and
        // writes it.
        self.0.unread.store(unread, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        // Ordering: as in `set_unread`.
        self.0.unread.load(Ordering::Relaxed)
    }

    /// A permit for a request over HTTP/2.
    pub(super) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        let quotas = &self.0.quotas;
        let permit = Arc::clone(&quotas.streams).try_acquire_owned().ok();
        // Ordering: Relaxed. A race logs the line twice.
        let was_full = quotas.full.swap(permit.is_none(), Ordering::Relaxed);
        if permit.is_none() && !was_full {
            tracing::warn!("too many requests over HTTP/2: further ones are answered 503");
        }
        permit
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.0.quotas.traffic
    }

    /// Counts an HTTP/2 answer that waits to be read, and returns its period.
    pub(super) fn answered(&self) -> usize {
        // Ordering: Relaxed, here and in the next two. An answer counted in a period that just ended
        // gets less time.
        let period = self.0.period.load(Ordering::Relaxed) % 2;
        self.0.unread_answers[period].fetch_add(1, Ordering::Relaxed);
        period
    }

    /// Counts an answer of this period as read.
    pub(super) fn answer_read(&self, period: usize) {
        self.0.unread_answers[period].fetch_sub(1, Ordering::Relaxed);
    }

    /// Starts the next period. Returns `true` instead if answers of the previous one are unread: the
    /// client has had a whole period for them.
    pub(super) fn next_period(&self) -> bool {
        let next = (self.0.period.load(Ordering::Relaxed) + 1) % 2;
        if self.0.unread_answers[next].load(Ordering::Relaxed) > 0 {
            return true;
        }
        self.0.period.store(next, Ordering::Relaxed);
        false
    }

    pub(super) fn set_stalled(&self, stalled: bool) {
        // Ordering: as in `set_unread`.
        self.0.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Records bytes that were read from the socket.
    ///
    /// # Errors
    /// If too many large heads are incomplete.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<(), OverCapacity> {
        self.set_unread(true);
        let mut heads = self.heads();
        if heads.record(bytes) > LARGE_HEAD && heads.permit.is_none() {
            let permit = Arc::clone(&self.0.quotas.large_heads).try_acquire_owned();
            heads.permit = Some(permit.map_err(|_| OverCapacity("large heads"))?);
        }
        Ok(())
    }

    /// Stops the recording of HTTP/1 heads. The permit is for the whole connection.
    ///
    /// # Errors
    /// If too many connections speak HTTP/2.
    pub(super) fn speaks_http2(&self) -> Result<OwnedSemaphorePermit, OverCapacity> {
        self.heads().disable();
        let permit = Arc::clone(&self.0.quotas.http2).try_acquire_owned();
        permit.map_err(|_| OverCapacity("connections over HTTP/2"))
    }

    /// Counts a request as running until the guard is dropped.
    pub(super) fn begin(&self) -> Running {
        // Ordering: Relaxed, here and in the guard. The counts publish no other data.
        self.0.began.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    /// Checks the head of an HTTP/1 request.
    ///
    /// # Errors
    /// 400 for an ambiguous head. The connection must be closed after it.
    pub(super) fn check(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        // A chunked body has no exact length.
        let length = request.body().size_hint().exact();
        let body = length.map_or_else(|| Body::Chunks(Chunked::default()), Body::Bytes);
        self.heads().take(body).map_err(Problem::bad_request)?;
        check_coding(request)?;
        check_host(request)
    }

    /// The number of requests so far, if all of them ended and nothing waits to be written.
    pub(super) fn at_rest(&self) -> Option<u64> {
        // Ordering: Relaxed. Read between requests, by the task that runs the connection.
        let began = self.0.began.load(Ordering::Relaxed);
        let ended = self.0.ended.load(Ordering::Relaxed);
        (ended == began && !self.0.stalled.load(Ordering::Relaxed)).then_some(began)
    }

    fn is_stopping(&self) -> bool {
        // An error means that the listener was dropped, which is a stop as well.
        self.0.stopping.has_changed().unwrap_or(true)
    }

    // A panic under this lock closes the connection; poison adds nothing.
    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.0.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running request. Over HTTP/2 a client may reset it at any time.
#[derive(Debug)]
pub(super) struct Running(ConnectionState);

impl Running {
    /// Announces the close if this answer is the connection's last.
    pub(super) fn finish(self, answer: &mut Answer, version: Version) {
        let connection = &self.0;
        let is_last = || !connection.heads().are_in_step() || connection.is_stopping();
        if version < Version::HTTP_2 && is_last() {
            announce_close(answer);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

fn bad_head(message: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, message)
}

/// `chunked` alone; hyper accepts any list that ends with it.
fn check_coding(request: &Request<Incoming>) -> Result<(), Problem> {
    match request.headers().get(header::TRANSFER_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Err(bad_head("Transfer-Encoding must be chunked and nothing else"))
        }
        _ => Ok(()),
    }
}

/// Exactly one valid `Host` in HTTP/1.1 (RFC 9112, section 3.2).
fn check_host(request: &Request<Incoming>) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.as_bytes().iter().all(|b| is_of_a_host(*b)) => Ok(()),
        (Some(_), None) => Err(bad_head("Host must be a name or address, and a port")),
        (None, _) if request.version() < Version::HTTP_11 => Ok(()),
        _ => Err(bad_head("a request must have exactly one Host")),
    }
}

fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}
