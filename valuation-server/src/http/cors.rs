//! Front ends on other origins (`--allow-origin`), by tower-http's layer.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::Either;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_http::cors::CorsLayer;

use super::problem::{Answer, Problem};
use super::trace::{TRACEPARENT, X_REQUEST_ID};

/// How long a browser may keep the answer to a preflight request.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The layer for these origins; `None` for none.
pub(super) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::HEAD, Method::PUT])
        .allow_headers([header::CONTENT_TYPE, header::IF_NONE_MATCH, X_REQUEST_ID, TRACEPARENT])
        .expose_headers([header::ETAG, header::RETRY_AFTER, X_REQUEST_ID])
        .max_age(MAX_AGE);
    Some(layer)
}

/// Passes a request through the layer, which answers every `OPTIONS` itself: so only a preflight may
/// reach it, and no request that is rejected already, whose answer closes the connection.
pub(super) fn answer<B, S, F>(
    cors: Option<&CorsLayer>,
    request: Request<B>,
    service: S,
) -> impl Future<Output = Result<Answer, Infallible>> + Send + use<B, S, F>
where
    B: Send,
    S: FnMut(Request<B>) -> F + Send,
    F: Future<Output = Result<Answer, Infallible>> + Send,
{
    let mut service = service_fn(service);
    let is_preflight = || request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_plain_options = request.method() == Method::OPTIONS && !is_preflight();
    let is_rejected = request.extensions().get::<Problem>().is_some();
    match cors {
        Some(cors) if !is_rejected && !is_plain_options => {
            Either::Left(cors.layer(service).oneshot(request))
        }
        _ => Either::Right(service.call(request)),
    }
}
