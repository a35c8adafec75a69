//! Watches a provider's answers for [streaks of client errors](ClientErrors): reports where one begins
//! and ends, and makes failures of them if the setting says so.
//!
//! It stands between the provider's service and its audit, so that the log rows, the failover and the
//! rescue all see the same failure.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use failover::clock::Clock;
use tower::Service;

use crate::admin::{Journal, Kind};
use crate::domain::{Answer, Describe, ErrorCode, Failure, Provider, QuoteError, QuoteRequest};
use crate::providers::Asking;
use crate::telemetry::{Change, ClientErrors};

/// A provider's service whose answers are watched.
#[derive(Clone, Debug)]
pub(super) struct Watched<S, Clk> {
    inner: S,
    watch: Arc<Watch<Clk>>,
}

/// What the watching of both providers shares.
pub(super) struct Watch<Clk> {
    pub(super) client_errors: Arc<ClientErrors>,
    pub(super) clock: Clk,
    pub(super) events: Arc<Journal>,
}

impl<S, Clk> Watched<S, Clk> {
    pub(super) fn new(inner: S, watch: &Arc<Watch<Clk>>) -> Self {
        Self { inner, watch: Arc::clone(watch) }
    }
}

impl<S: Describe, Clk> Describe for Watched<S, Clk> {
    fn provider(&self) -> Provider {
        self.inner.provider()
    }

    fn url(&self, request: &QuoteRequest) -> Option<String> {
        self.inner.url(request)
    }
}

impl<S, Clk> Service<QuoteRequest> for Watched<S, Clk>
where
    S: Service<QuoteRequest, Response = Answer, Error = Failure> + Describe,
    S::Future: Send + 'static,
    Clk: Clock,
{
    type Response = Answer;
    type Error = Failure;
    type Future = Asking;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: QuoteRequest) -> Asking {
        let (provider, watch) = (self.inner.provider(), Arc::clone(&self.watch));
        let answer = self.inner.call(request);
        Box::pin(async move { watch.record(provider, answer.await) })
    }
}

impl<Clk: Clock> Watch<Clk> {
    fn record(
        &self,
        provider: Provider,
        result: Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        let answer = match result.as_ref().map_err(|failure| &failure.error) {
            Ok(_) => Ok(()),
            Err(QuoteError::NotFound) => Err(404),
            Err(QuoteError::Refused(status)) => Err(*status),
            Err(QuoteError::Unavailable { .. } | QuoteError::NotAsked) => return result,
        };
        if let Some(change) = self.client_errors.record(provider, self.clock.now(), answer) {
            self.report(provider, change);
        }
        match answer {
            Err(status) if self.client_errors.are_failures(provider) => Err(failure(status)),
            _ => result,
        }
    }

    fn report(&self, provider: Provider, change: Change) {
        let message = message(provider, change, self.client_errors.as_failures());
        let (ongoing, answers) = match change {
            Change::Began { length, .. } => {
                tracing::warn!("{message}");
                (true, length)
            }
            Change::Ended { length } => {
                tracing::info!("{message}");
                (false, length)
            }
        };
        let kind = Kind::ClientErrors { provider: provider.name(), ongoing, answers };
        self.events.note(kind, message);
    }
}

impl<Clk> fmt::Debug for Watch<Clk> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("client_errors", &self.client_errors).finish_non_exhaustive()
    }
}

/// An answer of a streak that counts as failures.
fn failure(status: u16) -> Failure {
    let message =
        format!("the provider answered with status {status}, in a streak of client errors");
    let error = QuoteError::Unavailable { code: ErrorCode::Status, message, retry_after: None };
    Failure { error, response_code: Some(status) }
}

/// What happened, what it means, and what there is to do.
fn message(provider: Provider, change: Change, as_failures: bool) -> String {
    let counted = if as_failures {
        "They count as failures until it gives a valuation"
    } else {
        "They count as answers, so that the other provider is not asked (--client-error-streak)"
    };
    match change {
        Change::Began { status: status @ 401..=403, .. } => format!(
            "client errors: {provider} refused a request with status {status}: check the \
             credentials and keys in its URL, and the contract. {counted}"
        ),
        Change::Began { status, length } => format!(
            "client errors: none of the last {length} answers of {provider} was a valuation, the \
             last has status {status}: check the path in its URL. {counted}"
        ),
        Change::Ended { length } => format!(
            "client errors: {provider} gives valuations again, after {length} answers without one"
        ),
    }
}
