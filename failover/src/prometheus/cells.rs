//! The counters of one name: calls by route, outcome and duration.
//!
//! Each thread writes its own counters, so counting is a load and a store. A reader never sees more
//! calls than happened, and no call is lost.

use std::fmt;
use std::sync::OnceLock;

use crate::engine::sync::{AtomicU64, Ordering};
use crate::engine::thread_id;
use crate::outcome::Outcome;
use crate::route::Route;

/// The outcomes of calls; `None` for a dropped call.
pub(super) const OUTCOMES: [Option<Outcome>; 4] =
    [Some(Outcome::Success), Some(Outcome::Failure), Some(Outcome::Ignored), None];

fn index(outcome: Option<Outcome>) -> usize {
    match outcome {
        Some(Outcome::Success) => 0,
        Some(Outcome::Failure | Outcome::RetryAfter(_)) => 1,
        Some(Outcome::Ignored) => 2,
        None => 3,
    }
}

pub(super) const ROUTES: [Route; 2] = [Route::Primary, Route::Fallback];

/// The layout of a shard: per route, calls by outcome and range, then the sum of durations.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// The number of ranges of durations.
    ranges: usize,
}

impl Plan {
    fn calls(self, route: Route, outcome: Option<Outcome>, range: usize) -> usize {
        self.route(route) + index(outcome) * self.ranges + range
    }

    fn nanos(self, route: Route) -> usize {
        self.route(route) + OUTCOMES.len() * self.ranges
    }

    fn route(self, route: Route) -> usize {
        match route {
            Route::Primary => 0,
            Route::Fallback => self.len() / 2,
        }
    }

    fn len(self) -> usize {
        ROUTES.len() * (OUTCOMES.len() * self.ranges + 1)
    }
}

/// A cache line of counters: no line has two writers.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

/// One thread's counters.
#[derive(Debug)]
struct Shard(Box<[Line]>);

impl Shard {
    fn new(plan: Plan) -> Self {
        Self((0..plan.len().div_ceil(8)).map(|_| Line::default()).collect())
    }

    fn number(&self, index: usize) -> &AtomicU64 {
        &self.0[index / 8].0[index % 8]
    }
}

/// This many threads have their own counters; all others share one shard.
const OWNERS: usize = 64;

/// The counters of one name.
pub(crate) struct Cells {
    /// The upper bounds of the ranges of durations, in nanoseconds. The last range has none.
    bounds: Box<[u64]>,
    plan: Plan,
    owned: [OnceLock<Shard>; OWNERS],
    shared: Shard,
}

impl Cells {
    pub(super) fn new(bounds: &[u64]) -> Self {
        let plan = Plan { ranges: bounds.len() + 1 };
        let owned = std::array::from_fn(|_| OnceLock::new());
        Self { bounds: bounds.into(), plan, owned, shared: Shard::new(plan) }
    }

    /// Counts a call that took `nanos` nanoseconds.
    #[inline]
    pub(crate) fn count(&self, route: Route, outcome: Option<Outcome>, nanos: u64) {
        // A range includes its upper bound.
        let range = self.bounds.partition_point(|&bound| bound < nanos);
        let indices =
            [(self.plan.calls(route, outcome, range), 1), (self.plan.nanos(route), nanos)];
        thread_id::with(|thread| match self.owned.get(thread) {
            Some(shard) => {
                let shard = shard.get_or_init(|| Shard::new(self.plan));
                for (index, more) in indices {
                    let number = shard.number(index);
                    // Ordering: Relaxed. Only this thread writes, and each counter is read on its
                    // own.
                    let sum = number.load(Ordering::Relaxed).wrapping_add(more);
                    number.store(sum, Ordering::Relaxed);
                }
            }
            None => {
                for (index, more) in indices {
                    // Ordering: Relaxed, as above. A read-modify-write, since several threads
                    // write.
                    self.shared.number(index).fetch_add(more, Ordering::Relaxed);
                }
            }
        });
    }

    /// All counters, each read once, so values derived from them agree.
    pub(super) fn read(&'static self) -> Reading {
        let shards = || self.owned.iter().filter_map(OnceLock::get).chain([&self.shared]);
        // Ordering: Relaxed, see `count`.
        let sum = |index| {
            let numbers = shards().map(|shard| shard.number(index).load(Ordering::Relaxed));
            numbers.fold(0, u64::wrapping_add)
        };
        Reading {
            bounds: &self.bounds,
            plan: self.plan,
            numbers: (0..self.plan.len()).map(sum).collect(),
        }
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// The counters of one name at one time.
#[derive(Debug)]
pub(super) struct Reading {
    /// The upper bounds of the ranges, in nanoseconds. The last range has none.
    pub(super) bounds: &'static [u64],
    plan: Plan,
    numbers: Vec<u64>,
}

impl Reading {
    /// All calls of a route with this outcome.
    pub(super) fn calls(&self, route: Route, outcome: Option<Outcome>) -> u64 {
        (0..self.plan.ranges)
            .map(|range| self.numbers[self.plan.calls(route, outcome, range)])
            .sum()
    }

    /// The calls of a route in each range of durations.
    pub(super) fn ranges(&self, route: Route) -> impl Iterator<Item = u64> {
        (0..self.plan.ranges).map(move |range| {
            let calls = |outcome| self.numbers[self.plan.calls(route, outcome, range)];
            OUTCOMES.into_iter().map(calls).sum()
        })
    }

    /// The total duration of a route's calls.
    pub(super) fn nanos(&self, route: Route) -> u64 {
        self.numbers[self.plan.nanos(route)]
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_counter_has_its_own_index() {
        let cells: &Cells = Box::leak(Box::new(Cells::new(&[10, 20])));
        let mut nanos = 0;
        for route in ROUTES {
            for outcome in OUTCOMES {
                for time in [0, 10, 11, 20, 21, 1_000] {
                    nanos += time;
                    cells.count(route, outcome, time);
                }
            }
        }
        let reading = cells.read();
        for route in ROUTES {
            assert!(OUTCOMES.into_iter().all(|outcome| reading.calls(route, outcome) == 6));
            assert!(reading.ranges(route).eq([8, 8, 8]));
            assert_eq!(reading.nanos(route), nanos / 2);
        }
    }

    #[test]
    fn no_call_is_lost_with_more_threads_than_have_their_own_counters() {
        let cells: &Cells = Box::leak(Box::new(Cells::new(&[10])));
        let barrier = std::sync::Barrier::new(OWNERS + 16);
        thread::scope(|scope| {
            for _ in 0..OWNERS + 16 {
                scope.spawn(|| {
                    // All alive at once, so that their thread ids differ.
                    thread_id::with(|_| ());
                    barrier.wait();
                    (0..1_000).for_each(|_| cells.count(Route::Primary, OUTCOMES[0], 7));
                    barrier.wait();
                });
            }
        });
        let reading = cells.read();
        let calls = (OWNERS as u64 + 16) * 1_000;
        assert_eq!(reading.calls(Route::Primary, OUTCOMES[0]), calls);
        assert_eq!(reading.nanos(Route::Primary), 7 * calls);
    }
}
