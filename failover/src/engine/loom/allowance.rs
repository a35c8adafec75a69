//! Failures that allowance covers are counted without being evaluated: no trip is missed by that.

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, OK, admit, call, model, model_of_three};
use crate::clock::Moment;
use crate::engine::phase::Kind;
use crate::engine::thread_id;
use crate::engine::time::Began;

/// What this thread may count without evaluating.
fn allowance(model: &Model) -> u64 {
    let epoch = model.engine.transitions.phase().epoch();
    thread_id::with(|thread| model.engine.window().own_allowance(thread, epoch)).unwrap()
}

/// The window at rest has too many failures, of which some were covered and some were evaluated while
/// those were counted: it is armed, and trips by the success that makes up the minimum.
#[test]
fn failures_that_are_covered_beside_ones_that_are_evaluated_are_not_missed() {
    model(|| {
        let model = Model::new(2, 12);
        // 1 of 6 that the minimum may have, and allowance for two more.
        call(&model.engine, FAIL);
        assert_eq!(allowance(&model), 2);
        let thread = model.spawn(&[FAIL, FAIL, FAIL]);
        for _ in 0..3 {
            call(&model.engine, FAIL);
        }
        thread.join().unwrap();
        assert!(model.engine.transitions.phase().is_armed());
        for _ in 0..5 {
            call(&model.engine, OK);
        }
        assert_eq!((model.engine.transitions.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}

/// Three threads that take half of what can be spared at the same time take too much.
#[test]
fn credit_that_is_taken_at_once_is_never_more_than_can_be_spared() {
    model_of_three(|| {
        let model = Model::new(3, 10);
        let threads = [model.spawn(&[FAIL]), model.spawn(&[FAIL])];
        call(&model.engine, FAIL);
        for thread in threads {
            thread.join().unwrap();
        }
        // The sixth of 5 that the minimum may have: no allowance covers it.
        for _ in 0..3 {
            call(&model.engine, FAIL);
        }
        assert!(model.engine.transitions.phase().is_armed());
        for _ in 0..4 {
            call(&model.engine, OK);
        }
        assert_eq!((model.engine.transitions.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}

/// Allowance was granted against successes that leave the window when another thread opens a bucket.
#[test]
fn credit_that_the_window_slides_away_under_is_judged() {
    model(|| {
        let model = Model::new(2, 2);
        for _ in 0..6 {
            call(&model.engine, OK);
        }
        let (_, epoch) = admit(&model.engine, 0);
        let count = |at, failed| {
            model.engine.count(epoch, Moment::from_nanos(at), Began::UNKNOWN, failed);
        };
        // Opens the second bucket: 1 of 7, and as many more as half of what 6 successes outweigh.
        count(1_000_000, FAIL);
        assert_eq!(allowance(&model), 2);
        let engine = Arc::clone(&model.engine);
        let slides = thread::spawn(move || {
            engine.count(epoch, Moment::from_nanos(2_000_000), Began::UNKNOWN, OK);
        });
        count(1_000_000, FAIL);
        count(1_000_000, FAIL);
        slides.join().unwrap();
        // 3 of 4 without the first bucket: a trip, or one with the very next call.
        if model.engine.transitions.counts(epoch) {
            count(2_000_000, OK);
        }
        assert_eq!((model.engine.transitions.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}
