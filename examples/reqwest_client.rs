//! reqwest: two servers with one API, one client, and a rescue of each request that fails.
//!
//! `cargo run -p examples --features reqwest --example reqwest_client`

#[path = "http_pair/server.rs"]
mod server;

use std::time::Duration;

use failover::http::{ServerErrorsAsFailures, retry_after};
use failover::{FailoverLayer, Outcome, Policy, Rescue};
use reqwest::{Client, Response};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

use server::{Mode, Server};

/// `GET` below a base URL. The path is the request: it can be cloned, and so rescued.
fn get(
    client: &Client,
    base: String,
) -> impl Service<&'static str, Response = Response, Error = reqwest::Error> + Clone + use<> {
    let client = client.clone();
    service_fn(move |path: &'static str| client.get(format!("{base}{path}")).send())
}

/// Every error is a failure, a time-out too; of the statuses 5xx, 408 and 429 are.
fn classify(result: &reqwest::Result<Response>) -> Outcome {
    let Ok(response) = result else { return Outcome::Failure };
    match ServerErrorsAsFailures::outcome(response.status()) {
        Outcome::Failure => {
            retry_after(response.headers()).map_or(Outcome::Failure, Outcome::RetryAfter)
        }
        outcome => outcome,
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // This workspace builds reqwest without a provider of TLS; its default features have one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (primary, fallback) = (Server::start("primary").await?, Server::start("fallback").await?);
    let base = |server: &Server| format!("http://{}", server.address());
    // reqwest's time-out is inside the failover: a call that takes too long is a failure.
    let client = Client::builder().timeout(Duration::from_secs(2)).build()?;

    let policy = Policy::builder().minimum_calls(5).build()?;
    let layer = FailoverLayer::with_fallback(get(&client, base(&fallback)), policy)
        .classify(classify)
        .rescue(Rescue::cloning());
    let handle = layer.handle();
    let mut greetings = layer.layer(get(&client, base(&primary)));

    for (mode, what, calls) in [
        (Mode::Well, "the primary is well", 2),
        (Mode::NotFound, "it does not know what is asked for, which is an answer", 1),
        (Mode::Busy, "it is busy: each request goes to the fallback as well", 3),
        (Mode::Hangs, "it hangs, once, and is left", 2),
    ] {
        println!("-- {what} --");
        primary.set(mode);
        for _ in 0..calls {
            let response = greetings.ready().await?.call("/greeting").await?;
            println!("{}: {}", response.status(), response.text().await?);
        }
        let snapshot = handle.snapshot();
        let (route, tally) = (snapshot.route.as_str(), snapshot.tally);
        println!("   calls go to the {route}: {} of {} failed", tally.failures, tally.calls());
    }
    Ok(())
}
