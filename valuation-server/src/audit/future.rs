//! The future of an audited call.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::entry::Entry;
use crate::domain::{Answer, Failure, Quote, QuoteError};

pin_project! {
    /// A call that leaves its record when it ends.
    ///
    /// # Cancel safety
    /// If dropped before its end, it leaves a record that says `CANCELLED`.
    #[derive(Debug)]
    pub struct Audited<F> {
        // Dropped first, so that the attempt has ended before its record is left.
        #[pin]
        pub(super) inner: F,
        // `None` for a call that is not an attempt, and once the record is left.
        pub(super) entry: Option<Entry>,
    }
}

impl<F> Future for Audited<F>
where
    F: Future<Output = Result<Answer, Failure>>,
{
    type Output = Result<Quote, QuoteError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(Entry::watch(this.entry, || this.inner.poll(cx)));
        Poll::Ready(match this.entry.take() {
            Some(entry) => entry.finish(result),
            None => result.map(|answer| answer.quote).map_err(|failure| failure.error),
        })
    }
}
