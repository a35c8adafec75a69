use failover::{Failover, Policy};
use std::io::Error;
use tower::service_fn;

async fn call() -> Result<(), Box<dyn std::error::Error>> {
    let primary = service_fn(|id: u32| async move { Ok::<u32, Error>(id) });
    let fallback = service_fn(|id: u32| async move { Ok::<String, Error>(id.to_string()) });
    let mut service = Failover::new(primary, fallback, Policy::default());
    service.send(7).await?;
    Ok(())
}

fn main() {}
