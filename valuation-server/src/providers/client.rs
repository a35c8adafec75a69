//! The HTTP client of a provider.
//!
//! Over HTTP/1.1 each connection carries one request. An answer there has no identity: on a kept
//! connection, bytes that the provider or a proxy sends unasked are taken for the next request's
//! answer, and a check of the socket before the request can't exclude bytes that arrive just after it.
//! Nothing that follows an answer is read. TLS sessions are resumed. Over HTTP/2 each frame names its
//! stream, so that connections are kept.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::names::Names;
use super::{BaseUrl, HttpVersion, Transport, tls};

/// How long a client and its connections get requests. A change of the provider's address is followed
/// within this time and the time that addresses are cached.
const LONGEST_USE: Duration = Duration::from_secs(45);
/// A dead HTTP/2 connection is detected within twice this time.
const PING: Duration = Duration::from_secs(5);

/// A client whose connections have a limited age.
#[derive(Debug)]
pub(super) struct Client {
    parts: Parts,
    current: Mutex<(reqwest::Client, Instant)>,
}

#[derive(Debug)]
struct Parts {
    transport: Transport,
    tls: rustls::ClientConfig,
    names: Names,
    connect_timeout: Duration,
}

impl Client {
    /// # Errors
    /// If a certificate or key is missing or unusable, or there is no certificate authority for `https`.
    pub(super) fn new(
        base: &BaseUrl,
        transport: &Transport,
        connect_timeout: Duration,
        names: Names,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let https = base.is_https() || transport.proxy.as_ref().is_some_and(BaseUrl::is_https);
        let tls = tls::config(transport, https)?;
        let parts = Parts { transport: transport.clone(), tls, names, connect_timeout };
        let current = Mutex::new((parts.build()?, Instant::now()));
        Ok(Self { parts, current })
    }

    /// The client for the next request. A replaced one finishes its running requests.
    pub(super) fn current(&self) -> reqwest::Client {
        // It is only replaced as a whole, so poisoning is ignored.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.parts.transport.http == HttpVersion::Http2;
        if kept
            && current.1.elapsed() >= LONGEST_USE
            && let Ok(client) = self.parts.build()
        {
            *current = (client, Instant::now());
        }
        current.0.clone()
    }
}

impl Parts {
    /// Neither reads files nor blocks.
    fn build(&self) -> reqwest::Result<reqwest::Client> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(Arc::new(self.names.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .no_proxy();
        let builder = match self.transport.http {
            HttpVersion::Http1 => builder.http1_only().pool_max_idle_per_host(0),
            HttpVersion::Http2 => builder
                .http2_prior_knowledge()
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(PING),
        };
        match &self.transport.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.url().clone())?),
            None => builder,
        }
        .build()
    }
}
