use failover::{FailoverLayer, Policy};
use std::time::Duration;
use tower::{ServiceBuilder, service_fn};

async fn call() -> Result<(), Box<dyn std::error::Error>> {
    let service = service_fn(|id: u32| async move { Ok::<u32, std::io::Error>(id) });
    let mut service = ServiceBuilder::new()
        .layer(FailoverLayer::with_fallback(service, Policy::default()))
        .timeout(Duration::from_secs(2))
        .service(service);
    service.send(7).await?;
    Ok(())
}

fn main() {}
