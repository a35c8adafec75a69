//! The HTTP/1.1 client under the providers' exchanges, over TCP or TLS.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::util::MapErr;

/// Common servers close a connection after 5 s without a request. One that is given up before
/// them can't be found closed just when the next request is written to it.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
/// The peer of a connection at rest, gone without a word, is found so.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
const TCP_KEEPALIVE_TRIES: u32 = 3;

type Tcp = HttpConnector<MapErr<GaiResolver, fn(io::Error) -> Unresolved>>;

/// A client. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) enum Client {
    /// Without TLS, and so without the need for root certificates.
    Http(legacy::Client<Tcp, Empty<Bytes>>),
    /// With TLS, trusting whom the operating system trusts.
    Https(legacy::Client<HttpsConnector<Tcp>, Empty<Bytes>>),
}

/// A host's name did not resolve. A type of its own tells it from other I/O errors.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unresolved(#[source] io::Error);

impl Client {
    /// # Errors
    /// With `https` where the system's root certificates can't be read.
    pub(super) fn new(
        https: bool,
        connect_timeout: Duration,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let resolver: MapErr<_, fn(io::Error) -> Unresolved> =
            MapErr::new(GaiResolver::new(), Unresolved);
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(!https);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_interval(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_retries(Some(TCP_KEEPALIVE_TRIES));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION);
        if !https {
            return Ok(Self::Http(builder.build(tcp)));
        }
        let tls = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()?
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self::Https(builder.build(tls)))
    }

    pub(super) fn is_https(&self) -> bool {
        matches!(self, Self::Https(_))
    }

    pub(super) fn send(&self, request: Request<Empty<Bytes>>) -> ResponseFuture {
        match self {
            Self::Http(client) => client.request(request),
            Self::Https(client) => client.request(request),
        }
    }
}
