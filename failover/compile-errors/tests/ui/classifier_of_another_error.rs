use failover::{FailoverLayer, Outcome, Policy};
use tower::{Layer, service_fn};

async fn call() -> Result<(), Box<dyn std::error::Error>> {
    let service = service_fn(|id: u32| async move { Ok::<u32, std::io::Error>(id) });
    let classify = |result: &Result<u32, std::fmt::Error>| match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure,
    };
    let layer = FailoverLayer::with_fallback(service, Policy::default()).classify(classify);
    layer.layer(service).send(7).await?;
    Ok(())
}

fn main() {}
