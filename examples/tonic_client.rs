//! A gRPC client over two channels of tonic: `grpc-status` decides, and a code that answers the call is
//! not a failure.
//!
//! The service is gRPC's health check, whose messages are predefined. Both servers run in this process,
//! on loopback.
//!
//! `cargo run -p examples --features tonic --example tonic_client`

use std::error::Error;
use std::time::Duration;

use failover::http::HttpFailover;
use failover::{FailoverHandle, Policy};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Two channels behind one client of the generated type.
struct Prices {
    client: HealthClient<HttpFailover<Channel, Channel>>,
    handle: FailoverHandle,
}

impl Prices {
    fn new(primary: Channel, fallback: Channel, policy: Policy) -> Self {
        let failover = HttpFailover::grpc(primary, fallback, policy);
        Self { handle: failover.handle(), client: HealthClient::new(failover) }
    }

    async fn check(&mut self, service: &str) -> Result<&'static str, Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let response = self.client.check(request).await?;
        Ok(response.into_inner().status().as_str_name())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (primary, fallback) = (Running::start().await?, Running::start().await?);
    let policy = Policy::builder().minimum_calls(5).build()?;
    let mut prices = Prices::new(primary.channel()?, fallback.channel()?, policy);

    show(&mut prices, "prices", 2).await;
    println!("-- a service that nobody knows: NOT_FOUND is an answer --");
    show(&mut prices, "weather", 2).await;
    println!("-- the primary is stopped --");
    primary.stop().await?;
    show(&mut prices, "prices", 5).await;
    println!("-- and left --");
    show(&mut prices, "prices", 2).await;
    fallback.stop().await
}

async fn show(prices: &mut Prices, service: &str, calls: u32) {
    for _ in 0..calls {
        match prices.check(service).await {
            Ok(status) => println!("{status}"),
            Err(status) if status.code() == Code::NotFound => println!("NOT_FOUND"),
            Err(_) => println!("no answer"),
        }
    }
    let snapshot = prices.handle.snapshot();
    let (route, tally) = (snapshot.route.as_str(), snapshot.tally);
    println!("   calls go to the {route}: {} of {} failed", tally.failures, tally.calls());
}

/// A server that knows one service, on a free port.
struct Running {
    endpoint: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    async fn start() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("prices", ServingStatus::Serving).await;
        let (stop, stopped) = oneshot::channel();
        let server = Server::builder().add_service(health).serve_with_incoming_shutdown(
            TcpIncoming::from(listener),
            async {
                // An error, since the sender is dropped.
                let _ = stopped.await;
            },
        );
        Ok(Self { endpoint, stop, server: tokio::spawn(server) })
    }

    /// With a time limit inside the failover, where a call that takes too long is a failure.
    fn channel(&self) -> Result<Channel, Box<dyn Error>> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone())?;
        Ok(endpoint.timeout(Duration::from_secs(5)).connect_lazy())
    }

    async fn stop(self) -> Result<(), Box<dyn Error>> {
        let Self { stop, server, .. } = self;
        drop(stop);
        Ok(server.await??)
    }
}
