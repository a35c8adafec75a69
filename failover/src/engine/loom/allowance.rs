//! Failures within the allowance are not evaluated, and no trip is missed by that.

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, OK, admit, call, model, model_of_three};
use crate::clock::Moment;
use crate::engine::phase::Kind;
use crate::engine::thread_id;
use crate::engine::time::Began;

/// The failures that this thread may count without an evaluation.
fn allowance(model: &Model) -> u64 {
    let epoch = model.engine.transitions.phase().epoch();
    thread_id::with(|thread| model.engine.window().own_allowance(thread, epoch)).unwrap()
}

/// Failures within the allowance are counted while others are evaluated, and there are too many: the
/// window is armed, and trips by the success that completes the minimum.
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

/// Three threads that take half of the headroom at the same time take too much.
#[test]
fn grants_taken_at_once_never_exceed_the_headroom() {
    model_of_three(|| {
        let model = Model::new(3, 10);
        let threads = [model.spawn(&[FAIL]), model.spawn(&[FAIL])];
        call(&model.engine, FAIL);
        for thread in threads {
            thread.join().unwrap();
        }
        // The minimum may have 5 failures: no allowance covers the sixth.
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

/// Another thread opens a bucket, and the successes that an allowance rests on leave the window.
#[test]
fn an_allowance_whose_successes_leave_the_window_is_evaluated_again() {
    model(|| {
        let model = Model::new(2, 2);
        for _ in 0..6 {
            call(&model.engine, OK);
        }
        let (_, epoch) = admit(&model.engine, 0);
        let count = |at, failed| {
            model.engine.count(epoch, Moment::from_nanos(at), Began::UNKNOWN, failed);
        };
        // Opens the second bucket: 1 of 7 failed, and the grant is half of the headroom.
        count(1_000_000, FAIL);
        assert_eq!(allowance(&model), 2);
        let engine = Arc::clone(&model.engine);
        let slides = thread::spawn(move || {
            engine.count(epoch, Moment::from_nanos(2_000_000), Began::UNKNOWN, OK);
        });
        count(1_000_000, FAIL);
        count(1_000_000, FAIL);
        slides.join().unwrap();
        // 3 of 4 without the first bucket: a trip, at the latest with the next call.
        if model.engine.transitions.counts(epoch) {
            count(2_000_000, OK);
        }
        assert_eq!((model.engine.transitions.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}
