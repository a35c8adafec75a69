//! Every interleaving of two and three threads, by loom.
//!
//! `RUSTFLAGS="--cfg failover_loom" cargo test -p failover --lib --release engine::loom`

mod allowance;
mod conditions;
mod sliding;
mod waits;
mod ways_back;

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::Kind;
use crate::engine::time::Began;
use crate::engine::time::Epoch;
use crate::event::{Cause, Event};
use crate::policy::{Policy, PolicyBuilder};
use crate::route::Route;

const REVERT: Duration = Duration::from_millis(5);

/// An engine in a loom model, with counters of its transitions. The counters are std's: loom does not
/// have to interleave them.
struct Model {
    engine: Arc<Engine>,
    trips: StdArc<AtomicUsize>,
    reverts: StdArc<AtomicUsize>,
}

impl Model {
    fn new(threads: usize, minimum_calls: u64) -> Self {
        let builder = Policy::builder().minimum_calls(minimum_calls);
        Self::with(threads, builder.window(Duration::from_millis(2), 2))
    }

    fn with(threads: usize, builder: PolicyBuilder) -> Self {
        let policy = builder.revert_after(REVERT).build().unwrap();
        let engine = Arc::new(Engine::new(&policy, Moment::default(), threads));
        let (trips, reverts) = (StdArc::default(), StdArc::default());
        let (t, r): (StdArc<AtomicUsize>, StdArc<AtomicUsize>) =
            (StdArc::clone(&trips), StdArc::clone(&reverts));
        engine.transitions.observers.add(std::sync::Arc::new(move |event: &Event| {
            let counter = match event.cause {
                Cause::Tripped { .. } => &t,
                Cause::Reverted => &r,
                _ => return,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        Self { engine, trips, reverts }
    }

    fn trips(&self) -> usize {
        self.trips.load(Ordering::Relaxed)
    }

    fn spawn(&self, calls: &'static [bool]) -> thread::JoinHandle<()> {
        let engine = Arc::clone(&self.engine);
        thread::spawn(move || calls.iter().for_each(|&failed| call(&engine, failed)))
    }
}

fn admit(engine: &Engine, at: u64) -> (Route, Epoch) {
    match engine.admit(|| Moment::from_nanos(at)) {
        Ok(admitted) => (Route::Primary, admitted.epoch),
        Err(epoch) => (Route::Fallback, epoch),
    }
}

/// One whole call, unless it goes to the fallback.
fn call(engine: &Engine, failed: bool) {
    let (route, epoch) = admit(engine, 0);
    if route == Route::Primary && engine.transitions.counts(epoch) {
        engine.count(epoch, Moment::default(), Began::UNKNOWN, failed);
    }
}

/// Two preemptions find nearly all faults.
fn model(check: impl Fn() + Sync + Send + 'static) {
    preempted(2, check);
}

/// Three threads in all interleavings with one preemption; with two by `LOOM_MAX_PREEMPTIONS=2`, which
/// takes many minutes.
fn model_of_three(check: impl Fn() + Sync + Send + 'static) {
    preempted(1, check);
}

fn preempted(times: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // The environment may set another number.
    builder.preemption_bound = builder.preemption_bound.or(Some(times));
    builder.max_branches = 20_000;
    builder.check(check);
}

const OK: bool = false;
const FAIL: bool = true;

#[test]
fn no_count_is_lost_between_three_threads() {
    model_of_three(|| {
        let model = Model::new(3, 5);
        let threads = [model.spawn(&[OK]), model.spawn(&[OK, OK])];
        call(&model.engine, OK);
        for thread in threads {
            thread.join().unwrap();
        }
        let tally = model.engine.snapshot(Moment::default()).tally;
        assert_eq!((tally.failures, tally.successes), (0, 4));
    });
}

#[test]
fn no_failure_is_lost_between_two_threads() {
    model(|| {
        let model = Model::new(2, 5);
        let thread = model.spawn(&[FAIL, OK]);
        call(&model.engine, OK);
        call(&model.engine, FAIL);
        thread.join().unwrap();
        let tally = model.engine.snapshot(Moment::default()).tally;
        assert_eq!((tally.failures, tally.successes), (2, 2));
        assert_eq!(model.trips(), 0);
    });
}

/// HARD-WON 12 and 13: if the window at rest exceeds the threshold, the route is the fallback at the
/// latest after the next call, by one trip.
#[test]
fn two_failures_at_once_make_one_trip_and_miss_none() {
    model(|| {
        let model = Model::new(2, 2);
        let thread = model.spawn(&[FAIL]);
        call(&model.engine, FAIL);
        thread.join().unwrap();
        call(&model.engine, OK);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
        assert_eq!(model.trips(), 1);
    });
}

#[test]
fn three_threads_make_one_trip_and_miss_none() {
    model_of_three(|| {
        let model = Model::new(3, 3);
        let threads = [model.spawn(&[FAIL]), model.spawn(&[FAIL])];
        call(&model.engine, FAIL);
        for thread in threads {
            thread.join().unwrap();
        }
        call(&model.engine, OK);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
        assert_eq!(model.trips(), 1);
    });
}

/// The success that completes the minimum of calls is evaluated only if the window is armed: no thread
/// may miss that.
#[test]
fn a_success_that_makes_up_the_minimum_beside_failures_is_not_missed() {
    model(|| {
        let model = Model::new(2, 4);
        let thread = model.spawn(&[FAIL, FAIL]);
        call(&model.engine, OK);
        thread.join().unwrap();
        // Two of three failed, and 3/4 exceeds in every interleaving.
        call(&model.engine, FAIL);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
        assert_eq!(model.trips(), 1);
    });
}

/// One thread arms the window while another disarms it: the last state is right.
#[test]
fn a_window_armed_and_disarmed_at_once_ends_right() {
    model(|| {
        let model = Model::new(2, 7);
        // The minimum of 7 may have 3 failures; 4 are too many unless 4 successes come.
        call(&model.engine, FAIL);
        call(&model.engine, FAIL);
        let thread = model.spawn(&[OK]);
        call(&model.engine, FAIL);
        call(&model.engine, FAIL);
        thread.join().unwrap();
        assert!(model.engine.transitions.phase().is_armed());
        call(&model.engine, OK);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Primary);
        // 4/7, completed by a success.
        call(&model.engine, OK);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
    });
}

/// HARD-WON 11: a call admitted before a transition changes nothing after it.
#[test]
fn a_late_result_is_not_counted_after_a_concurrent_transition() {
    model(|| {
        let model = Model::new(2, 1);
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || {
            if engine.transitions.counts(epoch) {
                engine.count(epoch, Moment::default(), Began::UNKNOWN, true);
            }
        });
        model.engine.transitions.reset();
        let phase = model.engine.transitions.phase();
        thread.join().unwrap();
        let snapshot = model.engine.snapshot(Moment::default());
        if model.trips() == 0 {
            assert_eq!(model.engine.transitions.phase(), phase);
            assert_eq!(snapshot.tally.calls(), 0);
        }
        // If the trip came first, the reset ended it.
        assert_eq!(snapshot.route, Route::Primary);
    });
}

#[test]
fn two_admissions_after_the_deadline_make_one_revert() {
    model(|| {
        let model = Model::new(2, 1);
        call(&model.engine, FAIL);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
        let after = 6_000_000;
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || admit(&engine, after));
        let mine = admit(&model.engine, after);
        assert_eq!(mine, thread.join().unwrap());
        assert_eq!(mine.0, Route::Primary);
        assert_eq!(model.reverts.load(Ordering::Relaxed), 1);
        assert_eq!(model.engine.snapshot(Moment::from_nanos(after)).tally.calls(), 0);
    });
}

/// A forced route wins over a concurrent trip.
#[test]
fn a_forced_route_stands_beside_a_concurrent_trip() {
    model(|| {
        let model = Model::new(2, 1);
        let thread = model.spawn(&[FAIL]);
        model.engine.transitions.force(Route::Primary);
        thread.join().unwrap();
        assert_eq!(model.engine.transitions.phase().kind(), Kind::ForcedPrimary);
        call(&model.engine, FAIL);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::ForcedPrimary);
    });
}

fn swap(model: &Model, minimum_calls: u64, buckets: u32) {
    let length = Duration::from_millis(buckets.into());
    let policy = Policy::builder().minimum_calls(minimum_calls).window(length, buckets);
    let policy = policy.revert_after(REVERT).build().unwrap();
    let swapped = model.engine.swap_policy(&policy, Moment::default());
    model.engine.thawed(swapped);
}

/// HARD-WON 34: a swap keeps the counts once. A call that is counted during the swap may be lost, and is
/// never counted twice.
#[test]
fn a_swap_beside_calls_keeps_what_was_there_and_doubles_nothing() {
    model(|| {
        let model = Model::new(2, 5);
        call(&model.engine, FAIL);
        call(&model.engine, OK);
        let thread = model.spawn(&[FAIL]);
        // To fewer buckets: loom does not see the lock that publishes a ring that grows.
        swap(&model, 5, 1);
        thread.join().unwrap();
        let tally = model.engine.snapshot(Moment::default()).tally;
        assert!((1..=2).contains(&tally.failures) && tally.successes == 1);
    });
}

/// HARD-WON 12 and 13: the window exceeds the new threshold, whatever call ends during the swap.
#[test]
fn a_swap_that_trips_beside_a_call_trips_once() {
    model(|| {
        let model = Model::new(2, 5);
        call(&model.engine, FAIL);
        call(&model.engine, FAIL);
        let thread = model.spawn(&[FAIL]);
        swap(&model, 2, 2);
        thread.join().unwrap();
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
        assert_eq!(model.trips(), 1);
    });
}

/// A trip by the old policy comes before the swap, or never.
#[test]
fn nothing_trips_by_the_old_policy_after_a_swap() {
    model(|| {
        let model = Model::new(2, 1);
        let thread = model.spawn(&[FAIL]);
        swap(&model, 5, 2);
        let phase = model.engine.transitions.phase().with_armed(false);
        thread.join().unwrap();
        assert_eq!(model.engine.transitions.phase().with_armed(false), phase);
        assert_eq!(model.trips(), usize::from(phase.kind() == Kind::Fallback));
    });
}

/// A call in flight before a swap counts at most once, and exactly once if it ends after the swap.
#[test]
fn a_call_in_flight_at_a_swap_never_counts_twice() {
    model(|| {
        let model = Model::new(2, 5);
        let (_, early) = admit(&model.engine, 0);
        let (_, late) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || end(&engine, early));
        swap(&model, 5, 1);
        thread.join().unwrap();
        end(&model.engine, late);
        let tally = model.engine.snapshot(Moment::default()).tally;
        assert!((1..=2).contains(&tally.failures), "{tally:?}");
    });
}

/// HARD-WON 11: calls admitted before a restore are not counted.
#[test]
fn a_call_during_a_restore_changes_nothing_restored() {
    model(|| {
        let model = Model::new(2, 5);
        call(&model.engine, FAIL);
        let saved = model.engine.save(Moment::default());
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || end(&engine, epoch));
        let restored = model.engine.restore(&saved, Duration::ZERO, Moment::default());
        model.engine.thawed(restored);
        thread.join().unwrap();
        let tally = model.engine.snapshot(Moment::default()).tally;
        assert_eq!((tally.failures, tally.successes), (1, 0));
    });
}

/// A call of `epoch` fails, as a ticket records it.
fn end(engine: &Engine, epoch: Epoch) {
    if let Some(epoch) = engine.transitions.counting(epoch) {
        engine.count(epoch, Moment::default(), Began::UNKNOWN, FAIL);
    }
}
