//! Counts requests by route, method and status.
//!
//! A request costs two clock readings and four additions; its series is computed, not looked up. The
//! path is not a label: its values are unbounded, and a VRM is personal data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hyper::{Method, StatusCode};

use super::router::Resource;
use crate::histogram::{Histogram, Reading};

/// The upper bounds of the buckets, in nanoseconds: from an answer out of memory to a PUT that waited
/// for both providers.
const BOUNDS: [u64; 14] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

const ROUTES: [&str; 4] = ["/", "/valuations/{vrm}", "*", "unmatched"];
/// The last one stands for all others.
const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "OPTIONS", "POST", "_OTHER"];
/// The last one stands for all others.
const STATUSES: [u16; 18] =
    [200, 204, 304, 400, 404, 405, 408, 411, 413, 414, 415, 421, 429, 431, 500, 502, 503, 0];

/// What is recorded about requests.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The counts.
    pub traffic: Arc<Traffic>,
    /// Whether each request leaves a line in the log, with the target `access`.
    pub access_log: bool,
}

/// The counts of all requests of a server.
#[derive(Debug)]
pub struct Traffic {
    connections: AtomicU64,
    refused_connections: AtomicU64,
    refused_requests: AtomicU64,
    active: AtomicU64,
    abandoned: AtomicU64,
    durations: Box<[Histogram<14>]>,
}

/// One series of the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The route's template, or `unmatched`.
    pub route: &'static str,
    /// The method, or `_OTHER`.
    pub method: &'static str,
    /// The status; 0 stands for all others.
    pub status: u16,
    /// How long the answers took, in nanoseconds.
    pub durations: Reading,
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Connected(Arc<Traffic>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is being answered. Dropped unanswered, it counts as abandoned.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    traffic: &'a Traffic,
    started: Instant,
    answered: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        let series = ROUTES.len() * METHODS.len() * STATUSES.len();
        Self {
            connections: AtomicU64::new(0),
            refused_connections: AtomicU64::new(0),
            refused_requests: AtomicU64::new(0),
            active: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            durations: (0..series).map(|_| Histogram::new(&BOUNDS)).collect(),
        }
    }
}

impl Traffic {
    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> u64 {
        // Ordering: Relaxed, here and below. Each counter stands for itself.
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections were rejected because a limit was reached: of connections, of HTTP/2
    /// connections, or of incomplete large heads.
    #[must_use]
    pub fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Ordering::Relaxed)
    }

    /// How many requests were rejected before any handler: not HTTP/1.1, ambiguous, too large a head,
    /// or over the limit of streams. They are part of no series. Breaches of the HTTP/2 protocol are
    /// not counted.
    #[must_use]
    pub fn refused_requests(&self) -> u64 {
        self.refused_requests.load(Ordering::Relaxed)
    }

    /// How many requests are being answered.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// How many requests were dropped by their clients before the answer.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Every series that has counted something.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        let mut all = self.durations.iter();
        let mut seen = Vec::new();
        for route in ROUTES {
            for method in METHODS {
                for (status, histogram) in STATUSES.into_iter().zip(&mut all) {
                    let durations = histogram.read();
                    if durations.count() > 0 {
                        seen.push(Series { route, method, status, durations });
                    }
                }
            }
        }
        seen
    }

    /// Counts a connection as open until it is dropped.
    pub(super) fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    pub(super) fn connection_refused(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn request_refused(&self) {
        self.refused_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn begin(&self) -> Exchange<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        Exchange { traffic: self, started: Instant::now(), answered: false }
    }
}

impl Exchange<'_> {
    /// Counts the answer, and returns the time it took.
    pub(super) fn end(
        mut self,
        resource: Option<Resource<'_>>,
        method: &Method,
        status: StatusCode,
    ) -> std::time::Duration {
        self.answered = true;
        let took = self.started.elapsed();
        let place = (route(resource) * METHODS.len() + position(method)) * STATUSES.len();
        let status = status.as_u16();
        let at = STATUSES.iter().position(|&known| known == status).unwrap_or(STATUSES.len() - 1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.traffic.durations[place + at].add(nanos);
        took
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.traffic.active.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.traffic.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The place in [`ROUTES`].
fn route(resource: Option<Resource<'_>>) -> usize {
    match resource {
        Some(Resource::Home) => 0,
        Some(Resource::Valuation(_)) => 1,
        Some(Resource::Server) => 2,
        None => 3,
    }
}

/// The place in [`METHODS`].
fn position(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::PUT => 2,
        Method::OPTIONS => 3,
        Method::POST => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_where_it_belongs() {
        let traffic = Traffic::default();
        let cases = [
            (Some(Resource::Home), Method::GET, 200, ("/", "GET", 200)),
            (Some(Resource::Valuation("A")), Method::PUT, 503, ("/valuations/{vrm}", "PUT", 503)),
            (Some(Resource::Server), Method::OPTIONS, 204, ("*", "OPTIONS", 204)),
            (None, Method::TRACE, 418, ("unmatched", "_OTHER", 0)),
        ];
        for (resource, method, status, _) in &cases {
            traffic.begin().end(*resource, method, StatusCode::from_u16(*status).unwrap());
        }
        let seen: Vec<_> = traffic.series().iter().map(|s| (s.route, s.method, s.status)).collect();
        assert_eq!(seen, cases.map(|(.., expected)| expected));
        assert!(traffic.series().iter().all(|series| series.durations.count() == 1));
        assert_eq!((traffic.active(), traffic.abandoned()), (0, 0));
    }

    #[test]
    fn a_request_that_is_dropped_unanswered_is_abandoned() {
        let traffic = Traffic::default();
        let exchange = traffic.begin();
        assert_eq!(traffic.active(), 1);
        drop(exchange);
        assert_eq!((traffic.active(), traffic.abandoned()), (0, 1));
        assert_eq!(traffic.series(), []);
    }
}
