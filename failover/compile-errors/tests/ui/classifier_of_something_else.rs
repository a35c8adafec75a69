use failover::{FailoverLayer, Policy};
use tower::{Layer, service_fn};

#[derive(Clone)]
struct ServerErrors;

async fn call() -> Result<(), Box<dyn std::error::Error>> {
    let service = service_fn(|id: u32| async move { Ok::<u32, std::io::Error>(id) });
    let layer = FailoverLayer::with_fallback(service, Policy::default()).classify(ServerErrors);
    layer.layer(service).send(7).await?;
    Ok(())
}

fn main() {}
