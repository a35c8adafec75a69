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
    /// Dropped before its end, it leaves a record that says `CANCELLED`.
    #[derive(Debug)]
    pub struct Audited<F> {
        // Dropped first, so that an attempt has ended before its record is left.
        #[pin]
        inner: F,
        // `None` for a call that is no attempt, and once the record is left.
        entry: Option<Entry>,
    }
}

impl<F> Audited<F> {
    pub(super) fn new(inner: F, entry: Option<Entry>) -> Self {
        Self { inner, entry }
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
        let response_code = match &result {
            Ok(answer) => Some(answer.response_code),
            Err(failure) => failure.response_code,
        };
        let result = result.map(|answer| answer.quote).map_err(|failure| failure.error);
        if let Some(entry) = this.entry.take() {
            entry.finish(response_code, &result);
        }
        Poll::Ready(result)
    }
}
