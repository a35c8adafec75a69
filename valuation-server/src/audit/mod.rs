//! The record of every attempt at a provider.
//!
//! [`Audit`] wraps a provider's service. Whatever becomes of an attempt, from the moment of
//! [`call`](Service::call) on, exactly one [`ProviderCall`] is left
//! in the request's trail: for an answer, a failure, a deadline that passed, a panic, and for a
//! future that is dropped before its end, since the provider may have answered and charged for it.
//! A request that the provider can't be asked sends nothing and leaves nothing.
//!
//! Above the audit there are only quotes and their errors: the status that a provider's service
//! gives beside them is for the record alone.

mod entry;
mod future;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::domain::{
    Answer, Describe, Failure, ProviderCall, Quote, QuoteError, QuoteRequest, Trace,
};

pub use entry::MAX_MESSAGE;
pub use future::Audited;

use entry::Entry;

/// Wraps a provider's service into [`Audit`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditLayer;

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Audit<S> {
        Audit { inner, tell: None }
    }
}

/// A provider's service whose every attempt leaves its record in the request's trail.
#[derive(Clone)]
pub struct Audit<S> {
    inner: S,
    tell: Option<Tell>,
}

/// Is told of each attempt when its record is left, by whoever ends it.
pub type Tell = Arc<dyn Fn(&ProviderCall, &Trace) + Send + Sync>;

impl<S> Audit<S> {
    /// Has every later attempt told to `tell`, once each. It must neither block nor panic: it may be
    /// called from a destructor.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&ProviderCall, &Trace) + Send + Sync + 'static) -> Self {
        Self { tell: Some(Arc::new(tell)), ..self }
    }
}

impl<S: fmt::Debug> fmt::Debug for Audit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S> Service<QuoteRequest> for Audit<S>
where
    S: Service<QuoteRequest, Response = Answer, Error = Failure> + Describe,
{
    type Response = Quote;
    type Error = QuoteError;
    type Future = Audited<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), QuoteError>> {
        self.inner.poll_ready(cx).map_err(|failure| failure.error)
    }

    fn call(&mut self, request: QuoteRequest) -> Self::Future {
        let url = self.inner.url(&request);
        let mut entry =
            url.map(|url| Entry::begin(self.inner.provider(), url, &request, self.tell.clone()));
        let future = Entry::watch(&mut entry, || self.inner.call(request));
        Audited::new(future, entry)
    }
}
