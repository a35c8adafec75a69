//! Two HTTP servers on loopback: time-outs inside the layer, `Retry-After`, and responses that
//! break off.
//!
//! `cargo run -p examples --features http --example http_pair`

#[path = "http_pair/server.rs"]
mod server;

use failover::policy::RetryAfter;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use failover::clock::ManualClock;
use failover::http::HttpFailoverLayer;
use failover::{FailoverHandle, Monitor, Policy, Route};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer, Service, ServiceExt};

use server::{Mode, Server};

/// Far longer than loopback needs; one call below waits for it.
const TIME_OUT: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (primary, fallback) = (Server::start("primary").await?, Server::start("fallback").await?);
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let at = |address: SocketAddr| {
        // The caller sets the path, this sets the server.
        client.clone().map_request(move |request| to(address, request)).map_err(BoxError::from)
    };

    // Follow the server's `Retry-After`, from one second to ten minutes.
    let policy = Policy::builder()
        .minimum_calls(4)
        .retry_after(RetryAfter::between(Duration::from_secs(1), Duration::from_secs(600)))
        .build()?;
    let clock = ManualClock::new();
    let monitor = Monitor::with_clock(policy, clock.clone());
    // The time-out is inside the layer, around the primary. Outside, a call that times out would be
    // a dropped call, which is neutral.
    let timed = TimeoutLayer::new(TIME_OUT).layer(at(primary.address()));
    let layer = HttpFailoverLayer::with_monitor(at(fallback.address()), monitor);
    let handle = layer.handle();
    let mut service = layer.layer(timed);

    for (mode, what, calls) in [
        (Mode::Well, "the primary is well", 2),
        (Mode::NotFound, "it does not know what is asked for, which is an answer", 1),
        (Mode::BreaksOff, "it breaks off in the middle of its answers", 2),
        (Mode::Hangs, "it hangs, once", 1),
        (Mode::Busy, "it is busy, and says for how long", 2),
    ] {
        println!("-- {what} --");
        primary.set(mode);
        for _ in 0..calls {
            println!("{}", ask(&mut service).await);
        }
        show(&handle);
    }

    primary.set(Mode::Well);
    println!("-- the time that it asked for --");
    clock.advance(Duration::from_secs(119));
    println!("{}", ask(&mut service).await);
    clock.advance(Duration::from_secs(1));
    println!("{}", ask(&mut service).await);
    show(&handle);
    Ok(())
}

fn to(address: SocketAddr, mut request: Request<Empty<Bytes>>) -> Request<Empty<Bytes>> {
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Authority::try_from(address.to_string()).ok();
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).expect("a scheme, an authority and a path");
    request
}

/// Makes one call, reads its body to the end, and describes the result.
async fn ask<S, B>(service: &mut S) -> String
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Display,
    B: http_body::Body,
{
    let request = Request::get("/greeting").body(Empty::new()).expect("a good request");
    let answer = async { service.ready().await?.call(request).await };
    match answer.await {
        Ok(response) => {
            let (status, route) =
                (response.status(), response.extensions().get::<Route>().copied());
            let route = route.map_or("?", Route::as_str);
            match response.into_body().collect().await {
                Ok(body) => {
                    let text = body.to_bytes();
                    format!("{status} from the {route}: {}", String::from_utf8_lossy(&text))
                }
                Err(_) => format!("{status} from the {route}, and then it broke off"),
            }
        }
        Err(error) => format!("no answer: {error:#}"),
    }
}

fn show(handle: &FailoverHandle) {
    let snapshot = handle.snapshot();
    let (tally, route) = (snapshot.tally, snapshot.route.as_str());
    match snapshot.reverts_in {
        Some(time) => println!("   calls go to the {route} for {time:?}"),
        None => {
            println!("   calls go to the {route}: {} of {} failed", tally.failures, tally.calls());
        }
    }
}
