//! Find and value: the store first, then a quote.
//!
//! A stored valuation never changes, so a hit is the answer whatever else is asked. A miss becomes a
//! *flight* (as in singleflight): it asks for one quote, stores it with its log rows, and then answers
//! every caller that waits for that vehicle. It finishes even if all of them have gone, since a
//! provider call costs money and is never thrown away.

mod cache;
mod flight;
mod records;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::util::BoxCloneSyncService;

use crate::domain::{Mileage, Quote, QuoteError, QuoteRequest, Trace, Valuation, Vrm};
use crate::log_throttle::LogThrottle;
use cache::Cache;
pub(crate) use flight::request_span;
use flight::{Flight, Leader, Outcome};

pub use records::{Commit, Find, Permit, Records, RecordsError, Reserve};

/// Where quotes come from. Each request goes to a clone of its own.
pub type Quotes = BoxCloneSyncService<QuoteRequest, Quote, QuoteError>;

/// Finds stored valuations and has fresh ones made. A clone shares everything and costs a reference
/// count.
#[derive(Clone, Debug)]
pub struct Valuer(Arc<Inner>);

/// What all clones and all flights share.
#[derive(Debug)]
struct Inner {
    records: Arc<dyn Records>,
    quotes: Quotes,
    /// Made when it is first wanted.
    cache: OnceLock<Cache>,
    /// Whether the cache is used.
    caches: AtomicBool,
    max_flights: AtomicUsize,
    /// Set by the first rejected vehicle, until fewer than half of `max_flights` are running.
    over_capacity: AtomicBool,
    rejected: AtomicU64,
    flights: Mutex<Flights>,
    /// Counts the flights whose last entry has not reached the records.
    running: TaskTracker,
    /// For log lines about records that can't be read or written.
    throttle: LogThrottle,
}

/// The running flights by vehicle, each with the channel of its followers if it has any.
type Flights = HashMap<Vrm, Option<Followers>>;
type Followers = watch::Sender<Option<Outcome>>;

/// What a caller joins a flight as.
enum Joined {
    /// The first caller's task runs the flight.
    Leader(Flight),
    /// A later caller waits for the outcome.
    Follower(watch::Receiver<Option<Outcome>>),
    /// Too many flights are running.
    Full,
}

/// Why there is no valuation. The causes are in the log already.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ValueError {
    /// No provider gave a usable answer.
    #[error("no provider gave a usable answer")]
    Unavailable,
    /// The provider that answered does not know the vehicle.
    #[error("the vehicle is not known")]
    NotFound,
    /// The provider that answered refuses the request.
    #[error("the provider refused the request")]
    Refused,
    /// Too many flights are running.
    #[error("too many valuations are under way")]
    Overloaded,
    /// The records can't be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The flight was dropped before its end: the server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// Our own code panicked.
    #[error("the work panicked")]
    Panicked,
}

/// How much a valuer takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The maximum number of vehicles that are being valued. One more is rejected at once, before it
    /// costs anything.
    pub flights: usize,
    /// About how many bytes the cache of valuations may take; `None` for no cache.
    pub cache: Option<u64>,
}

impl Default for Bounds {
    /// 1,024 flights, and a cache of 16 MiB.
    fn default() -> Self {
        Self { flights: 1024, cache: Some(16 << 20) }
    }
}

impl Valuer {
    /// A valuer on these records and quotes, within the default [`Bounds`] and without a cache.
    #[must_use]
    pub fn new(records: Arc<dyn Records>, quotes: Quotes) -> Self {
        Self::within(Bounds { cache: None, ..Bounds::default() }, records, quotes)
    }

    /// A valuer within these bounds.
    #[must_use]
    pub fn within(bounds: Bounds, records: Arc<dyn Records>, quotes: Quotes) -> Self {
        let valuer = Self(Arc::new(Inner {
            records,
            quotes,
            cache: OnceLock::new(),
            caches: AtomicBool::new(false),
            max_flights: AtomicUsize::new(0),
            over_capacity: AtomicBool::new(false),
            rejected: AtomicU64::new(0),
            flights: Mutex::default(),
            running: TaskTracker::new(),
            throttle: LogThrottle::new(),
        }));
        valuer.set_bounds(bounds);
        valuer
    }

    /// The maximum number of vehicles that are being valued.
    #[must_use]
    pub fn max_flights(&self) -> usize {
        self.0.max_flights()
    }

    /// Changes the bounds, for vehicles from now on: running flights go on. A smaller cache evicts at once; one
    /// that is switched off is emptied.
    pub fn set_bounds(&self, Bounds { flights, cache }: Bounds) {
        // Ordering: Relaxed, here and below. The bounds publish no other data.
        self.0.max_flights.store(flights, Ordering::Relaxed);
        if let Some(bytes) = cache {
            self.0.cache.get_or_init(|| Cache::new(bytes)).set_bytes(bytes);
        }
        self.0.caches.store(cache.is_some(), Ordering::Relaxed);
        if cache.is_none()
            && let Some(cache) = self.0.cache.get()
        {
            cache.clear();
        }
    }

    /// Finds the stored valuation of a vehicle.
    ///
    /// # Errors
    /// [`ValueError::Records`] if the records can't be read.
    pub async fn find(&self, vrm: &Vrm) -> Result<Option<Valuation>, ValueError> {
        let version = self.0.records.version();
        if let Some(known) = self.0.cache().and_then(|cache| cache.get(vrm, version)) {
            return Ok(Some(known));
        }
        let found = self.0.records.find(vrm).await.map_err(|error| {
            match self.0.throttle.admit() {
                Some(withheld) => {
                    tracing::error!(%vrm, %error, withheld, "a valuation could not be read");
                }
                None => tracing::debug!(%vrm, %error, "a valuation could not be read"),
            }
            ValueError::from(error)
        })?;
        self.0.remember(found.as_ref(), version);
        Ok(found)
    }

    /// Answers the stored valuation of a vehicle, or has one made and stored.
    ///
    /// Concurrent callers for one vehicle share one flight, with the first caller's mileage and trace.
    /// The answer comes after the valuation and the log of its calls are committed; so does an error
    /// that rests on such calls.
    ///
    /// # Errors
    /// [`ValueError`] says what a client may see. Before a provider is asked, the records must be
    /// readable and able to store.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer alone: its flight finishes, and is stored and logged.
    /// Until then the leader's future must be polled like any other: it runs the flight for all
    /// followers.
    ///
    /// # Panics
    /// Outside a tokio runtime, if a flight has to be started.
    pub async fn value(
        &self,
        vrm: Vrm,
        mileage: Mileage,
        trace: Trace,
    ) -> Result<Valuation, ValueError> {
        // A miss of the cache mostly means an unknown vehicle, so that the flight's own read of the
        // records is enough.
        let known = match self.0.cache() {
            Some(cache) => cache.get(&vrm, self.0.records.version()),
            None => self.find(&vrm).await?,
        };
        if let Some(known) = known {
            return Ok(known);
        }
        match self.0.join(&vrm, trace) {
            Joined::Leader(flight) => Leader::new(flight, mileage).await,
            Joined::Follower(mut outcome) => {
                match outcome.wait_for(Option::is_some).await.as_deref() {
                    Ok(Some(outcome)) => outcome.clone(),
                    // Unreachable: a flight's destructor always publishes an outcome.
                    Ok(None) | Err(_) => Err(ValueError::Stopping),
                }
            }
            // A stored valuation needs no flight.
            Joined::Full => self.find(&vrm).await?.ok_or_else(|| self.0.reject()),
        }
    }

    /// How many requests were rejected since the start, because of [`Bounds::flights`].
    #[must_use]
    pub fn rejected(&self) -> u64 {
        // Ordering: Relaxed. The count publishes no other data.
        self.0.rejected.load(Ordering::Relaxed)
    }

    /// The number of running flights, with or without a waiting caller.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.running.len()
    }

    /// Waits until no flight is running. At a stop, call it when no more requests come, with a
    /// deadline, and before the records are closed.
    pub async fn idle(&self) {
        // A closed tracker lets the wait end, and still tracks later flights.
        self.0.running.close();
        self.0.running.wait().await;
    }
}

impl Inner {
    /// Joins the flight for this vehicle, or starts one.
    fn join(self: &Arc<Self>, vrm: &Vrm, trace: Trace) -> Joined {
        let mut flights = self.flights();
        if let Some(followers) = flights.get_mut(vrm) {
            return Joined::Follower(followers.get_or_insert_default().subscribe());
        }
        if flights.len() >= self.max_flights() {
            return Joined::Full;
        }
        flights.insert(vrm.clone(), None);
        drop(flights);
        Joined::Leader(Flight::new(Arc::clone(self), vrm.clone(), trace))
    }

    /// Removes the flight for this vehicle, and gives the channel of its followers.
    fn leave(&self, vrm: &Vrm) -> Option<Followers> {
        let mut flights = self.flights();
        let followers = flights.remove(vrm).flatten();
        let has_room = flights.len() < self.max_flights() / 2;
        drop(flights);
        // Ordering: Relaxed. A late read only makes a log line late.
        if has_room
            && self.over_capacity.load(Ordering::Relaxed)
            && self.over_capacity.swap(false, Ordering::Relaxed)
        {
            let so_far = self.rejected.load(Ordering::Relaxed);
            tracing::info!(so_far, "there is room again for new valuations");
        }
        followers
    }

    /// Counts a rejected request. One log line covers all until there is room again.
    fn reject(&self) -> ValueError {
        // Ordering: as in `leave`.
        self.rejected.fetch_add(1, Ordering::Relaxed);
        if !self.over_capacity.swap(true, Ordering::Relaxed) {
            let most = self.max_flights();
            tracing::warn!(most, "too many valuations are under way: new ones are rejected");
        }
        ValueError::Overloaded
    }

    /// Caches a valuation that is in the records, with the version that they had before it was read
    /// or committed. Nothing else may be cached.
    fn remember(&self, committed: Option<&Valuation>, version: u64) {
        if let (Some(cache), Some(valuation)) = (self.cache(), committed) {
            cache.keep(valuation, version);
        }
    }

    fn cache(&self) -> Option<&Cache> {
        self.cache.get().filter(|_| self.caches.load(Ordering::Relaxed))
    }

    fn max_flights(&self) -> usize {
        self.max_flights.load(Ordering::Relaxed)
    }

    // No code under this lock panics half-way, so poisoning is ignored.
    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
