//! A bounded HTTP exchange with a provider.
//!
//! One deadline covers a whole exchange, a body is read up to [`MAX_BODY`], redirects are not
//! followed, the system's proxies are not used, compressed bodies are not unpacked, and no exchange is
//! repeated silently: each attempt is one row in the log. (An HTTP/2 request that the provider reports
//! as not processed, by `GOAWAY` or `REFUSED_STREAM`, is not an exchange yet. It is sent again, at most
//! twice.)

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, USER_AGENT,
};
use reqwest::{Method, Request, Response};
use url::Url;

use super::awake::{Limited, within};
use super::base_url::without_credentials;
use super::client::Client;
use super::fetch_error::FetchError;
use super::names::Names;
use super::{BaseUrl, HttpVersion, Transport};
use crate::domain::{ErrorCode, LogHead, Trace};

/// The longest body that is read, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The first bytes of a gzip stream (RFC 1952, 2.3.1). No text begins with them.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("valuation-server/", env!("CARGO_PKG_VERSION")));
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const AUDIT_LOG_HEAD: HeaderName = HeaderName::from_static("audit-log-head");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The HTTP client could not be made: a certificate or a key is missing or unusable.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for {base} could not be made: {source}")]
pub struct ClientError {
    /// The redacted base URL.
    base: String,
    /// The file that can't be used, and why.
    source: Box<dyn Error + Send + Sync>,
}

/// A client for one provider. Clones share it, and cost a reference count.
#[derive(Clone, Debug)]
pub(super) struct Fetch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    base: BaseUrl,
    /// Sent with every request.
    headers: HeaderMap,
    deadline: Duration,
}

/// The answer of a completed exchange.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Empty unless the status is 200: other bodies are not read.
    pub(super) body: Vec<u8>,
    /// The `Retry-After`.
    pub(super) retry_after: Option<Duration>,
}

impl Fetch {
    /// A client for `base`, with a deadline for each whole exchange and the header `Accept`.
    pub(super) fn new(
        base: &BaseUrl,
        deadline: Duration,
        transport: &Transport,
        accept: &'static str,
    ) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, OURSELVES);
        if transport.http == HttpVersion::Http1 {
            // The provider closes first, so that the local port is free at once.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(authorization) = base.authorization() {
            headers.insert(AUTHORIZATION, authorization);
        }
        let client = Client::new(base, transport, deadline, Names::of_system())
            .map_err(|source| ClientError { base: base.redacted(), source })?;
        Ok(Self(Arc::new(Inner { client, base: base.clone(), headers, deadline })))
    }

    /// The URL under which the provider's paths begin.
    pub(super) fn base(&self) -> &BaseUrl {
        &self.0.base
    }

    /// Sends `HEAD` of the base URL, with its credentials, and gives the status.
    pub(super) async fn head(&self) -> Result<u16, FetchError> {
        let inner = &*self.0;
        let mut url = inner.base.url().clone();
        url.set_path(inner.base.url().path().trim_end_matches('/'));
        let request = inner.request(Method::HEAD, url);
        let head = async { Ok(inner.send(request).await?.status().as_u16()) };
        inner.in_time(within(inner.deadline, head).await)
    }

    /// Gets `url`, with the headers `traceparent` and `x-request-id` of the trace, and `audit-log-head`.
    ///
    /// # Cancel safety
    /// Dropping the future closes its connection, or over HTTP/2 its stream.
    pub(super) async fn get(
        &self,
        url: Url,
        trace: &Trace,
        head: Option<LogHead>,
    ) -> Result<Reply, FetchError> {
        // Outside the exchange, so that a received status survives the deadline.
        let mut status = None;
        let exchange = self.0.exchange(url, trace, head, &mut status);
        let reply = self.0.in_time(within(self.0.deadline, exchange).await);
        reply.map_err(|error| FetchError { status, ..error })
    }
}

impl Inner {
    fn request(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, without_credentials(url));
        *request.headers_mut() = self.headers.clone();
        request
    }

    async fn send(&self, request: Request) -> Result<Response, FetchError> {
        self.client.current().execute(request).await.map_err(|error| self.broken(error))
    }

    fn broken(&self, error: reqwest::Error) -> FetchError {
        FetchError::of(&error.without_url(), self.base.is_https())
    }

    /// The result, or a time-out if the limit was reached first. While our process is paused a provider
    /// can answer, give up and close the connection, so that a failure in that time is ours.
    fn in_time<T>(&self, limited: Limited<Result<T, FetchError>>) -> Result<T, FetchError> {
        let Limited { result, paused } = limited;
        let result = result.unwrap_or_else(|| {
            let deadline = humantime::format_duration(self.deadline);
            let message = format!("no whole answer within {deadline}");
            Err(FetchError::new(ErrorCode::Timeout, message))
        });
        result.map_err(|error| match paused {
            Duration::ZERO => error,
            _ => FetchError::new(
                ErrorCode::Local,
                format!("this process was paused for {} ms meanwhile", paused.as_millis()),
            ),
        })
    }

    async fn exchange(
        &self,
        url: Url,
        trace: &Trace,
        head: Option<LogHead>,
        came: &mut Option<u16>,
    ) -> Result<Reply, FetchError> {
        let mut request = self.request(Method::GET, url);
        let headers = request.headers_mut();
        let own = [(TRACEPARENT, &*traceparent(trace)), (X_REQUEST_ID, trace.request_id())];
        for (name, value) in own {
            // A trace's texts are printable.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if let Some(head) = head
            && let Ok(value) = HeaderValue::try_from(head.to_string())
        {
            headers.insert(AUDIT_LOG_HEAD, value);
        }
        let response = self.send(request).await?;
        let status = response.status().as_u16();
        *came = Some(status);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let body = if status == 200 { self.body(response).await? } else { Vec::new() };
        Ok(Reply { status, body, retry_after })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, FetchError> {
        let too_large = || {
            let message = format!("the body is larger than {MAX_BODY} bytes");
            FetchError::new(ErrorCode::BodyTooLarge, message)
        };
        let compressed = || {
            let message = "the body is compressed, which was not asked for";
            FetchError::new(ErrorCode::Unusable, message)
        };
        if response.headers().get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
            return Err(compressed());
        }
        // The announced length is used only to save reading.
        if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(data) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + data.len() > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&data);
        }
        if body.starts_with(&GZIP) { Err(compressed()) } else { Ok(body) }
    }
}

/// The trace for the provider: this call is a span of its own (W3C Trace Context, section 3.2). A
/// span's id must be unique, and is not a secret.
fn traceparent(trace: &Trace) -> String {
    let span = fastrand::u64(1..);
    format!("00-{}-{span:016x}-{:02x}", trace.id(), trace.flags())
}

/// A `Retry-After` of whole seconds, up to the 136 years that 32 bits hold. A date is ignored: it would
/// compare two machines' clocks.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}
