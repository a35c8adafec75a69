//! The operators' side: health, metrics, and orders to the failovers, on a listener of its own.
//!
//! | request | what |
//! |---|---|
//! | `GET /livez` | the process answers |
//! | `GET /readyz`, `GET /readyz?verbose` | it can store and is not stopping |
//! | `GET /metrics` | for Prometheus |
//! | `GET /admin/failovers`, `GET /admin/failovers/{name}` | how calls are routed, and the policy |
//! | `GET /admin/failovers/{name}/events?limit=` | what happened last, the newest first |
//! | `POST /admin/failovers/{name}` | an order: force a route, release it, reset |
//! | `PUT /admin/failovers/{name}/policy` | another policy, while calls go on |
//!
//! It knows neither the providers nor the failover's crate: what is behind it is an [`Operated`],
//! which `app` makes. Who may ask is decided in `guard`, before anything is looked up.

mod accept;
mod answers;
mod guard;
mod handlers;
mod journal;
mod orders;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use serde::Serialize;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::timeout::TimeoutLayer;

use handlers::Desk;

pub use accept::serve;
pub use guard::Guard;
pub use journal::{Event, Journal, Kind};

/// What a request of `peer` passes through, the outermost layer first.
///
/// The limit of a body is in [`orders`]: before the guard it would answer strangers, and its layer
/// answers without JSON.
fn stack(
    desk: Arc<Desk>,
    peer: SocketAddr,
) -> impl Service<
    Request<Incoming>,
    Response = Response<UnsyncBoxBody<Bytes, BoxError>>,
    Error = Infallible,
    Future: Send,
> + Clone {
    ServiceBuilder::new()
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION]))
        .layer(CatchPanicLayer::custom(answers::panicked))
        .map_response(answers::explain_timeout)
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, accept::WHOLE))
        .service_fn(move |request| Arc::clone(&desk).answer(request, peer))
}

/// A server that is operated.
pub trait Operated: fmt::Debug + Send + Sync + 'static {
    /// What the server needs to be able to do its work, and whether it has it.
    fn readiness(&self) -> Vec<Check>;

    /// All metrics, as OpenMetrics text.
    ///
    /// # Errors
    /// If they can't be written.
    fn metrics(&self) -> Result<String, fmt::Error>;

    /// The failovers, in the order in which they are listed.
    fn failovers(&self) -> Vec<Arc<dyn Failover>>;
}

/// A failover that is operated.
pub trait Failover: fmt::Debug + Send + Sync {
    /// Its name in a path.
    fn name(&self) -> &str;

    /// How it is now. Changes nothing.
    fn view(&self) -> View;

    /// What happened to it lately.
    fn journal(&self) -> &Journal;

    /// Carries out an order.
    fn order(&self, order: Order);

    /// Takes another policy: these settings are replaced, the others stay. Nothing is replaced
    /// where one is refused.
    ///
    /// # Errors
    /// [`Refusal`] names the setting.
    fn amend(&self, settings: &BTreeMap<String, String>) -> Result<(), Refusal>;
}

/// One thing that readiness rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// What is wrong with it; `None` where nothing is.
    pub trouble: Option<String>,
}

/// What an operator orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All calls to the primary, until released.
    ForcePrimary,
    /// All calls to the fallback, until released.
    ForceFallback,
    /// The policy decides again, where a route was forced.
    Auto,
    /// Back to the primary with empty counts, whatever was before.
    Reset,
}

/// A policy that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The setting.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A failover at one moment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its name.
    pub name: String,
    /// How calls are routed, in one word.
    pub state: &'static str,
    /// Where a call would go: `primary` or `fallback`.
    pub route: &'static str,
    /// Who is asked there.
    pub provider: &'static str,
    /// Whether an operator forced the route.
    pub forced: bool,
    /// The primary's calls that count.
    pub window: Window,
    /// Until the timer of the state runs out; `null` where none runs.
    #[serde(rename = "revertsInSeconds", serialize_with = "seconds")]
    pub reverts_in: Option<Duration>,
    /// The number of the running epoch. Each transition begins another one.
    pub epoch: u32,
    /// The settings that hold now.
    pub policy: BTreeMap<&'static str, String>,
}

/// What a failover's window holds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// All calls.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow.
    pub slow: u64,
    /// The failures' share, from 0 to 1; `null` without calls. A figure to look at.
    pub failure_rate: Option<f64>,
}

fn seconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(to)
}
