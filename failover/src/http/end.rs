//! A body that tells how it ended, once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::classify::Ends;
use crate::clock::Clock;
use crate::monitor::Watch;
use crate::ticket::guard;
use crate::{Outcome, Ticket};

/// Takes note of how an exchange ended. Asked at most once.
pub(super) trait Conclude {
    /// It ended, and says this.
    fn conclude(&mut self, outcome: Outcome);

    /// It was dropped by a reader that waited for more.
    fn abandon(&mut self);
}

/// A call to the primary, still to be recorded. Dropped before that, it is a dropped call.
#[derive(Debug)]
pub(super) struct Pending<K: Clock> {
    ticket: Option<Ticket>,
    watch: Watch<K>,
}

impl<K: Clock> Pending<K> {
    pub(super) fn new(ticket: Option<Ticket>, watch: Watch<K>) -> Self {
        Self { ticket, watch }
    }

    /// Runs the primary's code; if it panics, that is a failure.
    #[inline]
    pub(super) fn guard<T>(&mut self, run: impl FnOnce() -> T) -> T {
        self.watch.guard(&mut self.ticket, run)
    }

    /// Hands the call over.
    #[inline]
    pub(super) fn take(&mut self) -> Self {
        Self { ticket: self.ticket.take(), watch: self.watch.clone() }
    }
}

impl<K: Clock> Conclude for Pending<K> {
    #[inline]
    fn conclude(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.watch.record(ticket, outcome);
        }
    }

    fn abandon(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.watch.abandon(ticket);
        }
    }
}

impl<K: Clock> Drop for Pending<K> {
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
struct End<C: Conclude> {
    conclude: C,
    ends: Ends,
    reading: Reading,
    /// Whether the body's own code has panicked. Atomic, as that may be asked of a shared body.
    panicked: AtomicBool,
}

impl<C: Conclude> End<C> {
    fn new(conclude: C, ends: Ends, reading: Reading) -> Self {
        Self { conclude, ends, reading, panicked: AtomicBool::new(false) }
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
            self.conclude.conclude(outcome);
        }
    }
}

impl<C: Conclude> Drop for End<C> {
    fn drop(&mut self) {
        if *self.panicked.get_mut() {
            return self.over(Outcome::Failure);
        }
        match (self.reading, self.ends.abandoned) {
            (Reading::Over, _) => {}
            (Reading::Between, _) => self.over(self.ends.left()),
            (Reading::Waiting, Some(outcome)) => self.over(outcome),
            (Reading::Waiting, None) => self.conclude.abandon(),
        }
    }
}

pin_project! {
    /// A body that tells how it ended, once: at its end, at an error, or when it is dropped.
    #[derive(Debug)]
    pub(super) struct Ending<B, C: Conclude> {
        #[pin]
        body: B,
        end: End<C>,
    }
}

impl<B: Body, C: Conclude> Ending<B, C> {
    /// Tells at once if there is nothing to read.
    pub(super) fn new(body: B, conclude: C, ends: Ends) -> Self {
        let mut end = End::new(conclude, ends, Reading::Between);
        if end.guard(|| body.is_end_stream()) {
            end.over(ends.whole(None));
        }
        Self { body, end }
    }

    /// Of an exchange about which all is said.
    pub(super) fn over(body: B, conclude: C, ends: Ends) -> Self {
        Self { body, end: End::new(conclude, ends, Reading::Over) }
    }
}

impl<B: Body, C: Conclude> Body for Ending<B, C> {
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
            None => this.end.over(this.end.ends.whole(None)),
            Some(Err(_)) => this.end.over(Outcome::Failure),
            Some(Ok(frame)) => {
                let trailers = frame.trailers_ref();
                // A reader may know that this was the last frame, and not ask again.
                if trailers.is_some() || this.end.guard(|| this.body.is_end_stream()) {
                    this.end.over(this.end.ends.whole(trailers));
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
