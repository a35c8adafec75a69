//! The bounded HTTP client that the providers share.
//!
//! One deadline covers a whole exchange, a body is read up to [`MAX_BODY`], redirects are not
//! followed, the system's proxies are not used, compressed bodies are not unpacked, and no
//! exchange is repeated behind its caller's back: each attempt is to be one row in the log. (A
//! request that found its kept connection closed before a byte of it was written has not been an
//! exchange yet; it takes another connection.)

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, redirect, retry};
use url::Url;

use super::BaseUrl;
use super::mishap::Mishap;
use crate::domain::{ErrorCode, Trace};

/// The longest body that is read, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Common servers close a connection after 5 s without a request. One that is given up before
/// them can't be found closed just when the next request is written to it.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// The HTTP client could not be made, as where an `https` provider is configured on a machine
/// without root certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for {base} could not be made")]
pub struct ClientError {
    /// The redacted base URL.
    base: String,
    /// What the client's library says.
    source: reqwest::Error,
}

/// A client for one provider. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    client: Client,
    deadline: Duration,
    https: bool,
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
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let mut builder = Client::builder()
            .user_agent(concat!("valuation-server/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(deadline)
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_nodelay(true);
        if !base.is_https() {
            // TLS is never spoken then, and its root certificates need not be there.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|source| ClientError {
            base: base.redacted(),
            source: source.without_url(),
        })?;
        Ok(Self { client, deadline, https: base.is_https() })
    }

    /// Asks for the head at `url`, and gives its status.
    pub(super) async fn head(&self, url: Url) -> Result<u16, Mishap> {
        let asking = self.client.head(url).send();
        match tokio::time::timeout(self.deadline, asking).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(Mishap::of(error, self.https)),
            Err(_) => Err(self.too_late()),
        }
    }

    fn too_late(&self) -> Mishap {
        let deadline = humantime::format_duration(self.deadline);
        Mishap::new(ErrorCode::Timeout, format!("no whole answer within {deadline}"))
    }

    /// Gets `url`, with the headers `traceparent` and `x-request-id` of the trace.
    ///
    /// # Cancel safety
    /// Dropping the future closes its connection.
    pub(super) async fn get(&self, url: Url, trace: &Trace) -> Result<Reply, Mishap> {
        // Outside the exchange, so that a status that had come survives the deadline.
        let mut status = None;
        let outcome =
            tokio::time::timeout(self.deadline, self.exchange(url, trace, &mut status)).await;
        match outcome {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(mishap)) => Err(Mishap { status, ..mishap }),
            Err(_) => Err(Mishap { status, ..self.too_late() }),
        }
    }

    async fn exchange(
        &self,
        url: Url,
        trace: &Trace,
        came: &mut Option<u16>,
    ) -> Result<Reply, Mishap> {
        let request = self
            .client
            .get(url)
            .header("traceparent", traceparent(trace))
            .header("x-request-id", trace.request_id());
        let response = request.send().await.map_err(|e| Mishap::of(e, self.https))?;
        let status = response.status().as_u16();
        *came = Some(status);
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let body = if status == 200 { self.body(response).await? } else { Vec::new() };
        Ok(Reply { status, body, retry_after })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Mishap> {
        let too_large = || {
            let message = format!("the body is larger than {MAX_BODY} bytes");
            Mishap::new(ErrorCode::BodyTooLarge, message)
        };
        // What the head promises is believed only where it saves reading.
        if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| Mishap::of(e, self.https))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
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
