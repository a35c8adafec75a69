//! Three services for one job: a fallback can itself be a failover, with its own policy.
//!
//! `cargo run -p examples --example three_tiers`

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use failover::{Error, FailoverHandle, FailoverLayer, Policy};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

/// How many of the three are down, from the first.
type Down = Arc<AtomicUsize>;

fn tier(
    number: usize,
    name: &'static str,
    down: &Down,
) -> impl Service<u32, Response = &'static str, Error = io::Error> + Clone + use<> {
    let down = Arc::clone(down);
    service_fn(move |_: u32| {
        let up = number >= down.load(Ordering::Relaxed);
        async move { if up { Ok(name) } else { Err(io::Error::other(format!("{name} is down"))) } }
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let down = Down::default();
    let [memory, nearby, far] = [(0, "memory"), (1, "the near store"), (2, "the far store")]
        .map(|(n, s)| tier(n, s, &down));

    // The near store gets a minute to recover, memory ten seconds, since it refills quickly.
    let minute =
        Policy::builder().minimum_calls(5).revert_after(Duration::from_secs(60)).build()?;
    let seconds =
        Policy::builder().minimum_calls(3).revert_after(Duration::from_secs(10)).build()?;
    let stores = FailoverLayer::with_fallback(far, minute).named("stores");
    let cache = FailoverLayer::with_fallback(stores.layer(nearby), seconds).named("cache");
    let handles = [cache.handle(), stores.handle()];
    let mut service = cache.layer(memory);

    for (tiers, calls) in [(0, 2), (1, 5), (2, 7), (3, 2)] {
        down.store(tiers, Ordering::Relaxed);
        println!("-- {tiers} of 3 down --");
        for call in 0..calls {
            match service.ready().await?.call(call).await {
                Ok(name) => println!("answered by {name}"),
                // The error itself, from any tier.
                Err(error) => {
                    println!("failed: {}", error.map_fallback(Error::into_inner).into_inner());
                }
            }
        }
        show(&handles);
    }

    down.store(0, Ordering::Relaxed);
    for seconds in [10, 50] {
        handles.iter().for_each(|handle| handle.advance(Duration::from_secs(seconds)));
        println!("-- all is well, {seconds} s later --");
        show(&handles);
    }
    println!("answered by {}", service.ready().await?.call(0).await?);
    Ok(())
}

fn show(handles: &[FailoverHandle]) {
    for handle in handles {
        let name = handle.name().unwrap_or_default();
        println!("   {name}: calls go to the {}", handle.snapshot().route.as_str());
    }
}
