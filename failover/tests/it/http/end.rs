//! The end of a body is the end of the call: HARD-WON 31.

use std::future::{Ready, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use failover::http::{HttpClassify, HttpFailoverLayer};
use failover::{Error, Outcome, Policy, Route};
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, service_fn};

use super::body::{Fallback, OurBody, Step, answered, next, read, rig, scripted};
use crate::common::{Watched, counts};

/// HARD-WON 31.
#[test]
fn a_200_is_recorded_when_its_body_has_ended_and_not_before() {
    let mut rig = rig(HttpClassify::new());
    let mut body = rig.body(&[Step::Data, Step::Data]);
    for _ in 0..2 {
        assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
        assert_eq!(rig.counts(), (0, 0));
    }
    assert!(matches!(next(&mut body), Poll::Ready(None)));
    assert_eq!(rig.counts(), (0, 1));
    assert!(matches!(next(&mut body), Poll::Ready(None)));
    drop(body);
    assert_eq!(rig.counts(), (0, 1));
}

/// HARD-WON 31.
#[test]
fn a_body_that_breaks_off_after_a_200_is_one_failure() {
    let mut rig = rig(HttpClassify::new());
    let mut body = rig.body(&[Step::Data, Step::Break, Step::Break]);
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    let broken = next(&mut body);
    let Poll::Ready(Some(Err(error))) = broken else { panic!("no error") };
    assert_eq!(error, Error::Primary("broken off"));
    assert_eq!(rig.counts(), (1, 0));
    assert!(matches!(next(&mut body), Poll::Ready(Some(Err(_)))));
    assert!(matches!(next(&mut body), Poll::Ready(None)));
    drop(body);
    assert_eq!(rig.counts(), (1, 0));
}

/// HARD-WON 31.
#[test]
fn bodies_that_break_off_trip() {
    let mut rig = rig(HttpClassify::new());
    for _ in 0..10 {
        assert_eq!(rig.watched.route(), Route::Primary);
        read(&mut rig.body(&[Step::Data, Step::Break]));
    }
    assert_eq!(rig.watched.route(), Route::Fallback);
    let body = rig.body(&[Step::Break]);
    assert_eq!(body.route(), Route::Fallback);
}

/// HARD-WON 31.
#[test]
fn trailers_are_the_end() {
    let mut rig = rig(HttpClassify::new());
    let mut body = rig.body(&[Step::Data, Step::Trailers(None)]);
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    assert_eq!(rig.counts(), (0, 1));
    read(&mut body);
    drop(body);
    assert_eq!(rig.counts(), (0, 1));
}

/// Servers check `is_end_stream` after each frame and don't poll for the `None`.
#[test]
fn a_last_frame_that_is_known_to_be_the_last_is_the_end() {
    let mut rig = rig(HttpClassify::new());
    let mut script = scripted([Step::Data]);
    script.knows_its_end = true;
    let mut body = rig.call(Ok(Response::new(script))).unwrap().into_body();
    assert!(!body.is_end_stream());
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    assert!(body.is_end_stream());
    assert_eq!(rig.counts(), (0, 1));
}

#[test]
fn an_answer_without_a_body_is_recorded_with_its_head() {
    let mut rig = rig(HttpClassify::new());
    let mut script = scripted([]);
    script.knows_its_end = true;
    let response = rig.call(Ok(Response::new(script))).unwrap();
    assert_eq!(rig.counts(), (0, 1));
    drop(response);
    assert_eq!(rig.counts(), (0, 1));
}

/// HARD-WON 31. A reader that needs only the head, or the first bytes, has had its response.
#[test]
fn a_body_dropped_by_a_reader_that_does_not_wait_is_a_success() {
    let mut rig = rig(HttpClassify::new());
    drop(rig.body(&[Step::Data]));
    assert_eq!(rig.counts(), (0, 1));
    let mut body = rig.body(&[Step::Data, Step::Wait, Step::Data, Step::Data]);
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    assert!(next(&mut body).is_pending());
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    drop(body);
    assert_eq!(rig.counts(), (0, 2));
}

/// HARD-WON 31, and 28 by default: cut off by an outer time-out.
#[test]
fn a_body_dropped_by_a_reader_that_waits_is_neutral() {
    let mut rig = rig(HttpClassify::new());
    for _ in 0..20 {
        let mut body = rig.body(&[Step::Data, Step::Wait]);
        read(&mut body);
        drop(body);
    }
    assert_eq!((rig.counts(), rig.watched.route()), ((0, 0), Route::Primary));
    assert_eq!(rig.watched.tally().dropped, 20);
}

#[test]
fn the_outcome_of_a_body_dropped_by_a_reader_that_waits_can_be_configured() {
    for (outcome, counts) in
        [(Outcome::Failure, (1, 0)), (Outcome::Success, (0, 1)), (Outcome::Ignored, (0, 0))]
    {
        let mut rig = rig(HttpClassify::new().abandoned(outcome));
        let mut body = rig.body(&[Step::Wait]);
        read(&mut body);
        drop(body);
        assert_eq!(rig.counts(), counts, "{outcome:?}");
        assert_eq!(rig.watched.tally().dropped, 0);
    }
}

/// HARD-WON 29, for bodies.
#[test]
fn a_body_that_panics_is_one_failure() {
    let mut rig = rig(HttpClassify::new());
    let mut body = rig.body(&[Step::Data, Step::Panic]);
    read_until_panic(&mut body);
    drop(body);
    assert_eq!(rig.counts(), (1, 0));
}

/// It once counted as a success, since the reader had not waited for more.
#[test]
fn a_body_whose_end_or_size_panics_is_one_failure() {
    let mut rig = rig(HttpClassify::new());
    let panics = |run: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    let answer = || {
        let body = scripted([Step::Data; 2]);
        (Arc::clone(&body.faulty), Ok(Response::new(body)))
    };
    // With the head, before the caller has the body.
    let (faulty, faulty_answer) = answer();
    faulty.store(true, Ordering::Relaxed);
    panics(&mut || drop(rig.call(faulty_answer.clone())));
    assert_eq!(rig.counts(), (1, 0));
    // In a frame; the reader catches it and drops the body later.
    let asks: [fn(&mut OurBody); 3] = [
        read,
        |body| assert_eq!(body.size_hint().lower(), 0),
        |body| assert!(!body.is_end_stream()),
    ];
    for (failures, ask) in (2..).zip(asks) {
        let (faulty, answer) = answer();
        let mut body = rig.call(answer).unwrap().into_body();
        assert!(next(&mut body).is_ready());
        faulty.store(true, Ordering::Relaxed);
        panics(&mut || ask(&mut body));
        drop(body);
        assert_eq!(rig.counts(), (failures, 0));
    }
}

fn read_until_panic<B: Body + Unpin>(body: &mut B) {
    assert!(catch_unwind(AssertUnwindSafe(|| read(body))).is_err());
}

/// HARD-WON 29, up to the head.
#[test]
fn a_primary_that_panics_before_its_head_is_one_failure_and_goes_on_unwinding() {
    type Answer = Result<Response<Full<bytes::Bytes>>, &'static str>;
    let watched = Watched::new(Policy::default());
    let in_call = service_fn(|()| -> Ready<Answer> { panic!("a faulty primary") });
    let in_poll = service_fn(|()| poll_fn(|_| -> Poll<Answer> { panic!("a faulty primary") }));
    let layer = HttpFailoverLayer::with_monitor(Fallback, watched.monitor.clone());
    let (mut in_call, mut in_poll) = (layer.layer(in_call), layer.layer(in_poll));
    assert!(catch_unwind(AssertUnwindSafe(|| answered(&mut in_call))).is_err());
    assert_eq!(counts(watched.tally()), (1, 0));
    assert!(catch_unwind(AssertUnwindSafe(|| answered(&mut in_poll))).is_err());
    assert_eq!(counts(watched.tally()), (2, 0));
}

/// HARD-WON 11, for bodies.
#[test]
fn a_body_that_ends_after_a_transition_changes_nothing() {
    let mut rig = rig(HttpClassify::new());
    let (mut whole, mut broken) = (rig.body(&[]), rig.body(&[Step::Break]));
    let dropped = rig.body(&[]);
    rig.watched.trip();
    rig.watched.handle().reset();
    read(&mut whole);
    read(&mut broken);
    drop(dropped);
    assert_eq!(rig.counts(), (0, 0));
}

/// HARD-WON 14.
#[test]
fn the_end_of_a_fallbacks_body_is_not_an_outcome() {
    let mut rig = rig(HttpClassify::new());
    rig.watched.handle().force(Route::Fallback);
    let body = rig.body(&[]);
    rig.watched.handle().force(Route::Primary);
    drop(body);
    assert_eq!(rig.counts(), (0, 0));
}

#[test]
fn a_future_dropped_before_the_head_records_nothing() {
    use std::task::{Context, Waker};
    use tower::Service;
    let mut rig = rig(HttpClassify::new());
    assert!(rig.service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    drop(rig.service.call(()));
    assert_eq!(rig.counts(), (0, 0));
}

#[test]
fn sizes_and_ends_are_those_of_the_services_own_body() {
    let full = || Full::new(bytes::Bytes::from_static(b"fallback"));
    let mut rig = rig(HttpClassify::new());
    rig.watched.trip();
    let body = rig.body(&[]);
    assert_eq!(body.size_hint().exact(), full().size_hint().exact());
    assert_eq!(body.is_end_stream(), full().is_end_stream());
}

#[tokio::test]
async fn the_reader_gets_what_the_service_sent() {
    let mut rig = rig(HttpClassify::new());
    let body = rig.body(&[Step::Data, Step::Data, Step::Trailers(None)]);
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-checksum"], "7");
    assert_eq!(collected.to_bytes(), "datadata");
    rig.watched.trip();
    assert_eq!(rig.body(&[]).collect().await.unwrap().to_bytes(), "fallback");
}

/// The size of a body in the module's documentation.
#[test]
fn a_body_carries_96_bytes_at_most() {
    use failover::clock::CoarseClock;
    use failover::http::HttpBody;
    let own = size_of::<Full<bytes::Bytes>>();
    let ours = size_of::<HttpBody<Full<bytes::Bytes>, Full<bytes::Bytes>, CoarseClock>>();
    assert!(ours <= own + 96, "{ours} for {own}");
    println!("{ours} bytes for a body of {own}");
}
