//! Calls of each row between two marks, between which valgrind counts instructions.

use failover_cost::rows::groups;

const WARM_UP: u64 = 1_000;
/// The number of calls between two marks.
const CALLS: u64 = 1_000;

/// Valgrind writes its counts since the last mark at each call of this function.
#[inline(never)]
fn mark_of_the_count(row: usize) {
    std::hint::black_box(row);
}

fn main() {
    let only = std::env::args().nth(1);
    for (number, row) in groups(only.as_deref()).iter().flat_map(|group| &group.rows).enumerate() {
        let subject = (row.make)();
        let mut caller = subject.caller();
        caller(WARM_UP);
        mark_of_the_count(number);
        caller(CALLS);
        mark_of_the_count(number);
    }
}
