//! The layer under a tonic client: `grpc-status` decides, and a code that answers the call is not a
//! failure.
//!
//! The service is gRPC's health check, whose messages are predefined. Both servers are in this
//! process; tonic channels could replace them.
//!
//! `cargo run -p examples --features tonic --example tonic_client`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failover::http::{GrpcErrorsAsFailures, HttpClassify, HttpFailoverLayer};
use failover::policy::PolicyError;
use failover::{FailoverHandle, Policy};
use tonic::body::Body;
use tonic::{Request, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt, service_fn};

type Grpc = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// A server that knows one service, and is unavailable while it is broken.
async fn server(knows: &'static str, broken: Arc<AtomicBool>) -> Grpc {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(knows, ServingStatus::Serving).await;
    let service = service_fn(move |request: http::Request<Body>| {
        let (broken, health) = (broken.load(Ordering::Relaxed), health.clone());
        async move {
            match broken {
                // A status of 200, with the failure in `grpc-status`.
                true => Ok(Status::unavailable("restarting").into_http()),
                false => health.oneshot(request).await.map_err(BoxError::from),
            }
        }
    });
    BoxCloneSyncService::new(service)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), PolicyError> {
    let broken = Arc::new(AtomicBool::new(false));
    let primary = server("prices", Arc::clone(&broken)).await;
    let fallback = server("prices", Arc::default()).await;
    let layer =
        HttpFailoverLayer::with_fallback(fallback, Policy::builder().minimum_calls(5).build()?)
            .classify(HttpClassify::new().grpc(GrpcErrorsAsFailures::default()));
    let handle = layer.handle();
    // These services' errors are boxed. tonic finds a `Status` in the chain of the failover's error.
    let service = layer.layer(primary).map_err(failover::Error::into_boxed);
    let mut client = HealthClient::new(service);

    let mut ask = async |service: &str, times: u32| {
        for _ in 0..times {
            let service = service.to_owned();
            match client.check(Request::new(HealthCheckRequest { service })).await {
                Ok(answer) => println!("{}", answer.into_inner().status().as_str_name()),
                Err(status) => println!("{:?}: {}", status.code(), status.message()),
            }
        }
        show(&handle);
    };
    ask("prices", 2).await;
    println!("-- a service that nobody knows: NOT_FOUND is an answer --");
    ask("weather", 2).await;
    println!("-- the primary is broken --");
    broken.store(true, Ordering::Relaxed);
    ask("prices", 5).await;
    println!("-- and left --");
    ask("prices", 2).await;
    Ok(())
}

fn show(handle: &FailoverHandle) {
    let (route, tally) = (handle.snapshot().route.as_str(), handle.snapshot().tally);
    println!("   calls go to the {route}: {} of {} failed", tally.failures, tally.calls());
}
