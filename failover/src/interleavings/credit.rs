//! Failures that credit covers are counted without being judged: no trip is missed by that.

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, OK, admit, call, model, model_of_three};
use crate::clock::Moment;
use crate::phase::Kind;
use crate::shared::Began;
use crate::slot;

/// What this thread may count without judging.
fn credit(model: &Model) -> u64 {
    let epoch = model.shared.phase().epoch();
    slot::with(|slot| model.shared.window().own_credit(slot, epoch)).unwrap()
}

/// The window at rest has too many failures, of which some were covered and some were judged while
/// those were counted: it is uneasy, and trips by the success that makes up the minimum.
#[test]
fn failures_that_are_covered_beside_ones_that_are_judged_are_not_missed() {
    model(|| {
        let model = Model::new(2, 12);
        // 1 of 6 that the minimum may have, and credit for two more.
        call(&model.shared, FAIL);
        assert_eq!(credit(&model), 2);
        let thread = model.spawn(&[FAIL, FAIL, FAIL]);
        for _ in 0..3 {
            call(&model.shared, FAIL);
        }
        thread.join().unwrap();
        assert!(model.shared.phase().is_uneasy());
        for _ in 0..5 {
            call(&model.shared, OK);
        }
        assert_eq!((model.shared.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}

/// Three threads that take half of what can be spared at the same time take too much.
#[test]
fn credit_that_is_taken_at_once_is_never_more_than_can_be_spared() {
    model_of_three(|| {
        let model = Model::new(3, 10);
        let threads = [model.spawn(&[FAIL]), model.spawn(&[FAIL])];
        call(&model.shared, FAIL);
        for thread in threads {
            thread.join().unwrap();
        }
        // The sixth of 5 that the minimum may have: no credit covers it.
        for _ in 0..3 {
            call(&model.shared, FAIL);
        }
        assert!(model.shared.phase().is_uneasy());
        for _ in 0..4 {
            call(&model.shared, OK);
        }
        assert_eq!((model.shared.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}

/// Credit was lent against successes that leave the window when another thread opens a bucket.
#[test]
fn credit_that_the_window_slides_away_under_is_judged() {
    model(|| {
        let model = Model::new(2, 2);
        for _ in 0..6 {
            call(&model.shared, OK);
        }
        let (_, epoch) = admit(&model.shared, 0);
        let count = |at, failed| {
            model.shared.count(epoch, Moment::from_nanos(at), Began::UNKNOWN, failed);
        };
        // Opens the second bucket: 1 of 7, and as many more as half of what 6 successes outweigh.
        count(1_000_000, FAIL);
        assert_eq!(credit(&model), 2);
        let shared = Arc::clone(&model.shared);
        let slides = thread::spawn(move || {
            shared.count(epoch, Moment::from_nanos(2_000_000), Began::UNKNOWN, OK);
        });
        count(1_000_000, FAIL);
        count(1_000_000, FAIL);
        slides.join().unwrap();
        // 3 of 4 without the first bucket: a trip, or one with the very next call.
        if model.shared.counts(epoch) {
            count(2_000_000, OK);
        }
        assert_eq!((model.shared.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}
