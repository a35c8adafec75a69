//! Rescues single calls immediately, before the rate trips; only calls that may be repeated.
//!
//! `cargo run -p examples --example rescue`

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use failover::{FailoverLayer, Policy, Rescue};
use tower::{BoxError, Layer, service_fn};

#[derive(Clone)]
enum Request {
    /// A read, which may be repeated.
    Balance(&'static str),
    /// A payment, which must not be repeated: the primary may have made it before its response was
    /// lost.
    Pay(&'static str, u32),
}

impl Request {
    /// A clone of the request, if it may be repeated.
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
    let mut service = FailoverLayer::with_fallback(fallback, Policy::default())
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
        match service.send(request.clone()).await {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("{request}: not made twice: {error:#}"),
        }
    }
    // A rescued failure still counts.
    let snapshot = service.handle().snapshot();
    println!(
        "{} of {} calls to the primary failed",
        snapshot.tally.failures,
        snapshot.tally.calls()
    );
    println!("calls go to the {}", snapshot.route.as_str());
    Ok(())
}
