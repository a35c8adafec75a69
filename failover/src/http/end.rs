//! A body that tells how it ended, once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::classify::EosPolicy;
use crate::clock::Clock;
use crate::engine::ticket::Ticket;
use crate::engine::ticket::guard;
use crate::monitor::EngineRef;
use crate::outcome::Outcome;

/// Takes note of how an exchange ended. Asked at most once.
pub(super) trait OnEos {
    /// It ended, and says this.
    fn on_eos(&mut self, outcome: Outcome);

    /// It was dropped by a reader that waited for more.
    fn abandon(&mut self);
}

/// A call to the primary, still to be recorded. Dropped before that, it is a dropped call.
#[derive(Debug)]
pub(super) struct UnrecordedCall<Clk: Clock> {
    ticket: Option<Ticket>,
    engine: EngineRef<Clk>,
}

impl<Clk: Clock> UnrecordedCall<Clk> {
    pub(super) fn new(ticket: Option<Ticket>, engine: EngineRef<Clk>) -> Self {
        Self { ticket, engine }
    }

    /// Runs the primary's code; if it panics, that is a failure.
    #[inline]
    pub(super) fn guard<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.engine.guard(&mut self.ticket, run)
    }

    /// Hands the call over.
    #[inline]
    pub(super) fn take(&mut self) -> Self {
        Self { ticket: self.ticket.take(), engine: self.engine.clone() }
    }
}

impl<Clk: Clock> OnEos for UnrecordedCall<Clk> {
    #[inline]
    fn on_eos(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.engine.record(ticket, outcome);
        }
    }

    fn abandon(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.engine.abandon(ticket);
        }
    }
}

impl<Clk: Clock> Drop for UnrecordedCall<Clk> {
    #[inline]
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.abandon();
        }
    }
}

/// How far the reader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// It has what came so far, and does not wait.
    Between,
    /// It waits for more.
    Waiting,
    /// All is said.
    Over,
}

/// Whom to tell, and what of: said by the drop if nothing was said before.
#[derive(Debug)]
struct EosGuard<C: OnEos> {
    conclude: C,
    eos: EosPolicy,
    reading: Reading,
    /// Whether the body's own code has panicked. Atomic, as that may be asked of a shared body.
    panicked: AtomicBool,
}

impl<C: OnEos> EosGuard<C> {
    fn new(conclude: C, eos: EosPolicy, reading: Reading) -> Self {
        Self { conclude, eos, reading, panicked: AtomicBool::new(false) }
    }

    /// Runs the body's own code.
    #[inline]
    fn guard<T>(&self, run: impl FnOnce() -> T) -> T {
        // Ordering: Relaxed: the drop that reads it is no other thread's at the same time.
        guard(run, || self.panicked.store(true, Ordering::Relaxed))
    }

    fn over(&mut self, outcome: Outcome) {
        if self.reading != Reading::Over {
            self.reading = Reading::Over;
            self.conclude.on_eos(outcome);
        }
    }
}

impl<C: OnEos> Drop for EosGuard<C> {
    fn drop(&mut self) {
        if *self.panicked.get_mut() {
            return self.over(Outcome::Failure);
        }
        match (self.reading, self.eos.abandoned) {
            (Reading::Over, _) => {}
            (Reading::Between, _) => self.over(self.eos.left()),
            (Reading::Waiting, Some(outcome)) => self.over(outcome),
            (Reading::Waiting, None) => self.conclude.abandon(),
        }
    }
}

pin_project! {
    /// A body that tells how it ended, once: at its end, at an error, or when it is dropped.
    #[derive(Debug)]
    pub(super) struct ObservedBody<B, C: OnEos> {
        #[pin]
        body: B,
        end: EosGuard<C>,
    }
}

impl<B: Body, C: OnEos> ObservedBody<B, C> {
    /// Tells at once if there is nothing to read.
    pub(super) fn new(body: B, conclude: C, eos: EosPolicy) -> Self {
        let mut end = EosGuard::new(conclude, eos, Reading::Between);
        if end.guard(|| body.is_end_stream()) {
            end.over(eos.whole(None));
        }
        Self { body, end }
    }

    /// Of an exchange about which all is said.
    pub(super) fn over(body: B, conclude: C, eos: EosPolicy) -> Self {
        Self { body, end: EosGuard::new(conclude, eos, Reading::Over) }
    }
}

impl<B: Body, C: OnEos> Body for ObservedBody<B, C> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        if this.end.reading == Reading::Over {
            return this.body.poll_frame(context);
        }
        let polled = this.end.guard(|| this.body.as_mut().poll_frame(context));
        this.end.reading = match polled {
            Poll::Pending => Reading::Waiting,
            Poll::Ready(_) => Reading::Between,
        };
        let frame = ready!(polled);
        match &frame {
            None => this.end.over(this.end.eos.whole(None)),
            Some(Err(_)) => this.end.over(Outcome::Failure),
            Some(Ok(frame)) => {
                let trailers = frame.trailers_ref();
                // A reader may know that this was the last frame, and not ask again.
                if trailers.is_some() || this.end.guard(|| this.body.is_end_stream()) {
                    this.end.over(this.end.eos.whole(trailers));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.end.guard(|| self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.end.guard(|| self.body.size_hint())
    }
}
