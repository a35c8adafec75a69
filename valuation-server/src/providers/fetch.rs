//! The bounded HTTP client that the providers share.
//!
//! One deadline covers a whole exchange, a body is read up to [`MAX_BODY`], redirects are not
//! followed, the system's proxies are not used, compressed bodies are not unpacked, and no
//! exchange is repeated behind its caller's back: each attempt is to be one row in the log. (A
//! request that found its kept connection closed before a byte of it was written has not been an
//! exchange yet; it takes another connection.)

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri, uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::BaseUrl;
use super::client::Client;
use super::mishap::Mishap;
use super::target::{Asked, Target};
use crate::domain::{ErrorCode, Trace};

/// The longest body that is read, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("valuation-server/", env!("CARGO_PKG_VERSION")));
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The HTTP client could not be made, as where an `https` provider is configured on a machine
/// without root certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for {base} could not be made")]
pub struct ClientError {
    /// The redacted base URL.
    base: String,
    /// What the client's library says.
    source: Box<dyn Error + Send + Sync>,
}

/// A client for one provider. Clones share it, and cost a reference count.
#[derive(Clone, Debug)]
pub(super) struct Fetch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    asked: Asked,
    /// The host's root, to which each request adds its path.
    root: Uri,
    /// Sent with every question.
    authorization: Option<HeaderValue>,
    accept: HeaderValue,
    deadline: Duration,
}

/// The answer to an exchange that came to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Empty unless the status is 200: no other body says anything.
    pub(super) body: Vec<u8>,
    /// How long the provider asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Fetch {
    /// A client for `base`, with a deadline for each whole exchange, that asks for `accept`.
    pub(super) fn new(
        base: &BaseUrl,
        deadline: Duration,
        accept: &'static str,
    ) -> Result<Self, ClientError> {
        let failed = |source| ClientError { base: base.redacted(), source };
        Ok(Self(Arc::new(Inner {
            client: Client::new(base.is_https(), deadline).map_err(failed)?,
            asked: Asked::under(base),
            root: base.root().as_str().parse().map_err(|e: uri::InvalidUri| failed(e.into()))?,
            authorization: base.authorization(),
            accept: HeaderValue::from_static(accept),
            deadline,
        })))
    }

    /// What is asked of the base, and how it may be shown.
    pub(super) fn asked(&self) -> &Asked {
        &self.0.asked
    }

    /// Asks for the head of the base URL, with its credentials, and gives its status.
    pub(super) async fn head(&self) -> Result<u16, Mishap> {
        let inner = &*self.0;
        let mut request = inner.request(Method::HEAD, inner.uri(&inner.asked.base())?);
        if let Some(authorization) = &inner.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let asking = inner.client.send(request);
        match timeout(inner.deadline, asking).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(Mishap::of(&error, inner.client.is_https())),
            Err(_) => Err(inner.too_late()),
        }
    }

    /// Gets `target`, with the headers `traceparent` and `x-request-id` of the trace.
    ///
    /// # Cancel safety
    /// Dropping the future closes its connection.
    pub(super) async fn get(&self, target: &Target, trace: &Trace) -> Result<Reply, Mishap> {
        // Outside the exchange, so that a status that had come survives the deadline.
        let mut status = None;
        let outcome = timeout(self.0.deadline, self.0.exchange(target, trace, &mut status)).await;
        match outcome {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(mishap)) => Err(Mishap { status, ..mishap }),
            Err(_) => Err(Mishap { status, ..self.0.too_late() }),
        }
    }
}

impl Inner {
    fn request(&self, method: Method, uri: Uri) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.reserve(6);
        headers.insert(ACCEPT, self.accept.clone());
        headers.insert(USER_AGENT, OURSELVES);
        request
    }

    fn too_late(&self) -> Mishap {
        let deadline = humantime::format_duration(self.deadline);
        Mishap::new(ErrorCode::Timeout, format!("no whole answer within {deadline}"))
    }

    async fn exchange(
        &self,
        target: &Target,
        trace: &Trace,
        came: &mut Option<u16>,
    ) -> Result<Reply, Mishap> {
        let mut request = self.request(Method::GET, self.uri(target)?);
        let headers = request.headers_mut();
        let own = [(TRACEPARENT, &*traceparent(trace)), (X_REQUEST_ID, trace.request_id())];
        for (name, value) in own {
            // A trace's texts are printable.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let broken = |error: &(dyn Error + 'static)| Mishap::of(error, self.client.is_https());
        let response = self.client.send(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        *came = Some(status);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let body = if status == 200 { self.body(response).await? } else { Vec::new() };
        Ok(Reply { status, body, retry_after })
    }

    /// The URL without credentials, which go into a header.
    fn uri(&self, target: &Target) -> Result<Uri, Mishap> {
        let mut parts = self.root.clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(self.asked.sent(target)).ok();
        // Not the parser's error, which may repeat a part of the URL.
        Uri::from_parts(parts)
            .map_err(|_| Mishap::new(ErrorCode::Protocol, "the URL can't be sent over HTTP"))
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Vec<u8>, Mishap> {
        let too_large = || {
            let message = format!("the body is larger than {MAX_BODY} bytes");
            Mishap::new(ErrorCode::BodyTooLarge, message)
        };
        let mut rest = response.into_body();
        // What the head promises is believed only where it saves reading.
        if rest.size_hint().exact().is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(frame) = rest.frame().await {
            let frame = frame.map_err(|error| Mishap::of(&error, self.client.is_https()))?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            if body.len() + data.len() > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(data);
        }
        Ok(body)
    }
}

/// The trace as it is passed on: this call is a span of its own (W3C Trace Context, section 3.2).
/// A span's id needs to be unique, and is no secret.
fn traceparent(trace: &Trace) -> String {
    let span = fastrand::u64(1..);
    format!("00-{}-{span:016x}-{:02x}", trace.id(), trace.flags())
}

/// A `Retry-After` of whole seconds, up to the 136 years that 32 bits hold. One that is a date
/// compares two machines' clocks, and says nothing here.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}
