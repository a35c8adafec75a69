//! One request to the providers, from the last read of the records to the commit.
//!
//! The order keeps a vehicle from being paid for twice. A caller reads the records first and the
//! flights second; a flight commits first and leaves the map second. A caller that finds neither a
//! record nor a flight starts a flight. If an earlier flight has ended between the caller's two looks,
//! the fresh flight finds its record, because it reads the records again before it asks.
//!
//! The first caller's task runs the flight ([`Leader`]), which saves a task and a channel. The flight
//! gets a task of its own only if that caller goes before the end.

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

use super::{Inner, Permit, RecordsError, ValueError};
use crate::domain::{CallTrail, Entry, Mileage, QuoteError, QuoteRequest, Trace, Valuation, Vrm};
use crate::panics;

/// The span of a request: each log line inside it shows both ids. Its level is the highest, so that no
/// filter on levels hides them.
///
/// It costs 1.1 µs of CPU, a seventh of a GET from the cache. So it is opened only where a log line is
/// likely: here, for the access log and for a panic.
pub(crate) fn request_span(trace: &Trace) -> Span {
    tracing::error_span!("request", request_id = trace.request_id(), trace_id = %trace.id())
}

/// What a flight gives to its leader and its followers.
pub(super) type Outcome = Result<Valuation, ValueError>;

/// A running flight. Only its destructor removes it from the map and publishes its outcome, so that
/// no end of it leaves followers waiting, a panic and the runtime's shutdown included.
pub(super) struct Flight {
    inner: Arc<Inner>,
    vrm: Vrm,
    trace: Trace,
    trail: CallTrail,
    /// Held from before the first attempt until the commit.
    permit: Option<Box<dyn Permit>>,
    outcome: Option<Outcome>,
    /// Dropped after the destructor has run: when `idle` is ready, the records have everything.
    _running: TaskTrackerToken,
}

/// The first caller's future, which runs the flight. If it is dropped early, the flight goes on in a
/// task of its own.
pub(super) struct Leader {
    /// `None` once it has ended.
    flight: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    runtime: Handle,
}

impl Leader {
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

impl Future for Leader {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let flight = self.flight.as_mut().expect("not polled after its end");
        let outcome = ready!(flight.as_mut().poll(cx));
        self.flight = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            // If the runtime is shutting down, this drops the flight at once, which publishes it.
            self.runtime.spawn(flight);
        }
    }
}

impl Flight {
    /// A flight that is in the map already.
    pub(super) fn new(inner: Arc<Inner>, vrm: Vrm, trace: Trace) -> Self {
        let _running = inner.running.token();
        let trail = CallTrail::default();
        Self { inner, vrm, trace, trail, permit: None, outcome: None, _running }
    }

    /// Runs to the end, and publishes the outcome whatever panics.
    async fn run_caught(self, mileage: Mileage) -> Outcome {
        let vrm = self.vrm.clone();
        let run = async move {
            // A local, so that a panic drops it while the thread unwinds.
            let mut flight = self;
            let outcome = flight.run(mileage).await;
            flight.outcome = Some(outcome.clone());
            outcome
        };
        caught(run, &vrm, "a valuation panicked").await.unwrap_or(Err(ValueError::Panicked))
    }

    async fn run(&mut self, mileage: Mileage) -> Outcome {
        let inner = Arc::clone(&self.inner);
        let version = inner.records.version();
        let stored = inner.records.find(&self.vrm).await;
        let stored = stored.map_err(|error| self.records_failed(error))?;
        if let Some(found) = stored {
            inner.remember(Some(&found), version);
            return Ok(found);
        }
        let permit = inner.records.reserve().await.map_err(|error| self.records_failed(error))?;
        self.permit = Some(permit);
        let quoted = self.quote(mileage).await;
        let entry = Entry { valuation: quoted.as_ref().ok().cloned(), calls: self.trail.take() };
        let Some(permit) = self.permit.take().filter(|_| entry != Entry::default()) else {
            return quoted;
        };
        let version = inner.records.version();
        let stored = permit.commit(entry).await.map_err(|error| self.records_failed(error))?;
        inner.remember(stored.as_ref(), version);
        quoted.map(|made| stored.unwrap_or(made))
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
        match caught(quoting, vrm, "asking for a quote panicked").await {
            Some(Ok(quote)) => Ok(Valuation::from_quote(vrm.clone(), &quote)),
            Some(Err(error)) => {
                // Unknown vehicles are frequent, and a refusal has its own line.
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
            None => Err(ValueError::Panicked),
        }
    }

    fn records_failed(&self, error: RecordsError) -> ValueError {
        let vrm = &self.vrm;
        match self.inner.throttle.admit() {
            Some(withheld) => tracing::error!(
                %vrm, %error, withheld,
                "no valuation, because of the database; the client gets an error"
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
        // Removed before it is published: a caller that sees this flight fail and asks again gets
        // another one.
        if let Some(followers) = self.inner.leave(&self.vrm) {
            followers.send_replace(Some(outcome));
        }
        // Attempts that were not committed: the flight was dropped, or an attempt ended after the
        // answer.
        let calls = self.trail.take();
        if !calls.is_empty() {
            let entry = Entry { valuation: None, calls };
            match self.permit.take() {
                Some(permit) => permit.submit(entry),
                None => self.inner.records.submit(entry),
            }
        }
    }
}

/// The output of `work`; `None` if it panicked, which is logged.
async fn caught<T>(work: impl Future<Output = T>, vrm: &Vrm, what: &str) -> Option<T> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught
        .inspect_err(|payload| {
            tracing::error!(
                %vrm, panicked = panics::text(&**payload),
                "{what}: a fault of this program; the client gets a 500"
            );
        })
        .ok()
}
