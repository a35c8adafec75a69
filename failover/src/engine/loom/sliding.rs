//! The window slides while it is counted in and read.

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, OK, admit, call, end, model};
use crate::clock::Moment;
use crate::engine::phase::Kind;
use crate::engine::time::Began;

/// The window slides under a reader: it must not see more failures than there ever were at once.
#[test]
fn a_window_that_slides_while_it_is_evaluated_makes_no_false_trip() {
    model(|| {
        let model = Model::new(2, 3);
        // Bucket 0: one success, one failure. They leave the window at 2 ms.
        call(&model.engine, OK);
        call(&model.engine, FAIL);
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        // At 2 ms: a success in a thread of its own, while this thread fails once: 1/2 at most.
        let thread = thread::spawn(move || {
            engine.count(epoch, Moment::from_nanos(2_000_000), Began::UNKNOWN, OK)
        });
        model.engine.count(epoch, Moment::from_nanos(2_000_000), Began::UNKNOWN, FAIL);
        thread.join().unwrap();
        assert_eq!(model.trips(), 0);
        let tally = model.engine.snapshot(Moment::from_nanos(2_000_000)).tally;
        assert_eq!((tally.failures, tally.successes), (1, 1));
    });
}

/// HARD-WON 13: a reading that begins when a bucket is half opened counts no call twice.
#[test]
fn a_reading_that_begins_inside_an_opening_makes_no_false_trip() {
    model(|| {
        let model = Model::new(2, 3);
        call(&model.engine, OK);
        call(&model.engine, OK);
        call(&model.engine, FAIL);
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || end(&engine, epoch));
        let later = Moment::from_nanos(1_000_000);
        model.engine.count(epoch, later, Began::UNKNOWN, OK);
        thread.join().unwrap();
        // There were never more than two failures among four calls.
        assert_eq!(model.trips(), 0);
    });
}

/// One thread's clock is far ahead while another opens its bucket: the other thread's calls are in the
/// window from the next one on.
#[test]
fn a_reading_ahead_beside_an_opening_hides_no_later_call() {
    model(|| {
        let model = Model::new(2, 2);
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let ahead = Moment::from_nanos(100_000_000);
        let thread = thread::spawn(move || engine.count(epoch, ahead, Began::UNKNOWN, OK));
        end(&model.engine, epoch);
        thread.join().unwrap();
        end(&model.engine, epoch);
        end(&model.engine, epoch);
        assert_eq!((model.engine.transitions.phase().kind(), model.trips()), (Kind::Fallback, 1));
    });
}
