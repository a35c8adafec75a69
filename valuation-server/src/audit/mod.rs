//! The record of every attempt at a provider.
//!
//! [`Audit`] wraps a provider's service. Whatever becomes of an attempt, from the moment of
//! [`call`](Service::call) on, exactly one [`ProviderCall`] is left
//! in the request's trail: for an answer, a failure, a deadline that passed, a panic, and for a
//! future that is dropped before its end, since the provider may have answered and charged for it.
//! A request that the provider can't be asked sends nothing and leaves nothing.
//!
//! An attempt that begins when another one for the same question has left its record is a rescue.
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
    Answer, CallOutcome, Describe, Failure, ProviderCall, Quote, QuoteError, QuoteRequest,
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
        Audit { inner, hooks: Hooks::default() }
    }
}

/// A provider's service whose every attempt leaves its record in the request's trail.
#[derive(Clone)]
pub struct Audit<S> {
    inner: S,
    hooks: Hooks,
}

/// Is told of each attempt when its record is left, by whoever ends it.
pub type Tell = Arc<dyn Fn(&ProviderCall) + Send + Sync>;

/// Says what the end of an attempt says about its provider.
pub type Classify = Arc<dyn Fn(&Result<Quote, QuoteError>) -> CallOutcome + Send + Sync>;

/// What is called at the end of an attempt.
#[derive(Clone, Default)]
struct Hooks {
    classify: Option<Classify>,
    tell: Option<Tell>,
}

impl<S> Audit<S> {
    /// Has the outcome of every later attempt decided by `classify`, the one by which the failover
    /// counts. Without it, by [`QuoteError::is_provider_failure`]. A panic is a failure, and an
    /// attempt that was given up is ignored.
    #[must_use]
    pub fn classifying(
        self,
        classify: impl Fn(&Result<Quote, QuoteError>) -> CallOutcome + Send + Sync + 'static,
    ) -> Self {
        let hooks = Hooks { classify: Some(Arc::new(classify)), ..self.hooks };
        Self { hooks, ..self }
    }

    /// Has every later attempt told to `tell`, once each. It must neither block nor panic: it may be
    /// called from a destructor.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&ProviderCall) + Send + Sync + 'static) -> Self {
        let hooks = Hooks { tell: Some(Arc::new(tell)), ..self.hooks };
        Self { hooks, ..self }
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
            url.map(|url| Entry::begin(self.inner.provider(), url, &request, self.hooks.clone()));
        let future = Entry::watch(&mut entry, || self.inner.call(request));
        Audited::new(future, entry)
    }
}
