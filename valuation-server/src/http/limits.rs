//! The limits of a connection and of a listener.

use std::time::Duration;

/// The limits on clients. One that exceeds a limit is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the head of a request, from the end of the previous one: also the longest idle time of a
    /// connection.
    pub header_timeout: Duration,
    /// For the whole body of a request.
    pub body_timeout: Duration,
    /// The largest body that is read, in bytes.
    pub body_bytes: usize,
    /// How many bodies of more than 1 KiB are read at once; further ones are answered 503. No valid
    /// body is that large: this only bounds the memory of slow clients.
    pub large_bodies: usize,
    /// How many incomplete heads of more than 4 KiB there are at once over HTTP/1.1. The connection of
    /// a further one is closed.
    pub large_heads: usize,
    /// How many connections speak HTTP/2 at once: each may take some 60 KiB. Further ones get GOAWAY.
    pub http2_connections: usize,
    /// How many HTTP/2 streams are open at once over all connections, each until the client has read
    /// the answer; further ones are answered 503. A connection over HTTP/1.1 has one request at a time.
    pub streams: usize,
    /// How many connections are open at once. Further ones are answered 503 and closed.
    pub max_connections: usize,
    /// For a client to read the next byte of an answer.
    pub write_timeout: Duration,
    /// From the stop until idle connections are closed, and until an incomplete body is answered 503.
    pub stop_grace: Duration,
    /// From the stop until running requests are cut off.
    pub drain_timeout: Duration,
    /// The `Retry-After` of a 503, in whole seconds.
    pub retry_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(20),
            body_timeout: Duration::from_secs(10),
            body_bytes: 64 * 1024,
            large_bodies: 256,
            large_heads: 512,
            http2_connections: 256,
            streams: 2_000,
            max_connections: 8_000,
            write_timeout: Duration::from_secs(10),
            stop_grace: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(15),
            retry_after: Duration::from_secs(5),
        }
    }
}
