//! Requests over HTTP/2, of which one connection can have many.
//!
//! A client pays a few bytes for a request that the server would hold at the price of its whole
//! head, for as long as the body does not come or the answer is not taken; a crowd of them would take
//! all memory. So what is kept of a head is copied out of what was read and cut to what a handler
//! looks at, before the request waits for anything. And over all connections of a listener there are
//! so many places for requests, each kept until the answer was taken: one more is told 503. How many
//! of those refusals wait to be taken is bounded by the connections and by the streams of each, and for
//! how long by the deadline for taking an answer.
//!
//! The library refuses a larger head by itself, and without a body: so it is given a larger limit than
//! the one that holds, which is looked at here.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri, Version};
use tokio::sync::OwnedSemaphorePermit;

use super::Answer;
use super::connection::{HEAD_BYTES, HEADERS};
use super::peer::Peer;
use super::problem::Problem;
use super::trace::{TRACEPARENT, X_REQUEST_ID};

/// The headers that a handler looks at.
const KEPT: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::IF_NONE_MATCH,
    TRACEPARENT,
    X_REQUEST_ID,
];
/// How many values of one header are kept: that there is more than one can still be told.
const VALUES: usize = 2;
/// The longest value, target and method that are kept. No longer one is taken by any handler, or
/// shown to a client again.
const LONGEST: usize = 1024;

const MANY: &str = "Too many requests are under way over HTTP/2; try again later";

/// Where a request over HTTP/2 stands with the places for them.
#[derive(Debug)]
pub(super) struct Stream {
    place: Place,
    refused: Option<Refused>,
}

/// Why a request is answered by no handler.
#[derive(Clone, Copy, Debug)]
enum Refused {
    Crowded,
    LargeHead,
}

/// An answer that is to be taken, and one of the places for requests until then.
#[derive(Debug)]
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    peer: Peer,
    /// Since when the answer waits to be taken.
    answered_in: Option<usize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(era) = self.answered_in {
            self.peer.taken(era);
        }
    }
}

impl Stream {
    /// Takes in a request as it comes from the connection. One of HTTP/1 is passed on as it is: its
    /// connection has no other.
    pub(super) fn of(request: Request<Incoming>, peer: &Peer) -> (Request<Incoming>, Option<Self>) {
        if request.version() < Version::HTTP_2 {
            return (request, None);
        }
        let permit = peer.place_for_a_stream();
        let refused = match permit {
            None => Some(Refused::Crowded),
            Some(_) if is_large(&request) => Some(Refused::LargeHead),
            Some(_) => None,
        };
        let place = Place { _permit: permit, peer: peer.clone(), answered_in: None };
        (lightened(request), Some(Self { place, refused }))
    }

    /// The answer to a request that is not taken.
    pub(super) fn refusal(&self, retry_after: Duration) -> Option<Problem> {
        self.refused.map(|refused| match refused {
            Refused::Crowded => Problem::unavailable(MANY, retry_after),
            Refused::LargeHead => Problem::head_too_large(),
        })
    }
}

/// Whether a head is larger than one over HTTP/1.1 may be. Counted as RFC 9113, section 6.5.2 does.
fn is_large(request: &Request<Incoming>) -> bool {
    const FIELD: usize = 32;
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    let bytes = fields.map(|field| field + FIELD).sum::<usize>() + target;
    bytes > usize::from(HEAD_BYTES) || request.headers().len() > HEADERS
}

/// The body of an answer, which gives its place back when it was taken.
#[derive(Debug)]
pub(super) struct Sent {
    body: Full<Bytes>,
    _place: Option<Place>,
}

impl Sent {
    pub(super) fn new(answer: Answer, stream: Option<Stream>) -> Response<Self> {
        let mut place = stream.map(|stream| stream.place);
        if let Some(place) = &mut place {
            place.answered_in = Some(place.peer.answered());
        }
        answer.map(|body| Self { body, _place: place })
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request with a head of its own, and no more in it than a handler looks at: a short piece of
/// what was read would keep all that was read with it.
fn lightened(request: Request<Incoming>) -> Request<Incoming> {
    let (parts, body) = request.into_parts();
    let mut light = Request::new(body);
    *light.version_mut() = parts.version;
    *light.method_mut() = method(parts.method);
    *light.uri_mut() = target(&parts.uri);
    let headers = light.headers_mut();
    for name in KEPT {
        for value in parts.headers.get_all(&name).iter().take(VALUES) {
            headers.append(&name, copied(value));
        }
    }
    light
}

fn method(method: Method) -> Method {
    let text = method.as_str().as_bytes();
    match text.get(..LONGEST) {
        Some(start) => Method::from_bytes(start).unwrap_or_default(),
        None => method,
    }
}

/// Path and query, from which no answer shows more than their beginning.
fn target(uri: &Uri) -> Uri {
    let text = uri.path_and_query().map_or("/", |target| target.as_str());
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    Uri::try_from(&text[..end.unwrap_or_default()]).unwrap_or_default()
}

fn copied(value: &HeaderValue) -> HeaderValue {
    let bytes = value.as_bytes();
    // An empty one is a value still, and nothing that could be taken.
    let kept = if bytes.len() > LONGEST { &[] } else { bytes };
    HeaderValue::from_bytes(kept).unwrap_or_else(|_| HeaderValue::from_static(""))
}
