//! The other conditions, and the count window.

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, OK, admit, call, model};
use crate::clock::Moment;
use crate::engine::phase::Kind;
use crate::engine::time::Began;
use crate::policy::{Policy, PolicyBuilder, StallLimit};
use crate::tally::Tally;
use std::time::Duration;

fn consecutive(failures: u32) -> PolicyBuilder {
    let builder = Policy::builder().window(Duration::from_millis(1), 1);
    builder.without_failure_rate().consecutive_failures(failures)
}

fn last_calls(calls: u32) -> PolicyBuilder {
    Policy::builder().last_calls(calls).minimum_calls(u64::from(calls))
}

fn tally(model: &Model) -> Tally {
    model.engine.snapshot(Moment::default()).tally
}

/// Only the failure that completes the number sees it, so it must not be missed.
#[test]
fn consecutive_failures_of_three_threads_make_one_trip() {
    model(|| {
        let model = Model::with(3, consecutive(3));
        let threads = [model.spawn(&[FAIL]), model.spawn(&[FAIL])];
        call(&model.engine, FAIL);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
        assert_eq!(model.trips(), 1);
    });
}

#[test]
fn a_success_among_failures_leaves_no_longer_streak_than_came_after_it() {
    model(|| {
        let model = Model::with(2, consecutive(4));
        let thread = model.spawn(&[FAIL, OK]);
        call(&model.engine, FAIL);
        call(&model.engine, FAIL);
        thread.join().unwrap();
        let streak = model.engine.evidence.streak.length(model.engine.transitions.phase().epoch());
        assert!(streak <= 2, "{streak}");
        assert_eq!(model.trips(), 0);
        call(&model.engine, OK);
        assert_eq!(
            model.engine.evidence.streak.length(model.engine.transitions.phase().epoch()),
            0
        );
    });
}

/// HARD-WON 11: a failure admitted before the reset is in no streak after it.
#[test]
fn a_late_failure_does_not_lengthen_the_streak_of_the_next_epoch() {
    model(|| {
        let model = Model::with(2, consecutive(2));
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || {
            if engine.transitions.counts(epoch) {
                engine.count(epoch, Moment::default(), Began::UNKNOWN, FAIL);
            }
        });
        model.engine.transitions.reset();
        call(&model.engine, FAIL);
        thread.join().unwrap();
        assert_eq!(
            model.engine.evidence.streak.length(model.engine.transitions.phase().epoch()),
            1
        );
        assert_eq!(model.trips(), 0);
    });
}

/// HARD-WON 10, 12 and 13, for the last calls.
#[test]
fn two_failures_at_once_fill_the_last_calls_and_make_one_trip() {
    model(|| {
        let model = Model::with(2, last_calls(2));
        let thread = model.spawn(&[FAIL]);
        call(&model.engine, FAIL);
        thread.join().unwrap();
        call(&model.engine, FAIL);
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
        assert_eq!(model.trips(), 1);
    });
}

/// Three threads in a ring of two: one of them may be overtaken by a whole round.
#[test]
fn the_last_calls_are_counted_exactly_when_a_thread_is_overtaken() {
    model(|| {
        let model =
            Model::with(3, last_calls(2).failure_rate(crate::ratio::Ratio::new(99, 100).unwrap()));
        let threads = [model.spawn(&[FAIL, OK]), model.spawn(&[OK])];
        call(&model.engine, OK);
        for thread in threads {
            thread.join().unwrap();
        }
        let (epoch, counted) = (model.engine.transitions.phase().epoch(), tally(&model));
        assert_eq!(model.engine.window().confirm(epoch, counted), counted);
        assert_eq!(counted.calls(), 2);
        assert_eq!(model.trips(), 0);
        call(&model.engine, OK);
        call(&model.engine, OK);
        assert_eq!(tally(&model).failures, 0);
    });
}

/// A failure leaves the window while another comes: in no order are there two at once.
#[test]
fn a_failure_that_leaves_the_last_calls_while_another_comes_makes_no_false_trip() {
    model(|| {
        let model = Model::with(2, last_calls(2));
        call(&model.engine, FAIL);
        call(&model.engine, OK);
        let thread = model.spawn(&[OK]);
        call(&model.engine, FAIL);
        thread.join().unwrap();
        assert_eq!(model.trips(), 0);
        assert_eq!((tally(&model).failures, tally(&model).successes), (1, 1));
    });
}

/// HARD-WON 11, for the last calls: a late result may use a position, and is not counted.
#[test]
fn a_late_result_is_not_among_the_last_calls_after_a_transition() {
    model(|| {
        let model = Model::with(2, last_calls(2));
        call(&model.engine, FAIL);
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || {
            if engine.transitions.counts(epoch) {
                engine.count(epoch, Moment::default(), Began::UNKNOWN, OK);
            }
        });
        model.engine.transitions.reset();
        call(&model.engine, OK);
        call(&model.engine, OK);
        thread.join().unwrap();
        let (epoch, counted) = (model.engine.transitions.phase().epoch(), tally(&model));
        assert_eq!(model.engine.window().confirm(epoch, counted), counted);
        assert_eq!(counted.failures, 0);
        assert!((1..=2).contains(&counted.successes), "{counted:?}");
        // A round later the window has its full size again.
        call(&model.engine, OK);
        call(&model.engine, OK);
        assert_eq!(tally(&model).successes, 2);
    });
}

/// A stalled call ends while young calls come and go: there are never two stalled calls.
#[test]
fn calls_that_end_while_they_are_looked_for_are_not_seen_as_stalled() {
    model(|| {
        let limit = StallLimit::Calls(2);
        let builder = consecutive(100).stalled_calls(Duration::from_millis(4), limit);
        let model = Model::with(2, builder);
        let later = Moment::from_nanos(5_000_000);
        let (_, epoch) = admit(&model.engine, 0);
        let (hanging, counted) = model.engine.begin(epoch, Moment::default());
        assert!(counted);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || {
            let (young, _) = engine.begin(epoch, later);
            engine.land(epoch, young);
            engine.land(epoch, hanging);
        });
        admit(&model.engine, 5_000_000);
        thread.join().unwrap();
        assert_eq!(model.trips(), 0);
        let snapshot = model.engine.snapshot(Moment::from_nanos(20_000_000));
        assert_eq!(snapshot.stalled_calls, 0);
    });
}
