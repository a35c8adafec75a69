//! A policy from a configuration file: read, refused with a mistake, replaced while calls run, and
//! shown with the state as JSON.
//!
//! `cargo run -p examples --features config --example configuration`

use std::io;

use failover::clock::ManualClock;
use failover::{FailoverHandle, FailoverLayer, Monitor, Policy};
use serde::Deserialize;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

/// The service's own configuration, of which the policy is a part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    failover: Policy,
}

const AT_FIRST: &str = r#"
name = "valuations"

[failover]
failure_rate = "40%"
minimum_calls = 20
window = { length = "30s", buckets = 6 }
revert_after = "1m 30s"
backoff = { factor = 2, max = "30m" }
"#;

const MISTYPED: &str = r#"
name = "valuations"

[failover]
failure_rate = "40%"
minimum_call = 5
"#;

const TOO_MUCH: &str = r#"
name = "valuations"

[failover]
probing = { max_in_flight = 2, lease = "30 parsecs" }
"#;

const LATER: &str = r#"
name = "valuations"

[failover]
consecutive_failures = 3
revert_after = "10s"
probing = { max_in_flight = 1, lease = "5s" }
"#;

/// What a program does when its file changes: a mistake leaves the policy as it is.
fn reload(handle: &FailoverHandle, text: &str) {
    match toml::from_str::<Config>(text) {
        Ok(config) if config.failover == handle.policy() => println!("no change"),
        Ok(config) => drop(handle.swap_policy(config.failover)),
        Err(error) => println!("refused:\n{error}"),
    }
}

/// The answer to `GET /status`.
fn status(handle: &FailoverHandle) -> Result<String, serde_json::Error> {
    serde_json::to_string(&handle.snapshot())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let config: Config = toml::from_str(AT_FIRST)?;
    let monitor = Monitor::with_clock(config.failover, ManualClock::new()).named(config.name);
    let handle = monitor.handle();
    let primary = service_fn(async |_: u32| Err::<&str, _>(io::Error::other("down")));
    let fallback = service_fn(async |_: u32| Ok::<_, io::Error>("the fallback"));
    let mut service = FailoverLayer::with_monitor(fallback, monitor).layer(primary);

    reload(&handle, MISTYPED);
    reload(&handle, TOO_MUCH);
    reload(&handle, AT_FIRST);

    // For the first policy these are too few failures, for the second three in a row are enough.
    for request in 0..6 {
        if request == 2 {
            reload(&handle, LATER);
            println!("{}\n", toml::to_string(&handle.policy())?);
        }
        match service.ready().await?.call(request).await {
            Ok(answer) => println!("{request}: answered by {answer}"),
            Err(error) => println!("{request}: {error}"),
        }
    }
    println!("{}", status(&handle)?);
    Ok(())
}
