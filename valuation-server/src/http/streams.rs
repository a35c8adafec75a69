//! Requests over HTTP/2, of which one connection can have many.
//!
//! A client pays a few bytes for a request that the server would hold at the price of its whole
//! head, for as long as the body does not come or the answer is not taken; a crowd of them would take
//! all memory. So what is kept of a head is copied out of what was read and cut to what a handler
//! looks at, before the request waits for anything. And over all connections of a listener there are
//! so many places for requests, each kept until the answer was taken: one more is told 503, and where
//! too many have not taken even that, 503 without a word.

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
    place: Option<Place>,
    turned_away: bool,
}

/// One of the places, until the answer was taken.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
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
        let (permit, turned_away) = match peer.place_for_a_stream() {
            Some(permit) => (Some(permit), false),
            None => (peer.place_for_a_refusal(), true),
        };
        let place = permit.map(|_permit| Place { _permit, peer: peer.clone(), answered_in: None });
        (lightened(request), Some(Self { place, turned_away }))
    }

    /// The answer to a request that there is no place for.
    pub(super) fn refusal(&self, target: &Uri, retry_after: Duration) -> Option<Answer> {
        self.turned_away.then(|| {
            let mut answer = Problem::unavailable(MANY, retry_after).into_response(target);
            if self.place.is_none() {
                answer.headers_mut().remove(header::CONTENT_TYPE);
                *answer.body_mut() = Full::default();
            }
            answer
        })
    }
}

/// The body of an answer, which gives its place back when it was taken.
#[derive(Debug)]
pub(super) struct Sent {
    body: Full<Bytes>,
    _place: Option<Place>,
}

impl Sent {
    pub(super) fn new(answer: Answer, stream: Option<Stream>) -> Response<Self> {
        let mut place = stream.and_then(|stream| stream.place);
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
