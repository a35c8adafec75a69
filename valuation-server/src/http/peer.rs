//! What a connection's socket and the requests on it tell one another.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::sleep;

use super::head::{Framing, Heads};
use super::problem::Problem;
use super::traffic::Connected;
use super::{Answer, Limits, Traffic};

/// What is a large head, in bytes. Few are larger, and all but those of slow clients come at once.
const LARGE_HEAD: usize = 4 * 1024;

/// What there is a bounded number of over all connections of a listener.
#[derive(Debug)]
pub(super) struct Places {
    large_bodies: Semaphore,
    large_heads: Arc<Semaphore>,
    http2: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    /// Whether a stream was turned away since one was taken in last.
    full: AtomicBool,
    traffic: Arc<Traffic>,
}

impl Places {
    pub(super) fn new(limits: &Limits, traffic: &Arc<Traffic>) -> Self {
        let within = |places: usize| Semaphore::new(places.min(Semaphore::MAX_PERMITS));
        Self {
            large_bodies: within(limits.large_bodies),
            large_heads: Arc::new(within(limits.large_heads)),
            http2: Arc::new(within(limits.http2_connections)),
            streams: Arc::new(within(limits.streams)),
            full: AtomicBool::new(false),
            traffic: Arc::clone(traffic),
        }
    }
}

/// There are too many of these already.
#[derive(Debug, thiserror::Error)]
#[error("there are too many {0}")]
pub(super) struct Crowded(&'static str);

/// One client's connection, as its socket and its requests see it. A clone costs a reference count.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<State>);

#[derive(Debug)]
struct State {
    address: SocketAddr,
    /// Whether bytes have come that are part of no request that was read whole, so that more of
    /// the kind may follow. Every read sets it, and a request that is complete clears it.
    unread: AtomicBool,
    heads: Mutex<Heads>,
    /// Requests that came, and requests that were answered.
    began: AtomicU64,
    ended: AtomicU64,
    /// Whether the client does not take what is written.
    stalled: AtomicBool,
    /// Answers over HTTP/2 that were not taken yet, of this era and of the one before it, in turn.
    untaken: [AtomicU64; 2],
    era: AtomicUsize,
    _connected: Connected,
    /// Shared by all connections of a listener.
    places: Arc<Places>,
    /// Changes once, when the server is told to stop.
    stopping: watch::Receiver<()>,
}

impl Peer {
    pub(super) fn new(
        address: SocketAddr,
        stopping: watch::Receiver<()>,
        places: Arc<Places>,
    ) -> Self {
        Self(Arc::new(State {
            address,
            unread: AtomicBool::new(false),
            heads: Mutex::default(),
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            untaken: Default::default(),
            era: AtomicUsize::new(0),
            _connected: places.traffic.connected(),
            places,
            stopping,
        }))
    }

    /// The client's address, or that of a proxy before it. One of IPv4 is shown as such, also where it
    /// came to a listener for both.
    pub(super) fn address(&self) -> SocketAddr {
        let address = self.0.address;
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// A place for a large body, until it is dropped; `None` if all are taken.
    pub(super) fn large_body(&self) -> Option<SemaphorePermit<'_>> {
        self.0.places.large_bodies.try_acquire().ok()
    }

    /// A place for a request over HTTP/2.
    pub(super) fn place_for_a_stream(&self) -> Option<OwnedSemaphorePermit> {
        let places = &self.0.places;
        let place = Arc::clone(&places.streams).try_acquire_owned().ok();
        // Ordering: Relaxed. Once a time of being full is logged, or twice.
        let was_full = places.full.swap(place.is_none(), Ordering::Relaxed);
        if place.is_none() && !was_full {
            tracing::warn!("too many requests over HTTP/2: new ones are told 503");
        }
        place
    }

    /// Notes that the connection is closed since there are too many of its kind.
    pub(super) fn turned_away(&self) {
        self.0.places.traffic.refused_connections.inc();
    }

    /// Notes that a request was refused which no handler has seen.
    pub(super) fn refused(&self) {
        self.0.places.traffic.refused_requests.inc();
    }

    /// Notes that an answer over HTTP/2 waits to be taken, and gives the era.
    pub(super) fn answered(&self) -> usize {
        // Ordering: Relaxed, here and in the next two. An answer that is counted in an era that just
        // ended has one the less.
        let era = self.0.era.load(Ordering::Relaxed) % 2;
        self.0.untaken[era].fetch_add(1, Ordering::Relaxed);
        era
    }

    /// Notes that an answer of that era was taken.
    pub(super) fn taken(&self, era: usize) {
        self.0.untaken[era].fetch_sub(1, Ordering::Relaxed);
    }

    /// Begins another era, and gives whether answers of the one before the last were not taken yet:
    /// the client has had a whole era for them.
    pub(super) fn turn_era(&self) -> bool {
        let next = (self.0.era.load(Ordering::Relaxed) + 1) % 2;
        if self.0.untaken[next].load(Ordering::Relaxed) > 0 {
            return true;
        }
        self.0.era.store(next, Ordering::Relaxed);
        false
    }

    /// Says whether the client does not take what is written.
    pub(super) fn set_stalled(&self, stalled: bool) {
        // Ordering: as in `set_unread`.
        self.0.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Whether a head was sent that announces more than can be counted.
    pub(super) fn announced_too_much(&self) -> bool {
        self.heads().announce_too_much()
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
    ///
    /// # Errors
    /// If too many large heads are on their way.
    pub(super) fn came(&self, bytes: &[u8]) -> Result<(), Crowded> {
        self.set_unread(true);
        let mut heads = self.heads();
        if heads.note(bytes) > LARGE_HEAD && !heads.has_place() {
            let place = Arc::clone(&self.0.places.large_heads).try_acquire_owned();
            heads.take_place(place.map_err(|_| Crowded("large heads"))?);
        }
        Ok(())
    }

    /// Notes that it is no HTTP/1 that comes. The place is for the whole connection.
    ///
    /// # Errors
    /// If too many others speak HTTP/2.
    pub(super) fn speaks_http2(&self) -> Result<OwnedSemaphorePermit, Crowded> {
        self.heads().give_up();
        let place = Arc::clone(&self.0.places.http2).try_acquire_owned();
        place.map_err(|_| Crowded("connections over HTTP/2"))
    }

    /// Counts a request that is taken up.
    pub(super) fn began(&self) {
        // Ordering: Relaxed, here and in `ended`. The counts stand for nothing but themselves.
        self.0.began.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was answered or given up.
    pub(super) fn ended(&self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Judges the head of a request over HTTP/1.
    ///
    /// # Errors
    /// 400 for a head that somebody else could read otherwise. The connection must end with it.
    pub(super) fn begin(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        // Of a message in chunks no exact length is known.
        let framing = request.body().size_hint().exact().map_or(Framing::Chunked, Framing::Length);
        self.heads().take(framing).map_err(Problem::bad_request)?;
        one_coding(request)?;
        one_host(request)
    }

    /// Finishes a request: an answer after which the connection can't or shall not go on says so.
    pub(super) fn end(&self, answer: &mut Answer, version: Version) {
        if version < Version::HTTP_2 && (!self.heads().are_in_step() || self.is_stopping()) {
            close_after(answer);
        }
    }

    /// The number of requests that came, if all of them are answered or given up, and nothing
    /// waits to be written.
    pub(super) fn at_rest(&self) -> Option<u64> {
        // Ordering: Relaxed. Read by the task that runs the connection, between its requests.
        let began = self.0.began.load(Ordering::Relaxed);
        let ended = self.0.ended.load(Ordering::Relaxed);
        (ended == began && !self.0.stalled.load(Ordering::Relaxed)).then_some(began)
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
