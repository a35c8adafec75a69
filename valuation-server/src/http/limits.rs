//! How much of a client's time and bytes are taken.

use std::time::Duration;

/// How much of a client's time and bytes are taken before it is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the head of a request, counted from when it may begin: it is the longest idle time of
    /// a kept connection as well.
    pub header_timeout: Duration,
    /// For the whole body of a request.
    pub body_timeout: Duration,
    /// The largest body that is read, in bytes.
    pub body_bytes: usize,
    /// How many bodies of more than 1 KiB are read at once; a request with one more is told 503.
    /// No valid one is that large, so this bounds the memory that slow clients can take and nothing
    /// else.
    pub large_bodies: usize,
    /// How many heads of more than 4 KiB may be on their way over HTTP/1.1 at once. One more has its
    /// connection closed.
    pub large_heads: usize,
    /// How many connections speak HTTP/2 at once: each may take some 60 KiB. More are told to go away.
    pub http2_connections: usize,
    /// How many requests over HTTP/2 are under way at once, over all connections, each until its
    /// answer was taken; one more is told 503. A connection over HTTP/1.1 has one at a time.
    pub streams: usize,
    /// How many connections there are at once. More are told 503 and closed.
    pub max_connections: usize,
    /// For a client to take the next byte of an answer.
    pub write_timeout: Duration,
    /// From the order to stop until connections without a request are closed, and until a body that
    /// is still on its way is given up.
    pub stop_grace: Duration,
    /// From the order to stop until running requests are cut off.
    pub drain_timeout: Duration,
    /// What a 503 asks a client to wait; sent in whole seconds.
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
