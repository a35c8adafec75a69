//! How the providers are connected to.

use std::path::PathBuf;

use super::BaseUrl;

/// The version of HTTP between us and the providers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1, one request per connection. Its answers have no identity: on a kept connection an unasked
    /// answer is taken for the next request's.
    #[default]
    Http1,
    /// HTTP/2, many requests per connection: each frame names its stream. Over TLS by ALPN, without
    /// TLS by prior knowledge.
    Http2,
}

/// How the providers are connected to, in addition to their URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// The version of HTTP. Default: HTTP/1.1.
    pub http: HttpVersion,
    /// The HTTP proxy that all connections go through; the system's proxies are not used. Default:
    /// none.
    pub proxy: Option<BaseUrl>,
    /// A PEM file of certificate authorities to trust in addition to the system's. Default: none.
    pub ca: Option<PathBuf>,
    /// A PEM file with the client certificate, its chain and its private key. Default: none.
    pub client_cert: Option<PathBuf>,
}
