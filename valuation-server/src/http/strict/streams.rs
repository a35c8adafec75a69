//! Requests over HTTP/2, of which one connection can have many.
//!
//! A request costs a client a few bytes, and the server its whole head for as long as the body is
//! incomplete or the answer unread. Two bounds:
//!
//! - a head is copied out of the read buffer and reduced to what a handler uses, before the request
//!   waits for anything;
//! - the streams of all connections share a quota, and hold their permit until the client has read
//!   the answer. A stream without a permit is answered 503. The number of those answers is bounded by
//!   the connections and the streams of each, their age by the write timeout.
//!
//! hyper rejects a larger head itself, without a body. So it is given twice the limit, and the limit
//! is checked here.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use tokio::sync::OwnedSemaphorePermit;

use super::state::ConnectionState;
use crate::http::problem::{Answer, Problem};
use crate::http::trace::{TRACEPARENT, X_REQUEST_ID};

/// The longest head of a request, in bytes, over either protocol: 431 above it.
pub(super) const HEAD_BYTES: u16 = 16 * 1024;
/// The most headers of a request, which is hyper's own limit over HTTP/1.1.
const HEADERS: usize = 100;

/// The headers that a handler uses.
const KEPT: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::IF_NONE_MATCH,
    TRACEPARENT,
    X_REQUEST_ID,
];
/// How many values of one header are kept: two show that it was repeated.
const VALUES: usize = 2;
/// The longest value, target and method that are kept. No handler accepts a longer one, and no answer
/// repeats one.
const LONGEST: usize = 1024;

const MANY: &str = "Too many requests are under way over HTTP/2; try again later";

/// Takes a permit for a request, reduces its head, and checks it.
pub(super) fn admit(
    request: Request<Incoming>,
    connection: &ConnectionState,
) -> (Request<Incoming>, StreamGuard, Result<(), Problem>) {
    let permit = connection.stream();
    let checked = match &permit {
        None => Err(Problem::unavailable(MANY)),
        Some(_) if is_large(&request) => Err(Problem::head_too_large()),
        Some(_) => Ok(()),
    };
    let connection = connection.clone();
    let guard = StreamGuard { _permit: permit, connection, answered_in: None };
    (reduced(request), guard, checked)
}

/// Dropped once the client has read the answer, or reset the stream.
#[derive(Debug)]
pub(super) struct StreamGuard {
    _permit: Option<OwnedSemaphorePermit>,
    connection: ConnectionState,
    /// The period of the answer, once there is one.
    answered_in: Option<usize>,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        if let Some(period) = self.answered_in {
            self.connection.answer_read(period);
        }
    }
}

/// Whether a head exceeds the limits of HTTP/1.1, counted as in RFC 9113, section 6.5.2.
fn is_large(request: &Request<Incoming>) -> bool {
    const FIELD: usize = 32;
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len());
    let bytes = fields.map(|field| field + FIELD).sum::<usize>() + target;
    bytes > usize::from(HEAD_BYTES) || request.headers().len() > HEADERS
}

/// The body of an answer, with the guard of its stream.
#[derive(Debug)]
pub(super) struct GuardedBody {
    body: Full<Bytes>,
    _guard: Option<StreamGuard>,
}

impl GuardedBody {
    pub(super) fn wrap(answer: Answer, mut guard: Option<StreamGuard>) -> Response<Self> {
        if let Some(guard) = &mut guard {
            guard.answered_in = Some(guard.connection.answered());
        }
        answer.map(|body| Self { body, _guard: guard })
    }
}

impl Body for GuardedBody {
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

/// The request with a copied head of what a handler uses: a slice of the read buffer would keep the
/// whole buffer.
fn reduced(request: Request<Incoming>) -> Request<Incoming> {
    let (parts, body) = request.into_parts();
    let mut reduced = Request::new(body);
    *reduced.version_mut() = parts.version;
    *reduced.method_mut() = method(parts.method);
    *reduced.uri_mut() = target(&parts.uri);
    let headers = reduced.headers_mut();
    for name in KEPT {
        for value in parts.headers.get_all(&name).iter().take(VALUES) {
            headers.append(&name, copied(value));
        }
    }
    reduced
}

fn method(method: Method) -> Method {
    let text = method.as_str().as_bytes();
    match text.get(..LONGEST) {
        Some(start) => Method::from_bytes(start).unwrap_or_default(),
        None => method,
    }
}

/// Path and query, cut to what an answer may repeat.
fn target(uri: &Uri) -> Uri {
    let text = uri.path_and_query().map_or("/", |target| target.as_str());
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    Uri::try_from(&text[..end.unwrap_or_default()]).unwrap_or_default()
}

fn copied(value: &HeaderValue) -> HeaderValue {
    let bytes = value.as_bytes();
    // An empty value is present, and accepted nowhere.
    let kept = if bytes.len() > LONGEST { &[] } else { bytes };
    HeaderValue::from_bytes(kept).unwrap_or_else(|_| HeaderValue::from_static(""))
}
