//! The outcome of a head: HARD-WON 37.

use std::sync::{Arc, Mutex};

use failover::http::{HttpClassify, ServerErrorsAsFailures};
use failover::{Classify, FailoverLayer, Outcome, Policy, Rescue, Route};
use http::{Response, StatusCode};
use tower::Layer;

use super::body::{Answer, Primary, Step, answered, rig, scripted};

fn head(status: u16) -> Answer {
    let body = scripted([Step::Data, Step::Wait]);
    Ok(Response::builder().status(status).body(body).unwrap())
}

/// HARD-WON 37.
#[test]
fn a_4xx_is_a_success_but_for_the_two_by_which_a_server_says_that_it_was_too_busy() {
    for status in 400..500 {
        let mut rig = rig(HttpClassify::new());
        let response = rig.call(head(status)).unwrap();
        assert_eq!(response.status(), status);
        drop(response);
        let failed = matches!(status, 408 | 429);
        assert_eq!(rig.counts(), (u64::from(failed), u64::from(!failed)), "{status}");
    }
}

#[test]
fn every_5xx_is_a_failure_and_every_other_status_below_400_a_success() {
    for status in 100..1_000 {
        let outcome = ServerErrorsAsFailures::outcome(StatusCode::from_u16(status).unwrap());
        let failed = matches!(status, 408 | 429 | 500..=599);
        assert_eq!(outcome == Outcome::Failure, failed, "{status}");
        assert_ne!(outcome, Outcome::Ignored);
    }
}

#[test]
fn a_failing_status_is_recorded_at_once_and_its_body_adds_nothing() {
    let mut rig = rig(HttpClassify::new());
    let response = rig.call(head(503)).unwrap();
    assert_eq!(rig.counts(), (1, 0));
    super::body::read(&mut response.into_body());
    assert_eq!(rig.counts(), (1, 0));
}

#[test]
fn an_error_instead_of_an_answer_is_a_failure() {
    let mut rig = rig(HttpClassify::new());
    let error = rig.call(Err("refused")).unwrap_err();
    assert_eq!(error.primary(), Some(&"refused"));
    assert_eq!(rig.counts(), (1, 0));
}

#[test]
fn ten_answers_of_503_trip() {
    let mut rig = rig(HttpClassify::new());
    for _ in 0..10 {
        assert_eq!(rig.call(head(503)).unwrap().status(), 503);
    }
    assert_eq!(rig.call(head(503)).unwrap().status(), 200);
    assert_eq!(rig.watched.route(), Route::Fallback);
}

#[test]
fn the_outcomes_of_statuses_can_be_configured() {
    let classify = HttpClassify::by_head(|head| match head.status().as_u16() {
        401 => Outcome::Failure,
        503 => Outcome::Ignored,
        _ => ServerErrorsAsFailures::outcome(head.status()),
    });
    let mut rig = rig(classify);
    for (status, counts) in [(401, (1, 0)), (503, (1, 0)), (404, (1, 1)), (500, (2, 1))] {
        drop(rig.call(head(status)));
        assert_eq!(rig.counts(), counts, "{status}");
    }
    drop(rig.call(Err("refused")));
    assert_eq!(rig.counts(), (3, 1));
}

#[test]
fn a_classifier_of_heads_sees_the_head_and_fits_every_type_of_body() {
    let classify = HttpClassify::by_head(|head| {
        assert_eq!(head.version(), http::Version::HTTP_2);
        match (head.headers().contains_key("age"), head.extensions().get::<Route>()) {
            (true, _) => Outcome::Ignored,
            (false, Some(Route::Fallback)) => Outcome::Failure,
            (false, _) => Outcome::Success,
        }
    });
    let head = || Response::builder().version(http::Version::HTTP_2);
    let cached: Result<_, ()> = Ok(head().header("age", 3).body(7).unwrap());
    let by_fallback: Result<_, ()> = Ok(head().extension(Route::Fallback).body("text").unwrap());
    let plain: Result<_, u8> = Ok(head().body(()).unwrap());
    assert_eq!(classify.classify(&cached), Outcome::Ignored);
    assert_eq!(classify.classify(&by_fallback), Outcome::Failure);
    assert_eq!(classify.classify(&plain), Outcome::Success);
    assert_eq!(classify.classify(&Err::<Response<()>, _>("refused")), Outcome::Failure);
}

#[test]
fn a_classifier_of_your_own_sees_the_whole_head_and_the_error() {
    let mut rig = rig(HttpClassify::by(|answer: &Answer| match answer {
        Ok(response) if response.headers().contains_key("age") => Outcome::Ignored,
        Ok(_) => Outcome::Success,
        Err("cancelled") => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    }));
    let cached = Response::builder().header("age", 3).body(scripted([Step::Break])).unwrap();
    super::body::read(&mut rig.call(Ok(cached)).unwrap().into_body());
    drop(rig.call(Err("cancelled")));
    assert_eq!(rig.counts(), (0, 0));
    // A success of the head may still fail at the end of the body.
    super::body::read(&mut rig.body(&[Step::Break]));
    assert_eq!(rig.counts(), (1, 0));
}

#[test]
fn a_head_that_failed_may_be_rescued() {
    let failing = Primary(Arc::new(Mutex::new(head(503))));
    let sound = Primary(Arc::new(Mutex::new(head(200))));
    let layer = FailoverLayer::with_fallback(sound, Policy::default())
        .classify(HttpClassify::new())
        .rescue(Rescue::cloning());
    assert_eq!(answered(&mut layer.layer(failing)).unwrap().status(), 200);
    assert_eq!(layer.handle().snapshot().tally.failures, 1);
}

#[test]
fn beside_a_plain_failover_it_decides_by_the_head() {
    let classify = HttpClassify::new();
    assert_eq!(classify.classify(&head(200)), Outcome::Success);
    assert_eq!(classify.classify(&head(500)), Outcome::Failure);
    assert_eq!(classify.classify(&Answer::Err("refused")), Outcome::Failure);
}
