//! A provider as a tower service.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;
use url::Url;

use super::base_url::redacted;
use super::fetch::Fetch;
use super::{BaseUrl, ClientError, Transport};
use crate::domain::{
    Answer, Describe, ErrorCode, Failure, NewestHead, Provider, Quote, QuoteError, QuoteRequest,
};

/// The future of a provider's service.
pub type ProviderFuture = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// What differs from provider to provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    pub(super) provider: Provider,
    /// The header `Accept`.
    pub(super) accept: &'static str,
    /// The URL of a request; `None` if the provider can't be asked about the vehicle.
    pub(super) url: fn(&BaseUrl, &QuoteRequest) -> Option<Url>,
    /// Reads the body of an answer with status 200.
    pub(super) parse: fn(&[u8]) -> Result<Quote, QuoteError>,
}

/// A provider as a service. Clones share its connections.
#[derive(Clone, Debug)]
pub struct ProviderClient {
    api: Api,
    fetch: Fetch,
    anchor: Option<NewestHead>,
}

impl ProviderClient {
    pub(super) fn new(
        api: Api,
        base: &BaseUrl,
        deadline: Duration,
        transport: &Transport,
    ) -> Result<Self, ClientError> {
        let fetch = Fetch::new(base, deadline, transport, api.accept)?;
        Ok(Self { api, fetch, anchor: None })
    }

    /// Sends the newest head of the log with every call, as the header `audit-log-head`.
    #[must_use]
    pub fn anchored(self, head: NewestHead) -> Self {
        Self { anchor: Some(head), ..self }
    }
}

impl Describe for ProviderClient {
    fn provider(&self) -> Provider {
        self.api.provider
    }

    fn url(&self, request: &QuoteRequest) -> Option<String> {
        (self.api.url)(self.fetch.base(), request).map(|url| redacted(&url))
    }
}

impl Service<QuoteRequest> for ProviderClient {
    type Response = Answer;
    type Error = Failure;
    type Future = ProviderFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: QuoteRequest) -> ProviderFuture {
        let (fetch, parse) = (self.fetch.clone(), self.api.parse);
        let url = (self.api.url)(fetch.base(), &request);
        let head = self.anchor.as_ref().and_then(NewestHead::get);
        Box::pin(async move {
            let failed = |error, response_code| Failure { error, response_code };
            let url = url.ok_or(failed(QuoteError::NotAsked, None))?;
            let reply = fetch.get(url, &request.trace, head).await.map_err(|error| {
                let (code, message) = (error.code, error.message);
                let unavailable = QuoteError::Unavailable { code, message, retry_after: None };
                failed(unavailable, error.status)
            })?;
            let quote = match reply.status {
                200 => parse(&reply.body),
                404 => Err(QuoteError::NotFound),
                status @ 400..=499 if !matches!(status, 408 | 429) => {
                    Err(QuoteError::Refused(status))
                }
                status => Err(QuoteError::Unavailable {
                    code: ErrorCode::Status,
                    message: format!("the provider answered with status {status}"),
                    retry_after: reply.retry_after,
                }),
            };
            let response_code = reply.status;
            quote
                .map(|quote| Answer { quote, response_code })
                .map_err(|error| failed(error, Some(response_code)))
        })
    }
}
