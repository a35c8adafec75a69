//! Many threads on one monitor: HARD-WON 10, 12 and 13 with real threads. Loom checks the same with
//! every interleaving of a few calls (`src/engine/loom`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use failover::clock::ManualClock;
use failover::event::Cause;
use failover::{Event, Monitor, Outcome, Policy, Route};

use crate::common::{Watched, counts, ratio};

/// HARD-WON 10. More threads than initial shards, so that the window grows.
#[test]
fn the_counts_of_many_threads_add_up_exactly() {
    const THREADS: u32 = 40;
    const CALLS: u32 = 4_000;
    let policy = Policy::builder().failure_rate(ratio(999, 1_000)).build().unwrap();
    let watched = Watched::new(policy);
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                barrier.wait();
                for call in 0..CALLS {
                    watched.call(if call % 4 == 0 { Outcome::Failure } else { Outcome::Success });
                }
            });
        }
    });
    let all = u64::from(THREADS * CALLS);
    assert_eq!(counts(watched.tally()), (all / 4, all * 3 / 4));
}

/// New threads take over the shards of ended ones, with their counts.
#[test]
fn the_counts_of_threads_that_come_and_go_add_up_exactly() {
    let policy = Policy::builder().failure_rate(ratio(999, 1_000)).build().unwrap();
    let watched = Watched::new(policy);
    for _ in 0..50 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    watched.succeed(10);
                    watched.fail(1);
                });
            }
        });
    }
    assert_eq!(counts(watched.tally()), (200, 2_000));
}

struct Transitions {
    monitor: Monitor<ManualClock>,
    clock: ManualClock,
    trips: Arc<AtomicUsize>,
    reverts: Arc<AtomicUsize>,
}

fn transitions() -> Transitions {
    let Watched { clock, monitor } = Watched::new(Policy::default());
    let (trips, reverts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (t, r) = (Arc::clone(&trips), Arc::clone(&reverts));
    monitor.observe(move |event: &Event| {
        match event.cause {
            Cause::Tripped { .. } => &t,
            Cause::Reverted => &r,
            _ => return,
        }
        .fetch_add(1, Ordering::Relaxed);
    });
    Transitions { monitor, clock, trips, reverts }
}

/// HARD-WON 12.
#[test]
fn a_trip_that_many_threads_see_coming_is_one_event() {
    let Transitions { monitor, clock, trips, reverts } = transitions();
    for round in 1..=200 {
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..20 {
                        if let Some(ticket) = monitor.admit().ticket() {
                            monitor.record(ticket, Outcome::Failure);
                        }
                    }
                });
            }
        });
        assert_eq!(monitor.route(), Route::Fallback);
        assert_eq!(trips.load(Ordering::Relaxed), round);
        clock.advance(std::time::Duration::from_secs(300));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(monitor.admit().ticket().is_some()));
            }
        });
        assert_eq!(reverts.load(Ordering::Relaxed), round);
    }
}

/// HARD-WON 13. Each round ends with a window just over the threshold, after concurrent failures and
/// successes.
#[test]
fn no_trip_is_missed_between_threads() {
    for _ in 0..500 {
        let Transitions { monitor, trips, .. } = transitions();
        let barrier = Barrier::new(2);
        let calls = |outcome, calls: u32| {
            let (monitor, barrier) = (&monitor, &barrier);
            move || {
                let tickets: Vec<_> =
                    (0..calls).map(|_| monitor.admit().ticket().expect("not tripped")).collect();
                barrier.wait();
                for ticket in tickets {
                    monitor.record(ticket, outcome);
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(calls(Outcome::Failure, 6));
            scope.spawn(calls(Outcome::Success, 4));
        });
        // Six of ten failed: the route is the fallback, at the latest after the next call.
        if let Some(ticket) = monitor.admit().ticket() {
            monitor.record(ticket, Outcome::Success);
        }
        assert_eq!((monitor.route(), trips.load(Ordering::Relaxed)), (Route::Fallback, 1));
    }
}
