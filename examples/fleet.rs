//! Many nodes fail over as one: what none of them could know alone, and what one of them alone is not
//! believed.
//!
//! `cargo run -p examples --example fleet`
//!
//! Twenty nodes with a call every two seconds, on a bus in memory and tokio's paused time. A real fleet
//! differs in one line: another bus.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use failover::clock::TokioClock;
use failover::cluster::bus::{Conditions, MemoryBus, Network};
use failover::cluster::{Cluster, Command};
use failover::event::Cause;
use failover::{Event, Monitor, Outcome, Policy, Ratio, Route};
use tokio::time::{Instant, sleep};

const NODES: usize = 20;
/// Each node makes a call that often.
const EVERY: Duration = Duration::from_secs(2);

struct Node {
    monitor: Monitor<TokioClock>,
    cluster: Cluster,
}

/// The primary fails for the nodes with a lower number.
static HEALTHY_FROM: AtomicUsize = AtomicUsize::new(0);

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (clock, start) = (TokioClock::default(), Instant::now());
    // A message takes 1 to 5 ms, and one in ten is lost.
    let conditions = Conditions {
        delay: Duration::from_millis(1)..=Duration::from_millis(5),
        loss: Some(Ratio::percent(10)),
        ..Conditions::default()
    };
    let bus = MemoryBus::with_network(Network::new(42, conditions), clock);
    // More than half of at least ten calls within ten seconds, of which a node makes five.
    let policy = Policy::builder()
        .window(Duration::from_secs(10), 10)
        .revert_after(Duration::from_secs(60))
        .build()?;

    let mut nodes = Vec::new();
    for number in 0..NODES {
        let monitor = Monitor::with_clock(policy.clone(), clock).named("quotes");
        let cluster = Cluster::builder("demo").build_on(clock)?;
        cluster.join(&monitor.handle())?;
        let (node, bus) = (cluster.clone(), bus.clone());
        tokio::spawn(async move { node.run(bus, sleep, std::future::pending()).await });
        tokio::spawn(calls(number, monitor.clone()));
        nodes.push(Node { monitor, cluster });
    }
    let say = |text: String| println!("{:>5.1} s  {text}", start.elapsed().as_secs_f64());
    let gone = Arc::new(AtomicUsize::new(0));
    for node in &nodes {
        let gone = Arc::clone(&gone);
        node.monitor.observe(move |event: &Event| {
            if matches!(event.cause, Cause::Tripped { .. }) {
                gone.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    say(format!("{NODES} nodes, each a call every 2 s"));
    sleep(Duration::from_secs(10)).await;

    say("the primary fails for one node of them".into());
    HEALTHY_FROM.store(1, Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;
    say(format!("{} on the fallback: one node is not the fleet", on_fallback(&nodes)));
    HEALTHY_FROM.store(0, Ordering::Relaxed);
    sleep(Duration::from_secs(60)).await;

    say("the primary fails for all".into());
    HEALTHY_FROM.store(NODES, Ordering::Relaxed);
    gone.store(0, Ordering::Relaxed);
    let outage = Instant::now();
    while gone.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let first = Instant::now();
    while on_fallback(&nodes) < NODES {
        sleep(Duration::from_millis(1)).await;
    }
    let (took, spread) = (first - outage, first.elapsed());
    say(format!(
        "all {NODES} are on the fallback: the first within {:.0} s, the last less than {} ms later",
        took.as_secs_f64().ceil(),
        (spread.as_millis() + 1).next_multiple_of(100),
    ));
    HEALTHY_FROM.store(0, Ordering::Relaxed);
    sleep(Duration::from_secs(59)).await;
    say(format!("{} on the fallback", on_fallback(&nodes)));
    sleep(Duration::from_secs(2)).await;
    say(format!("{} on the fallback: they returned together", on_fallback(&nodes)));

    say("an operator forces the fallback on all, for 30 s, at one of them".into());
    let lasts = Some(Duration::from_secs(30));
    let force = Command::Force { route: Route::Fallback, lasts };
    nodes[7].cluster.order("quotes", force, "operator", "maintenance of the primary")?;
    sleep(Duration::from_secs(1)).await;
    let orders = &nodes[3].cluster.view().failovers[0].orders;
    say(format!(
        "{} on the fallback; another node knows why: {}",
        on_fallback(&nodes),
        orders[0].reason
    ));
    sleep(Duration::from_secs(30)).await;
    say(format!("{} on the fallback", on_fallback(&nodes)));
    Ok(())
}

fn on_fallback(nodes: &[Node]) -> usize {
    nodes.iter().filter(|node| node.monitor.route() == Route::Fallback).count()
}

/// The calls of one node.
async fn calls(number: usize, monitor: Monitor<TokioClock>) {
    sleep(EVERY.mul_f64(number as f64 / NODES as f64)).await;
    loop {
        if let Some(ticket) = monitor.admit().ticket() {
            let fails = number < HEALTHY_FROM.load(Ordering::Relaxed);
            monitor.record(ticket, if fails { Outcome::Failure } else { Outcome::Success });
        }
        sleep(EVERY).await;
    }
}
