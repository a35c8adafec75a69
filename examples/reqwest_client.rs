//! reqwest: two servers with one API, one client, a rescue of each request that fails, and bodies that
//! break off.
//!
//! `cargo run -p examples --features reqwest --example reqwest_client`

#[path = "http_pair/server.rs"]
mod server;

use std::time::Duration;

use failover::http::HttpFailoverLayer;
use failover::{Policy, Rescue, Route};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Collected};
use reqwest::{Body, Client};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use server::{Mode, Server};

/// Requests to the server at `base`. With the types of `http`, of which reqwest makes its own, the failover
/// sees the end of a response's body too.
fn to(
    client: &Client,
    base: String,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone + use<> {
    let client = client.clone();
    service_fn(move |mut request: Request<Body>| {
        let (client, uri) = (client.clone(), format!("{base}{}", request.uri()));
        async move {
            *request.uri_mut() = uri.parse::<Uri>()?;
            Ok(client.execute(request.try_into()?).await?.into())
        }
    })
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // This workspace builds reqwest without a provider of TLS; its default features have one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (primary, fallback) = (Server::start("primary").await?, Server::start("fallback").await?);
    let base = |server: &Server| format!("http://{}", server.address());
    // reqwest's time-out is inside the failover: a call that takes too long is a failure.
    let client = Client::builder().timeout(Duration::from_secs(2)).build()?;

    // Every error is a failure, a time-out too; of the statuses 5xx, 408 and 429 are; and a body that breaks off.
    let policy = Policy::builder().minimum_calls(5).build()?;
    let layer = HttpFailoverLayer::with_fallback(to(&client, base(&fallback)), policy)
        .rescue(Rescue::safe());
    let handle = layer.handle();
    let mut greetings = layer.boxed_errors().layer(to(&client, base(&primary)));

    for (mode, what, calls) in [
        (Mode::Well, "the primary is well", 2),
        (Mode::NotFound, "it does not know what is asked for, which is an answer", 1),
        (Mode::BreaksOff, "it breaks off in the middle, too late for a rescue", 1),
        (Mode::Busy, "it is busy: each request goes to the fallback as well", 2),
        (Mode::Hangs, "it hangs, once, and is left", 2),
    ] {
        println!("-- {what} --");
        primary.set(mode);
        for _ in 0..calls {
            let request = Request::get("/greeting").body(Body::default())?;
            let response = greetings.ready().await?.call(request).await?;
            let (status, route) =
                (response.status(), response.extensions().get::<Route>().copied());
            let by = route.map_or("nobody", Route::as_str);
            match response.into_body().collect().await.map(Collected::to_bytes) {
                Ok(text) => println!("{status}, by the {by}: {}", String::from_utf8_lossy(&text)),
                Err(_) => println!("{status}, by the {by}, then the body broke off"),
            }
        }
        let snapshot = handle.snapshot();
        let (route, tally) = (snapshot.route.as_str(), snapshot.tally);
        println!("   calls go to the {route}: {} of {} failed", tally.failures, tally.calls());
    }
    Ok(())
}
