use failover::{FailoverLayer, Policy, Rescue};
use tower::{Layer, service_fn};

struct Request;

async fn call() -> Result<(), Box<dyn std::error::Error>> {
    let service = service_fn(|_: Request| async { Ok::<u32, std::io::Error>(7) });
    let layer = FailoverLayer::with_fallback(service, Policy::default()).rescue(Rescue::cloning());
    layer.layer(service).send(Request).await?;
    Ok(())
}

fn main() {}
