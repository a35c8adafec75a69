//! Without tower: one monitor for all methods of a client, whatever their types are.
//!
//! `cargo run -p examples --example plain_functions`

use std::io;
use std::num::ParseIntError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failover::error::BoxedError;
use failover::{Error, Monitor, Policy, Route};

/// A client with methods of different types.
#[derive(Default)]
struct Db {
    broken: AtomicBool,
}

impl Db {
    async fn price(&self, item: &str) -> io::Result<usize> {
        match self.broken.load(Ordering::Relaxed) {
            true => Err(io::Error::other("connection refused")),
            false => Ok(item.len()),
        }
    }

    async fn parsed(&self, text: &str) -> Result<i32, ParseIntError> {
        text.parse()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(vec!["tea".to_owned(), "coffee".to_owned()])
    }
}

/// What an application keeps: two clients, and a monitor between them.
struct Prices {
    primary: Db,
    replica: Db,
    monitor: Monitor,
}

impl Prices {
    async fn price(&self, item: &str) -> Result<usize, Error<io::Error, io::Error>> {
        self.monitor.call_or_rescue(|| self.primary.price(item), || self.replica.price(item)).await
    }

    async fn parsed(&self, text: &str) -> Result<i32, BoxedError> {
        let call = self.monitor.call(|| self.primary.parsed(text), || self.replica.parsed(text));
        call.await.map_err(Error::into_boxed)
    }

    fn names(&self) -> Result<Vec<String>, Error<io::Error, io::Error>> {
        self.monitor.call_blocking(|| self.primary.names(), || self.replica.names())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let monitor = Monitor::new(Policy::builder().minimum_calls(5).build()?).named("prices");
    let prices = Prices { primary: Db::default(), replica: Db::default(), monitor };
    println!("tea costs {}, and there are {:?}", prices.price("tea").await?, prices.names()?);
    match prices.parsed("x").await {
        Ok(number) => println!("{number}"),
        Err(error) => println!("{error:#}"),
    }

    println!("-- the primary is broken: each call is rescued, and counts --");
    prices.primary.broken.store(true, Ordering::Relaxed);
    // The futures are `Send`, and a monitor can be shared.
    let prices = Arc::new(prices);
    for _ in 0..4 {
        let prices = Arc::clone(&prices);
        let price = tokio::spawn(async move { prices.price("coffee").await }).await??;
        println!("coffee costs {price}");
    }
    assert_eq!(prices.monitor.route(), Route::Fallback);
    println!("calls go to the {}", prices.monitor.route().as_str());
    prices.replica.broken.store(true, Ordering::Relaxed);
    if let Err(error) = prices.price("coffee").await {
        println!("{error:#}");
    }
    Ok(())
}
