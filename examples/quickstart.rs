//! A trip and a revert, with two services in this process.
//!
//! `cargo run -p examples --example quickstart`

use std::io;
use std::time::Duration;

use failover::{FailoverLayer, Policy};
use tower::{BoxError, Layer, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // The primary fails the first ten requests.
    let primary = service_fn(async |request: u32| match request {
        0..10 => Err(io::Error::other("down")),
        _ => Ok("the primary"),
    });
    let fallback = service_fn(async |_: u32| Ok::<_, io::Error>("the fallback"));

    // More than half of at least 10 calls in a minute failed: five minutes on the fallback.
    let policy = Policy::builder().revert_after(Duration::from_secs(300)).build()?;
    let mut service = FailoverLayer::with_fallback(fallback, policy).layer(primary);

    for request in 0..15 {
        if request == 13 {
            service.handle().advance(Duration::from_secs(300));
            println!("-- five minutes later --");
        }
        match service.send(request).await {
            Ok(answer) => println!("{request:2}: answered by {answer}"),
            Err(error) => println!("{request:2}: {error:#}"),
        }
    }
    let tally = service.handle().snapshot().tally;
    println!("since then, {} of {} calls failed", tally.failures, tally.calls());
    Ok(())
}
