//! Allocations per call, and bytes held after many calls: one line each, in the order of the rows.

use failover_cost::rows::{groups, holders};

/// Enough calls to open the buckets, assign the thread's id and fill a ring.
const WARM_UP: u64 = 1_000;
const CALLS: u64 = 1_000;

fn main() {
    let only = std::env::args().nth(1);
    for row in groups(only.as_deref()).iter().flat_map(|group| &group.rows) {
        let subject = (row.make)();
        let mut caller = subject.caller();
        caller(WARM_UP);
        let made = allocation_counter::measure(|| caller(CALLS)).count_total;
        println!("{}", made as f64 / CALLS as f64);
    }
    for (_, make) in holders() {
        // Per-thread and per-process memory is allocated before. All subjects are kept, since a new
        // monitor would reuse the memory of a dropped one.
        let mut kept: Vec<_> = (0..100).map(|_| make()).collect();
        kept[0].caller()(WARM_UP);
        let held = [1_000, 100_000, 1_000_000].map(|calls| {
            kept.reserve(1);
            let held = allocation_counter::measure(|| {
                let subject = make();
                subject.caller()(calls);
                kept.push(subject);
            });
            held.bytes_current.to_string()
        });
        println!("{}", held.join(" "));
    }
}
