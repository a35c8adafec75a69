//! One question to the providers, from the last look into the records to the commit.
//!
//! The order is what keeps a vehicle from being paid for twice. A caller looks into the records
//! first and at the flights second; a flight commits first and leaves the map second. So whoever
//! finds neither a record nor a flight either is early, and starts the only flight, or came
//! between the two looks, and the flight that it starts finds the record with its own first look.
//!
//! A flight is flown by its first caller's task ([`Piloted`]), which is spared a task and a way from
//! one to the other; it needs one of its own only where that caller goes before it has landed.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::ServiceExt;
use tracing::{Instrument, Span};

use super::{Inner, Place, RecordsError, ValueError};
use crate::domain::{CallTrail, Entry, Mileage, QuoteError, QuoteRequest, Trace, Valuation, Vrm};
use crate::panics;

/// The span of a request: each log line inside it shows both ids. Of the highest level, so that no
/// filter on levels hides them.
///
/// It costs 1.1 µs of CPU, a seventh of a GET from memory. So it is opened where a log line may come:
/// here, for the access log and for a panic.
pub(crate) fn request_span(trace: &Trace) -> Span {
    tracing::error_span!("request", request_id = trace.request_id(), trace_id = %trace.id())
}

/// What a flight gives to everybody who waits for it.
pub(super) type Outcome = Result<Valuation, ValueError>;

/// A running flight. Its destructor is the only way to land, so that no end of it, a panic
/// and the runtime's shutdown included, leaves waiters or the map behind.
pub(super) struct Flight {
    inner: Arc<Inner>,
    vrm: Vrm,
    trace: Trace,
    trail: CallTrail,
    /// Kept in the records from before the first attempt until the commit.
    place: Option<Box<dyn Place>>,
    outcome: Option<Outcome>,
    /// Dropped after the destructor has run, so that `idle` means that the records have everything.
    _running: TaskTrackerToken,
}

/// A flight in the hands of its first caller. Dropped before it has landed, it flies on in a task of
/// its own.
pub(super) struct Piloted {
    /// `None` once it has landed.
    flight: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    runtime: Handle,
}

impl Piloted {
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn new(flight: Flight, mileage: Mileage) -> Self {
        let span = request_span(&flight.trace);
        Self {
            flight: Some(Box::pin(flight.run_caught(mileage).instrument(span))),
            runtime: Handle::current(),
        }
    }
}

impl Future for Piloted {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let flight = self.flight.as_mut().expect("not polled after it has landed");
        let outcome = ready!(flight.as_mut().poll(cx));
        self.flight = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Piloted {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            // Where the runtime is ending, this drops the flight at once, and so lands it.
            self.runtime.spawn(flight);
        }
    }
}

impl Flight {
    /// A flight that its caller has entered into the map already.
    pub(super) fn new(inner: Arc<Inner>, vrm: Vrm, trace: Trace) -> Self {
        let _running = inner.running.token();
        let trail = CallTrail::default();
        Self { inner, vrm, trace, trail, place: None, outcome: None, _running }
    }

    /// Flies, and lands, whatever panics.
    async fn run_caught(self, mileage: Mileage) -> Outcome {
        let vrm = self.vrm.clone();
        let caught = AssertUnwindSafe(self.run(mileage)).catch_unwind().await;
        caught.unwrap_or_else(|payload| {
            tracing::error!(
                %vrm, panicked = panics::text(&*payload), "a valuation panicked: a fault of this program; the client gets a 500"
            );
            Err(ValueError::Panicked)
        })
    }

    async fn run(mut self, mileage: Mileage) -> Outcome {
        let outcome = self.fly(mileage).await;
        self.outcome = Some(outcome.clone());
        outcome
    }

    async fn fly(&mut self, mileage: Mileage) -> Outcome {
        let inner = Arc::clone(&self.inner);
        let version = inner.records.version();
        let stored = inner.records.find(&self.vrm).map_err(|error| self.records_failed(error))?;
        if let Some(found) = stored {
            inner.remember(Some(&found), version);
            return Ok(found);
        }
        let place = inner.records.reserve().await.map_err(|error| self.records_failed(error))?;
        self.place = Some(place);
        let quoted = self.quote(mileage).await;
        let entry = Entry { valuation: quoted.as_ref().ok().cloned(), calls: self.trail.take() };
        let Some(place) = self.place.take().filter(|_| entry != Entry::default()) else {
            return quoted;
        };
        let version = inner.records.version();
        let stands = place.commit(entry).await.map_err(|error| self.records_failed(error))?;
        inner.remember(stands.as_ref(), version);
        quoted.map(|made| stands.unwrap_or(made))
    }

    async fn quote(&self, mileage: Mileage) -> Outcome {
        let (vrm, trace) = (&self.vrm, &self.trace);
        let request = QuoteRequest {
            vrm: vrm.clone(),
            mileage,
            trail: self.trail.clone(),
            trace: trace.clone(),
        };
        let quoting = self.inner.quotes.clone().oneshot(request);
        match AssertUnwindSafe(quoting).catch_unwind().await {
            Ok(Ok(quote)) => Ok(Valuation::from_quote(vrm.clone(), &quote)),
            Ok(Err(error)) => {
                // An unknown mark is an everyday matter, and a refusal has its own line.
                if error.is_provider_failure() {
                    tracing::warn!(%vrm, %error,
                        "no valuation: no provider gave a usable answer; the client gets 503");
                } else {
                    tracing::debug!(%vrm, %error, "no valuation");
                }
                Err(match error {
                    QuoteError::Unavailable { .. } => ValueError::Unavailable,
                    QuoteError::NotFound | QuoteError::NotAsked => ValueError::NotFound,
                    QuoteError::Refused(_) => ValueError::Refused,
                })
            }
            Err(payload) => {
                tracing::error!(
                    %vrm, panicked = panics::text(&*payload), "asking for a quote panicked: a fault of this program; the client gets a 500"
                );
                Err(ValueError::Panicked)
            }
        }
    }

    fn records_failed(&self, error: RecordsError) -> ValueError {
        let vrm = &self.vrm;
        match self.inner.throttle.admit() {
            Some(withheld) => tracing::error!(
                %vrm, %error, withheld,
                "no valuation, because of the database; the client is told to try again later"
            ),
            None => tracing::debug!(%vrm, %error, "no valuation"),
        }
        error.into()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Err(if thread::panicking() { ValueError::Panicked } else { ValueError::Stopping })
        });
        // Out of the map before anybody hears of it: who saw this flight fail and asks again gets
        // a new one.
        if let Some(landed) = self.inner.land(&self.vrm) {
            landed.send_replace(Some(outcome));
        }
        // Attempts that no commit has taken: the flight was dropped under way, or an attempt ended
        // after the answer.
        let calls = self.trail.take();
        if !calls.is_empty() {
            let entry = Entry { valuation: None, calls };
            match self.place.take() {
                Some(place) => place.submit(entry),
                None => self.inner.records.submit(entry),
            }
        }
    }
}
