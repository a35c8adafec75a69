//! The numbers of one name: calls by route, outcome and duration.
//!
//! Each thread writes numbers of its own, as in the window, so that a call adds by a load and a
//! store. What is read is therefore never ahead of what happened, and no call is lost.

use std::fmt;
use std::sync::OnceLock;

use crate::engine::sync::{AtomicU64, Ordering};
use crate::engine::thread_id;
use crate::outcome::Outcome;
use crate::route::Route;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    With(Outcome),
    Dropped,
}

impl Ended {
    pub(super) const ALL: [Self; 4] = [
        Self::With(Outcome::Success),
        Self::With(Outcome::Failure),
        Self::With(Outcome::Ignored),
        Self::Dropped,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::With(outcome) => outcome.as_str(),
            Self::Dropped => "dropped",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::With(Outcome::Success) => 0,
            Self::With(Outcome::Failure | Outcome::RetryAfter(_)) => 1,
            Self::With(Outcome::Ignored) => 2,
            Self::Dropped => 3,
        }
    }
}

pub(super) const ROUTES: [Route; 2] = [Route::Primary, Route::Fallback];

/// Where each number stands in a shard: for each route its calls by outcome and duration, and
/// then the sum of its durations.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// How many ranges of durations there are.
    ranges: usize,
}

impl Plan {
    fn calls(self, route: Route, ended: Ended, range: usize) -> usize {
        self.route(route) + ended.place() * self.ranges + range
    }

    fn nanos(self, route: Route) -> usize {
        self.route(route) + Ended::ALL.len() * self.ranges
    }

    fn route(self, route: Route) -> usize {
        match route {
            Route::Primary => 0,
            Route::Fallback => self.len() / 2,
        }
    }

    fn len(self) -> usize {
        ROUTES.len() * (Ended::ALL.len() * self.ranges + 1)
    }
}

/// A cache line of numbers, so that no line has two owners.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; 8]);

/// One thread's numbers.
#[derive(Debug)]
struct Shard(Box<[Line]>);

impl Shard {
    fn new(plan: Plan) -> Self {
        Self((0..plan.len().div_ceil(8)).map(|_| Line::default()).collect())
    }

    fn number(&self, place: usize) -> &AtomicU64 {
        &self.0[place / 8].0[place % 8]
    }
}

/// As many threads write numbers of their own; those beyond share a set.
const OWNERS: usize = 64;

/// The numbers of one name.
pub(crate) struct Cells {
    /// The upper ends of the ranges of durations but the last, which has none. In nanoseconds.
    bounds: Box<[u64]>,
    plan: Plan,
    owned: [OnceLock<Shard>; OWNERS],
    engine: Shard,
}

impl Cells {
    pub(super) fn new(bounds: &[u64]) -> Self {
        let plan = Plan { ranges: bounds.len() + 1 };
        let owned = std::array::from_fn(|_| OnceLock::new());
        Self { bounds: bounds.into(), plan, owned, engine: Shard::new(plan) }
    }

    /// Counts a call that took `nanos` nanoseconds.
    #[inline]
    pub(crate) fn count(&self, route: Route, ended: Ended, nanos: u64) {
        // A range includes its upper end.
        let range = self.bounds.partition_point(|&bound| bound < nanos);
        let places = [(self.plan.calls(route, ended, range), 1), (self.plan.nanos(route), nanos)];
        thread_id::with(|thread| match self.owned.get(thread) {
            Some(shard) => {
                let shard = shard.get_or_init(|| Shard::new(self.plan));
                for (place, more) in places {
                    let number = shard.number(place);
                    // Ordering: Relaxed. This thread alone writes; each number is true by itself.
                    let sum = number.load(Ordering::Relaxed).wrapping_add(more);
                    number.store(sum, Ordering::Relaxed);
                }
            }
            None => {
                for (place, more) in places {
                    // Ordering: Relaxed, as above; an addition, since others write here too.
                    self.engine.number(place).fetch_add(more, Ordering::Relaxed);
                }
            }
        });
    }

    /// All numbers, each read once, so that what is derived from them agrees.
    pub(super) fn read(&self) -> Reading {
        let shards = || self.owned.iter().filter_map(OnceLock::get).chain([&self.engine]);
        // Ordering: Relaxed, see `count`.
        let sum = |place| {
            let numbers = shards().map(|shard| shard.number(place).load(Ordering::Relaxed));
            numbers.fold(0, u64::wrapping_add)
        };
        Reading { plan: self.plan, numbers: (0..self.plan.len()).map(sum).collect() }
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

/// The numbers of one name at one time.
#[derive(Debug)]
pub(super) struct Reading {
    plan: Plan,
    numbers: Vec<u64>,
}

impl Reading {
    /// All calls of a route that ended so.
    pub(super) fn calls(&self, route: Route, ended: Ended) -> u64 {
        (0..self.plan.ranges).map(|range| self.numbers[self.plan.calls(route, ended, range)]).sum()
    }

    /// The calls of a route in each range of durations.
    pub(super) fn ranges(&self, route: Route) -> impl Iterator<Item = u64> {
        (0..self.plan.ranges).map(move |range| {
            let calls = |ended| self.numbers[self.plan.calls(route, ended, range)];
            Ended::ALL.into_iter().map(calls).sum()
        })
    }

    /// How long a route's calls took together.
    pub(super) fn nanos(&self, route: Route) -> u64 {
        self.numbers[self.plan.nanos(route)]
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_number_has_a_place_of_its_own() {
        let cells = Cells::new(&[10, 20]);
        let mut nanos = 0;
        for route in ROUTES {
            for ended in Ended::ALL {
                for time in [0, 10, 11, 20, 21, 1_000] {
                    nanos += time;
                    cells.count(route, ended, time);
                }
            }
        }
        let reading = cells.read();
        for route in ROUTES {
            assert!(Ended::ALL.into_iter().all(|ended| reading.calls(route, ended) == 6));
            assert!(reading.ranges(route).eq([8, 8, 8]));
            assert_eq!(reading.nanos(route), nanos / 2);
        }
    }

    #[test]
    fn no_call_is_lost_by_more_threads_than_have_numbers_of_their_own() {
        let cells = Cells::new(&[10]);
        let barrier = std::sync::Barrier::new(OWNERS + 16);
        thread::scope(|scope| {
            for _ in 0..OWNERS + 16 {
                scope.spawn(|| {
                    // All alive at once, so that their slots differ.
                    thread_id::with(|_| ());
                    barrier.wait();
                    (0..1_000).for_each(|_| cells.count(Route::Primary, Ended::ALL[0], 7));
                    barrier.wait();
                });
            }
        });
        let reading = cells.read();
        let calls = (OWNERS as u64 + 16) * 1_000;
        assert_eq!(reading.calls(Route::Primary, Ended::ALL[0]), calls);
        assert_eq!(reading.nanos(Route::Primary), 7 * calls);
    }
}
