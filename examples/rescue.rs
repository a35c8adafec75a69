//! Single calls saved at once, long before the rate diverts all of them; and only those that may
//! be made twice.
//!
//! `cargo run -p examples --example rescue`

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use failover::{FailoverLayer, Policy, Rescue};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

#[derive(Clone)]
enum Request {
    /// Reading twice does no harm.
    Balance(&'static str),
    /// A payment that is made twice is a payment too many: the primary may have made it before it
    /// failed to say so.
    Pay(&'static str, u32),
}

impl Request {
    /// The same request once more, if it may be made twice.
    fn spare(&self) -> Option<Self> {
        match self {
            Self::Balance(_) => Some(self.clone()),
            Self::Pay(..) => None,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance(name) => write!(f, "the balance of {name}"),
            Self::Pay(name, amount) => write!(f, "pay {name} {amount}"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // The primary fails one request in three: too few for a trip.
    let asked = Arc::new(AtomicU32::new(0));
    let primary = service_fn(move |request: Request| {
        let fails = asked.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        async move {
            match fails {
                true => Err(io::Error::other("the answer is lost")),
                false => Ok(format!("{request}: done by the primary")),
            }
        }
    });
    let fallback = service_fn(async |request: Request| {
        Ok::<_, io::Error>(format!("{request}: done by the fallback"))
    });
    let mut service = FailoverLayer::new(fallback, Policy::default())
        .rescue(Rescue::with(Request::spare))
        .layer(primary);

    let requests = [
        Request::Balance("ann"),
        Request::Balance("bob"),
        Request::Balance("cay"),
        Request::Pay("ann", 10),
        Request::Pay("bob", 20),
        Request::Pay("cay", 30),
    ];
    for request in requests {
        match service.ready().await?.call(request.clone()).await {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("{request}: not made twice: {error}"),
        }
    }
    // A failure that was made good counts all the same.
    let snapshot = service.handle().snapshot();
    println!(
        "{} of {} calls to the primary failed",
        snapshot.tally.failures,
        snapshot.tally.calls()
    );
    println!("calls go to the {}", snapshot.route.as_str());
    Ok(())
}
