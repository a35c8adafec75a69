//! The layer inside axum: a handler as the fallback of a router's routes, and an operator's page.
//!
//! `cargo run -p examples --features axum --example axum_app`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, Request, StatusCode};
use axum::routing::{get, post};
use failover::http::HttpFailoverLayer;
use failover::{FailoverHandle, Policy, Route};
use http_body_util::{BodyExt, Collected};
use tower::Service;

/// The current price, from a source that may fail.
async fn fresh(
    State(broken): State<Arc<AtomicBool>>,
    Path(item): Path<String>,
) -> Result<String, StatusCode> {
    match broken.load(Ordering::Relaxed) {
        true => Err(StatusCode::BAD_GATEWAY),
        false => Ok(format!("{item} costs 5.20, as of now\n")),
    }
}

/// This morning's price, always available. As a handler it gets the path that the router has matched;
/// a second router would match it again, and add its own parameters.
async fn old(Path(item): Path<String>) -> String {
    format!("{item} cost 5.10 this morning\n")
}

/// `GET` shows the route; `POST` reverts to the primary.
fn operator(handle: FailoverHandle) -> Router {
    Router::new()
        .route(
            "/route",
            get(async |State(handle): State<FailoverHandle>| handle.snapshot().route.as_str()),
        )
        .route("/route/reset", post(async |State(handle): State<FailoverHandle>| handle.reset()))
        .with_state(handle)
}

fn app(broken: Arc<AtomicBool>) -> Result<Router, failover::policy::PolicyError> {
    let policy = Policy::builder().minimum_calls(3).build()?;
    let layer = HttpFailoverLayer::with_fallback(get(old), policy).named("prices");
    let operator = operator(layer.handle());
    let prices = Router::new().route("/prices/{item}", get(fresh)).with_state(broken);
    // `route_service` and `fallback_service` take a service whose error is `Infallible`; for them:
    // `ServiceExt::<Request<Body>>::map_err(layer.layer(primary), Infallible::from)`.
    Ok(prices.layer(layer).merge(operator))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broken = Arc::new(AtomicBool::new(false));
    // A program would continue with `axum::serve(listener, app)`; here the app is called directly.
    let mut app = app(Arc::clone(&broken))?;
    show(&mut app, Method::GET, "/prices/tea").await;
    broken.store(true, Ordering::Relaxed);
    for _ in 0..4 {
        show(&mut app, Method::GET, "/prices/tea").await;
    }
    show(&mut app, Method::GET, "/route").await;
    broken.store(false, Ordering::Relaxed);
    show(&mut app, Method::POST, "/route/reset").await;
    show(&mut app, Method::GET, "/prices/tea").await;
    show(&mut app, Method::GET, "/nothing").await;
    Ok(())
}

async fn show(app: &mut Router, method: Method, path: &str) {
    print!("{method} {path}: ");
    let request = Request::builder().method(method).uri(path).body(Body::empty());
    let Ok(response) = app.call(request.expect("a good request")).await;
    let mut line = response.status().to_string();
    if let Some(route) = response.extensions().get::<Route>() {
        line += &format!(", by the {}", route.as_str());
    }
    let body = response.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    if !body.is_empty() {
        line += &format!(": {}", String::from_utf8_lossy(&body).trim_end());
    }
    println!("{line}");
}
