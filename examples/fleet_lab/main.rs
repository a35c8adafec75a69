//! A fleet in a laboratory: how long until all its nodes are on the fallback, and who goes there by mistake.
//!
//! `cargo run --release -p examples --example fleet_lab` prints `fleet_lab/RESULTS.md`; `-- --large` adds a
//! mesh of 1,000, and `-- --cost` the CPU time of messages on this machine.

mod fleet;
mod scenarios;

use std::env;
use std::time::Instant;

use fleet::{Fleet, SECOND};

fn main() {
    match env::args().nth(1).as_deref() {
        Some("--cost") => cost(),
        option => scenarios::print(option == Some("--large")),
    }
}

/// What a node spends per second on merging and evaluating, by the size of the fleet.
fn cost() {
    println!("| nodes | CPU time per node and second | per message |");
    println!("|---:|---:|---:|");
    for nodes in [3, 30, 100, 300] {
        let mut fleet = Fleet::new(scenarios::quiet(nodes), 1);
        fleet.run(SECOND);
        let (began, before) = (Instant::now(), fleet.deliveries);
        let seconds = (1_000 / nodes as u64).clamp(1, 50);
        fleet.run(seconds * SECOND);
        let spent = began.elapsed();
        let per_node = spent.as_secs_f64() * 1e3 / seconds as f64 / nodes as f64;
        let per_message = spent.as_secs_f64() * 1e6 / (fleet.deliveries - before) as f64;
        println!("| {nodes} | {per_node:.2} ms | {per_message:.2} µs |");
    }
}
