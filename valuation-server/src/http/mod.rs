//! The public side: HTTP/1.1 and HTTP/2 (by prior knowledge) on one port.
//!
//! It knows a [`Valuer`](crate::valuer::Valuer), the domain and the customer's page. `accept` runs the connections of a
//! listener, and `strict` what is below a request: sockets, framing, quotas. A request is checked in
//! this order:
//!
//! 0. its head: an ambiguous one is rejected (400), and the connection closed;
//! 1. the route (404), then the method (405);
//! 2. the VRM in the path (400);
//! 3. the content type of a body (415), its length (413), its time (408);
//! 4. the body's content (400);
//! 5. the valuer's result.

mod accept;
mod body;
mod cors;
mod etag;
mod handlers;
mod limits;
mod live_options;
mod pages;
mod problem;
pub mod router;
mod strict;
mod trace;
mod traffic;
pub mod wire;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, header};
use tower::{Service, ServiceBuilder};
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

use handlers::Session;
use problem::Answer;

pub use accept::{Stopped, serve};
pub use limits::Limits;
pub use live_options::LiveOptions;
pub use traffic::{Labels, Traffic, Watch};

/// How the public side serves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The limits on clients.
    pub limits: Limits,
    /// How requests are observed.
    pub watch: Watch,
    /// The other origins whose front ends may read answers, such as `https://cars.example`.
    pub allow_origins: Vec<HeaderValue>,
}

/// What a request passes through, the outermost layer first.
///
/// Three of tower-http's layers would change what clients or operators see:
///
/// - panics: `CatchPanic` tells its handler neither the ids nor the path, which are in the log line
///   and in the answer, so the handlers use futures-util's `catch_unwind`;
/// - body limit: it would answer before the path and the type are checked (see `body`);
/// - time-out: a PUT may take as long as its providers' deadlines. Only a body has a deadline, and a
///   timer only while it is incomplete; a timer for each request costs 3 % of a GET.
///
/// `docs/speed.md` has the price of each layer.
fn stack(
    session: Session,
) -> impl Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send> + Clone {
    let session = Arc::new(session);
    ServiceBuilder::new()
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
        .map_request(trace::identify)
        .layer(SetRequestIdLayer::x_request_id(trace::FromTrace))
        .layer(PropagateRequestIdLayer::x_request_id())
        .service_fn(move |request| {
            let (session, in_use) = (Arc::clone(&session), session.live.load());
            let access_log = in_use.options.watch.access_log;
            cors::answer(in_use.cors.as_ref(), request, move |request| {
                Arc::clone(&session).answer(request, access_log)
            })
        })
}
