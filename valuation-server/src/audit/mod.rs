//! The record of each attempt at a provider.
//!
//! [`Audit`] wraps a provider's service. From [`call`](Service::call) on, each attempt leaves exactly
//! one [`ProviderCall`] in the request's trail: for an answer, a failure, an expired deadline, a
//! panic, and for a future dropped before its end, since the provider may have answered and charged
//! for it. A request that the provider can't be asked leaves none: nothing is sent.
//!
//! An attempt that begins after another one for the same request has ended is a rescue.
//!
//! The layers above see quotes and their errors. The status code is for the record alone.

mod entry;
mod future;

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use crate::domain::{
    Answer, CallOutcome, Describe, Failure, Provider, ProviderCall, Quote, QuoteError, QuoteRequest,
};

pub use entry::MAX_MESSAGE;
pub use future::Audited;

use entry::Entry;

/// What is made of each attempt. The defaults change and do nothing.
pub trait Hooks: Debug + Send + Sync {
    /// The answer as the record and the layers above see it.
    ///
    /// # Errors
    /// The failure as they see it.
    fn answered(
        &self,
        _provider: Provider,
        result: Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        result
    }

    /// The outcome that the failover counts. A panic is always a failure, and a dropped attempt is
    /// always ignored.
    fn outcome(&self, result: &Result<Quote, QuoteError>) -> CallOutcome {
        match result {
            Err(error) if error.is_provider_failure() => CallOutcome::Failure,
            _ => CallOutcome::Success,
        }
    }

    /// Called once per attempt, after its record is in the trail. It must neither block nor panic:
    /// it may be called from a destructor.
    fn ended(&self, _call: &ProviderCall) {}
}

impl Hooks for () {}

/// A provider's service. Each of its attempts leaves a record in the request's trail.
#[derive(Clone, Debug)]
pub struct Audit<S> {
    inner: S,
    hooks: Arc<dyn Hooks>,
}

impl<S> Audit<S> {
    /// Audits `inner`.
    #[must_use]
    pub fn new(inner: S, hooks: Arc<dyn Hooks>) -> Self {
        Self { inner, hooks }
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
        let (url, provider) = (self.inner.url(&request), self.inner.provider());
        let mut entry =
            url.map(|url| Entry::begin(provider, url, &request, Arc::clone(&self.hooks)));
        let inner = Entry::watch(&mut entry, || self.inner.call(request));
        Audited { inner, entry }
    }
}
