//! Find and value: the store first, then a quote.
//!
//! A stored valuation never changes, so a hit is the answer whatever else is asked. A miss that is
//! to be valued becomes a *flight*, which asks for one quote, stores it with its log rows, and only
//! then gives the answer to everybody who waits for that vehicle. It ends well without them: a
//! provider's call costs money and is never thrown away.

mod cache;
mod flight;
mod records;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::util::BoxCloneSyncService;

use crate::domain::{Mileage, Quote, QuoteError, QuoteRequest, Trace, Valuation, Vrm};
use crate::log_throttle::LogThrottle;
use cache::Cache;
pub(crate) use flight::request_span;
use flight::{Flight, Outcome, Piloted};

pub use records::{Commit, Place, Records, RecordsError, Reserve};

/// Where quotes come from. Each question is asked of a clone of its own.
pub type Quotes = BoxCloneSyncService<QuoteRequest, Quote, QuoteError>;

/// Finds stored valuations and has new ones made. A clone shares everything and costs a reference
/// count.
#[derive(Clone)]
pub struct Valuer(Arc<Inner>);

/// What all clones and all flights share.
struct Inner {
    records: Arc<dyn Records>,
    quotes: Quotes,
    cache: Option<Cache>,
    most_flights: usize,
    /// Set from the first vehicle that was turned away until there is plenty of room.
    crowded: AtomicBool,
    turned_away: AtomicU64,
    flights: Mutex<Flights>,
    /// Counts the flights whose last entry has not reached the records.
    running: TaskTracker,
    /// For what the log says of records that can't be read or written.
    throttle: LogThrottle,
}

/// One entry for each vehicle whose flight has not landed, with what tells those who wait beside its
/// first caller: one thing for all of them, whatever their number.
type Flights = HashMap<Vrm, Option<Landed>>;
type Landed = watch::Sender<Option<Outcome>>;

/// A caller's place on a flight.
enum Boarding {
    /// The first caller flies it.
    First(Flight),
    /// Another one is told of its landing.
    Another(watch::Receiver<Option<Outcome>>),
    /// As many are under way as may be.
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
    /// As many questions are under way as may be.
    #[error("too many questions are under way")]
    Overloaded,
    /// The records can't be read or written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The work was ended before it was done: the server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// Our own code panicked.
    #[error("the work panicked")]
    Panicked,
}

/// How much a valuer takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many vehicles are asked about at once. A question about one more is turned away at
    /// once, before it costs anything.
    pub flights: usize,
    /// How many bytes of valuations are kept in memory, about; `None` for none.
    pub cache: Option<u64>,
}

impl Default for Bounds {
    /// 1,024 questions at once, and 16 MiB of valuations in memory.
    fn default() -> Self {
        Self { flights: 1024, cache: Some(16 << 20) }
    }
}

impl Valuer {
    /// A valuer on these records, which has new valuations made from these quotes, within the
    /// default [`Bounds`] and without a memory of its own.
    #[must_use]
    pub fn new(records: Arc<dyn Records>, quotes: Quotes) -> Self {
        Self::within(Bounds { cache: None, ..Bounds::default() }, records, quotes)
    }

    /// A valuer within these bounds.
    #[must_use]
    pub fn within(bounds: Bounds, records: Arc<dyn Records>, quotes: Quotes) -> Self {
        Self(Arc::new(Inner {
            records,
            quotes,
            cache: bounds.cache.map(Cache::new),
            most_flights: bounds.flights,
            crowded: AtomicBool::new(false),
            turned_away: AtomicU64::new(0),
            flights: Mutex::default(),
            running: TaskTracker::new(),
            throttle: LogThrottle::new(),
        }))
    }

    /// Finds the stored valuation of a vehicle, on the spot.
    ///
    /// # Errors
    /// [`ValueError::Records`] if the records can't be read.
    pub fn find(&self, vrm: &Vrm) -> Result<Option<Valuation>, ValueError> {
        let version = self.0.records.version();
        if let Some(known) = self.0.cache.as_ref().and_then(|cache| cache.get(vrm, version)) {
            return Ok(Some(known));
        }
        let found = self.0.records.find(vrm).map_err(|error| {
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
    /// Callers that ask about one vehicle at the same time share one question to the providers,
    /// with the first caller's mileage and under the first caller's trace. The answer comes after the valuation and the log of the
    /// calls behind it are committed; so does an error that rests on such calls.
    ///
    /// # Errors
    /// [`ValueError`] says what a client may be told. Before a provider is asked the records must
    /// be readable and say that they can store.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer alone: a question that was asked is seen through,
    /// stored and logged. Until it is dropped it must be polled like any other: the first caller's
    /// future is what carries the question on, for all who wait for that vehicle.
    ///
    /// # Panics
    /// Outside a tokio runtime, when a flight has to be started.
    pub async fn value(
        &self,
        vrm: Vrm,
        mileage: Mileage,
        trace: Trace,
    ) -> Result<Valuation, ValueError> {
        // With a memory in front a miss means a new vehicle, most often, and then one look into the
        // records is enough: the flight's own.
        let known = match &self.0.cache {
            Some(cache) => cache.get(&vrm, self.0.records.version()),
            None => self.find(&vrm)?,
        };
        if let Some(known) = known {
            return Ok(known);
        }
        match self.0.board(&vrm, trace) {
            Boarding::First(flight) => Piloted::new(flight, mileage).await,
            Boarding::Another(mut landing) => {
                match landing.wait_for(Option::is_some).await.as_deref() {
                    Ok(Some(outcome)) => outcome.clone(),
                    // A flight's destructor always lands it, so that this is never reached.
                    Ok(None) | Err(_) => Err(ValueError::Stopping),
                }
            }
            // No room for a question; but none is needed if it is stored.
            Boarding::Full => self.find(&vrm)?.ok_or_else(|| self.0.turn_away()),
        }
    }

    /// How many questions were turned away since the start, because of [`Bounds::flights`].
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        // Ordering: Relaxed. The count stands for nothing but itself.
        self.0.turned_away.load(Ordering::Relaxed)
    }

    /// The number of flights that are still running, with or without somebody who waits.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.running.len()
    }

    /// Waits until no flight is running. For an orderly stop: call it when no new requests come,
    /// with a deadline around it, and before the records are closed.
    pub async fn idle(&self) {
        // It stays closed, which only means that waiting can end: later flights are tracked as well.
        self.0.running.close();
        self.0.running.wait().await;
    }
}

impl Inner {
    /// A place on the flight for this vehicle; the first one if none is under way.
    fn board(self: &Arc<Self>, vrm: &Vrm, trace: Trace) -> Boarding {
        let mut flights = self.flights();
        if let Some(landed) = flights.get_mut(vrm) {
            let landed = landed.get_or_insert_with(Landed::default);
            return Boarding::Another(landed.subscribe());
        }
        if flights.len() >= self.most_flights {
            return Boarding::Full;
        }
        flights.insert(vrm.clone(), None);
        drop(flights);
        Boarding::First(Flight::new(Arc::clone(self), vrm.clone(), trace))
    }

    /// Ends the flight of this vehicle for those who have not heard of it yet, and gives what tells
    /// those who wait.
    fn land(&self, vrm: &Vrm) -> Option<Landed> {
        let mut flights = self.flights();
        let landed = flights.remove(vrm).flatten();
        let roomy = flights.len() < self.most_flights / 2;
        drop(flights);
        // Ordering: Relaxed. Whoever reads it late logs late.
        if roomy
            && self.crowded.load(Ordering::Relaxed)
            && self.crowded.swap(false, Ordering::Relaxed)
        {
            let so_far = self.turned_away.load(Ordering::Relaxed);
            tracing::info!(so_far, "there is room again for new valuations");
        }
        landed
    }

    /// Logs once a time of being crowded, and not once a question.
    fn turn_away(&self) -> ValueError {
        // Ordering: as in `land`.
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        if !self.crowded.swap(true, Ordering::Relaxed) {
            let most = self.most_flights;
            tracing::warn!(most, "too many valuations are under way: new ones are turned away");
        }
        ValueError::Overloaded
    }

    /// Keeps a valuation that is stored in the records, with the version that they had before it
    /// was read or committed. Nothing else may be kept.
    fn remember(&self, committed: Option<&Valuation>, version: u64) {
        if let (Some(cache), Some(valuation)) = (&self.cache, committed) {
            cache.keep(valuation, version);
        }
    }

    // No code that can panic half-way runs under this lock, so poison says nothing here.
    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Valuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Valuer")
            .field("records", &self.0.records)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
