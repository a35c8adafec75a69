use failover::{FailoverLayer, Policy};
use std::io::Error;
use tower::{Layer, service_fn};

struct Connection;

fn main() {
    let connection = Connection;
    let primary = service_fn(|id: u32| async move { Ok::<u32, Error>(id) });
    let fallback = service_fn(move |id: u32| {
        let _ = &connection;
        async move { Ok::<u32, Error>(id) }
    });
    let _service = FailoverLayer::with_fallback(fallback, Policy::default()).layer(primary);
}
