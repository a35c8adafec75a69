//! The operators' side: health, metrics, and commands to the failovers, on its own listener.
//!
//! | request | answer |
//! |---|---|
//! | `GET /`, and `/assets/…` for it | in a browser the operator's page, otherwise a list like this |
//! | `GET /page/now`, `GET /page/history` | the page's updates: each second, every ten seconds |
//! | `GET /openapi.json`, `GET /openapi` | the description of this side |
//! | `GET /livez` | the process runs |
//! | `GET /readyz`, `GET /readyz?verbose` | it can store, and is not stopping |
//! | `GET /metrics` | OpenMetrics, for Prometheus |
//! | `GET /admin/cluster` | the nodes that fail over as one, and the bus between them |
//! | `GET /admin/config` | each setting's value, where it came from, and what waits for a restart |
//! | `GET /admin/failovers`, `GET /admin/failovers/{name}` | the state, the window and the policy |
//! | `GET /admin/failovers/{name}/events?limit=` | the latest events, newest first |
//! | `POST /admin/failovers/{name}` | a command: force a route, release it, reset |
//! | `PUT /admin/failovers/{name}/policy` | changes settings of the policy |
//! | `GET /report?from=&to=&…` | the report about a service level agreement: a page, or a file |
//! | `GET /admin/valuations/{vrm}?limit=` | a vehicle's valuation, and its log rows, newest first |
//! | `DELETE /admin/valuations/{vrm}` | forgets the valuation, so that the next PUT asks again |
//! | `PUT /admin/failovers/{name}/policy?preview` | what these settings would change |
//! | `GET /login`, `POST /login`, `POST /logout` | a session, for browsers |
//!
//! It knows neither the providers nor the crate `failover`, but an [`Operated`], which `app`
//! implements. `guard` controls access, before anything is looked up.

mod accept;
mod answers;
mod body;
mod cluster;
mod commands;
mod guard;
mod guesses;
mod handlers;
mod journal;
mod login;
mod order;
mod page;
mod report;
mod sessions;
mod vehicles;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::body::UnsyncBoxBody;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionBody, CompressionLayer};
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;

use crate::web::assets::CONTENT_SECURITY_POLICY;
use crate::web::operator::{Configuration, History, Overview};
use handlers::Handlers;

pub use accept::serve;
pub use cluster::{Bus, Cluster, Fleet, GivenOrder, Node};
pub use guard::Guard;
pub use journal::{Event, Journal, Kind};
pub use order::{Executed, ForcedRoute, Instruction, Order, PolicyChange, Scope};
pub use report::{ReportFormat, ReportProblem, ReportRequest, Reporting};
pub use vehicles::{Forget, LoggedCall, Vehicle, VehicleError};

/// An answer is not to be taken for another type.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// The pages' addresses are nobody else's business. Under `no-referrer` a form has `Origin: null`, which
/// is refused.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// What a request of `peer` passes through, the outermost layer first.
///
/// The limit of a body is in [`commands`]: tower-http's layer would answer before the guard, and in
/// plain text.
fn stack(
    handlers: Arc<Handlers>,
    peer: SocketAddr,
) -> impl Service<
    Request<Incoming>,
    Response = Response<CompressionBody<UnsyncBoxBody<Bytes, BoxError>>>,
    Error = Infallible,
    Future: Send,
> + Clone {
    ServiceBuilder::new()
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetResponseHeaderLayer::overriding(
            header::CONTENT_SECURITY_POLICY,
            CONTENT_SECURITY_POLICY,
        ))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF))
        .layer(SetResponseHeaderLayer::overriding(header::REFERRER_POLICY, SAME_ORIGIN))
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::custom(answers::panicked))
        .map_response(answers::explain_timeout)
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, accept::WHOLE))
        .service_fn(move |request: Request<_>| {
            let id = request.extensions().get::<RequestId>();
            let id = id.and_then(|id| id.header_value().to_str().ok());
            let span = tracing::error_span!("request", request_id = id);
            Arc::clone(&handlers).answer(request, peer).instrument(span)
        })
}

/// What an [`Operated`] may have to wait for.
pub type Shown<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A server, as its operators see it.
pub trait Operated: fmt::Debug + Send + Sync + 'static {
    /// The checks of readiness.
    fn readiness(&self) -> Vec<Check>;

    /// What an operator should know although the server works. Does not affect readiness.
    fn warnings(&self) -> Vec<Warning>;

    /// All metrics, as OpenMetrics text.
    ///
    /// # Errors
    /// If they can't be encoded.
    fn metrics(&self) -> Shown<'_, Result<String, fmt::Error>>;

    /// The failovers, in the order of the list.
    fn failovers(&self) -> Vec<Arc<dyn Failover>>;

    /// What this server knows of its cluster; `None` without one.
    fn cluster(&self) -> Option<Cluster>;

    /// The configuration in force.
    fn configuration(&self) -> Configuration;

    /// What the operator's page shows, and may change each second.
    fn overview(&self) -> Shown<'_, Overview>;

    /// What the page shows and changes every ten seconds: one for each failover of the
    /// [overview](Self::overview), in its order.
    fn history(&self) -> Shown<'_, Vec<History>>;

    /// Makes the report about a service level agreement, by the same code as the command `report`. Reads the
    /// log off the runtime's threads.
    ///
    /// # Panics
    /// Outside a tokio runtime, when the future is polled.
    fn report(&self, request: ReportRequest) -> Reporting;

    /// What is stored about a vehicle, with its newest `calls`. The segment of a path is decoded as on the
    /// public side.
    ///
    /// # Errors
    /// [`VehicleError`] says whether another request helps.
    fn vehicle<'a>(
        &'a self,
        segment: &'a str,
        calls: u32,
    ) -> Shown<'a, Result<Vehicle, VehicleError>>;

    /// Forgets a vehicle's valuation, so that the next PUT asks a provider; the log rows stay. If there
    /// was one, it is a log line and an event with the operator's address, even if the future is dropped.
    ///
    /// # Errors
    /// As [`vehicle`](Self::vehicle). Nothing is forgotten.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    fn forget(&self, segment: &str, operator: String) -> Result<Forget, VehicleError>;
}

/// A failover, as operators see it.
pub trait Failover: fmt::Debug + Send + Sync {
    /// Its name in a path.
    fn name(&self) -> &str;

    /// The current state. Changes nothing.
    fn view(&self) -> View;

    /// Its latest events.
    fn journal(&self) -> &Journal;

    /// Whether it is part of a fleet, whose other nodes an order can be for.
    fn has_fleet(&self) -> bool;

    /// Executes a command, and records it in the log and among the events. The future is ready when the
    /// command is stored, but after a second at the latest, with a warning. The command is executed even if
    /// the future is dropped. One for the fleet is executed here, and sent to the other nodes.
    ///
    /// # Errors
    /// [`Refusal`] names what can't be sent to a fleet. Nothing is executed.
    fn execute(&self, instruction: &Instruction) -> Result<Executed, Refusal>;

    /// Changes settings of the policy: all of them, or none if one is invalid. Records it in the log and among
    /// the events. The future is ready when a change that is to be saved is, but after a second at the latest,
    /// with a warning. The change is made even if the future is dropped.
    ///
    /// # Errors
    /// [`Refusal`] names the setting.
    fn reconfigure(&self, change: &PolicyChange) -> Result<Executed, Refusal>;

    /// What [`reconfigure`](Self::reconfigure) would lead to. Changes nothing.
    ///
    /// # Errors
    /// As there.
    fn preview(&self, change: &PolicyChange) -> Result<Preview, Refusal>;
}

/// A check of readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// What is wrong; `None` if healthy.
    pub trouble: Option<String>,
}

/// Something that an operator should know although the server works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// `forced`, `notStored`, `onFallback`, `clusterBus`, `clusterDoubt`, `clientErrors`,
    /// `configRefused` or `configUnreachable`.
    pub kind: &'static str,
    /// What it is, since when, and what to do.
    pub text: String,
}

/// What other settings of a policy would lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// The settings as they would be.
    pub policy: BTreeMap<&'static str, String>,
    /// Whether the calls in the window would trip at once.
    pub would_trip: bool,
    /// Why, with the counts of the window and the thresholds.
    pub because: String,
}

/// A command of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// All calls to the primary, until released.
    ForcePrimary,
    /// All calls to the fallback, until released.
    ForceFallback,
    /// Ends a forced route: the policy decides again.
    Auto,
    /// Back to the primary, with an empty window.
    Reset,
}

/// An invalid setting of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The setting.
    pub field: String,
    /// What is wrong, and what is valid.
    pub message: String,
}

/// The state of a failover.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its name.
    pub name: String,
    /// The state, in one word.
    pub state: &'static str,
    /// The route of the next call: `primary` or `fallback`.
    pub route: &'static str,
    /// The provider of that route.
    pub provider: &'static str,
    /// Whether an operator forced the route.
    pub forced: bool,
    /// The order that forced it; `null` if none did.
    pub order: Option<Order>,
    /// The primary's window.
    pub window: Window,
    /// Until the end of the state; `null` if it has none.
    #[serde(rename = "revertsInSeconds", serialize_with = "seconds")]
    pub reverts_in: Option<Duration>,
    /// The number of the epoch. Each transition begins the next one.
    pub epoch: u32,
    /// The settings in force.
    pub policy: BTreeMap<&'static str, String>,
}

/// The counts of a failover's window.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// All calls.
    pub calls: u64,
    /// Failed calls.
    pub failures: u64,
    /// Slow calls.
    pub slow: u64,
    /// The share of failures, from 0 to 1; `null` without calls. For display.
    pub failure_rate: Option<f64>,
}

fn seconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(to)
}

/// The raw value of a query's parameter.
fn parameter<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
