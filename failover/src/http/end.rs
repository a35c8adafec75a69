//! Observes the end of a body.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::classify::{EosPolicy, HttpClassify};
use crate::classify::Classify;
use crate::engine::ticket::guard;
use crate::outcome::Outcome;
use crate::service::observed::{Conclude, ObservedCall};

/// The state of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// It does not wait for a frame.
    Between,
    /// It waits for a frame.
    Waiting,
    /// The outcome is reported.
    Over,
}

/// Reports the outcome of a call by the end of its body, at the latest when dropped.
#[derive(Debug)]
struct EosGuard<O: ObservedCall> {
    call: O,
    eos: EosPolicy,
    reading: Reading,
    /// Whether the body's own code has panicked. Atomic, since `is_end_stream` takes `&self`.
    panicked: AtomicBool,
}

impl<O: ObservedCall> EosGuard<O> {
    /// Runs the body's own code.
    #[inline]
    fn guard<T>(&self, run: impl FnOnce() -> T) -> T {
        // Ordering: Relaxed. Read only by the drop, which has exclusive access.
        guard(run, || self.panicked.store(true, Ordering::Relaxed))
    }

    fn over(&mut self, outcome: Outcome) {
        if self.reading != Reading::Over {
            self.reading = Reading::Over;
            self.call.end(outcome);
        }
    }
}

impl<O: ObservedCall> Drop for EosGuard<O> {
    fn drop(&mut self) {
        if *self.panicked.get_mut() {
            return self.over(Outcome::Failure);
        }
        match (self.reading, self.eos.abandoned) {
            (Reading::Between, _) => self.over(self.eos.left()),
            (Reading::Waiting, Some(outcome)) => self.over(outcome),
            // The drop of `call` reports a call that has no outcome.
            (Reading::Over, _) | (Reading::Waiting, None) => {}
        }
    }
}

pin_project! {
    /// A body whose end is the end of its call: its last frame, an error, or its drop.
    ///
    /// # Cancel safety
    /// Dropping it drops the service's body. The [module's documentation](crate::http) lists the
    /// outcome that is reported.
    #[derive(Debug)]
    #[must_use = "the outcome is reported when the body ends"]
    pub struct ObservedBody<B, O: ObservedCall> {
        #[pin]
        body: B,
        end: EosGuard<O>,
    }
}

impl<H> HttpClassify<H> {
    /// Reports the outcome of the head if that is final, and returns it; otherwise passes the call on
    /// to the body.
    #[inline]
    pub(super) fn watch<B, E, O>(
        &self,
        result: Result<Response<B>, E>,
        call: &mut O,
    ) -> Watched<B, E, O>
    where
        H: Classify<Response<B>, E>,
        B: Body,
        O: ObservedCall,
    {
        let (head, eos) = (self.head(&result), self.eos);
        if let Some(outcome) = head {
            call.end(outcome);
        }
        let reading = if head.is_some() { Reading::Over } else { Reading::Between };
        let watched = result.map(|response| {
            let call = call.take();
            response.map(|body| {
                let mut end = EosGuard { call, eos, reading, panicked: AtomicBool::new(false) };
                if head.is_none() && end.guard(|| body.is_end_stream()) {
                    end.over(eos.whole(None));
                }
                ObservedBody { body, end }
            })
        });
        (watched, head)
    }
}

/// The result with its body watched, and the outcome of the head if that is final.
type Watched<B, E, O> = (Result<Response<ObservedBody<B, O>>, E>, Option<Outcome>);

impl<H, B, E, O> Conclude<Response<B>, E, O> for HttpClassify<H>
where
    H: Classify<Response<B>, E>,
    B: Body,
    O: ObservedCall,
{
    type Output = Result<Response<ObservedBody<B, O>>, E>;

    #[inline]
    fn conclude(&self, result: Result<Response<B>, E>, call: &mut O) -> Self::Output {
        self.watch(result, call).0
    }
}

impl<B: Body, O: ObservedCall> Body for ObservedBody<B, O> {
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
                // A reader that knows this was the last frame may not poll again.
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
