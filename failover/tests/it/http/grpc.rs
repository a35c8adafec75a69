//! gRPC: the code decides, in the head or in the trailers.

use failover::http::{GrpcCode, GrpcErrorsAsFailures, HttpClassify, ServerErrorsAsFailures};
use failover::{Classify, Outcome};
use http::Response;

use super::body::{Answer, Rig, Step, read, rig, scripted};

fn grpc() -> HttpClassify<ServerErrorsAsFailures> {
    HttpClassify::new().grpc(GrpcErrorsAsFailures::default())
}

fn with_trailers(rig: &mut Rig, code: Option<&'static str>) -> (u64, u64) {
    read(&mut rig.body(&[Step::Data, Step::Trailers(code)]));
    rig.counts()
}

#[test]
fn a_failing_code_in_the_trailers_of_a_200_is_a_failure() {
    for code in ["2", "4", "8", "13", "14", "15"] {
        let mut rig = rig(grpc());
        assert_eq!(with_trailers(&mut rig, Some(code)), (1, 0), "{code}");
    }
}

/// HARD-WON 37, for gRPC.
#[test]
fn a_code_that_answers_the_call_is_a_success() {
    for code in ["0", "3", "5", "6", "7", "9", "10", "11", "12", "16"] {
        let mut rig = rig(grpc());
        assert_eq!(with_trailers(&mut rig, Some(code)), (0, 1), "{code}");
    }
}

#[test]
fn a_cancelled_call_is_ignored() {
    let mut rig = rig(grpc());
    assert_eq!(with_trailers(&mut rig, Some("1")), (0, 0));
}

#[test]
fn an_answer_that_ends_without_a_code_is_unknown_and_so_a_failure() {
    let mut rig = rig(grpc());
    assert_eq!(with_trailers(&mut rig, None), (1, 0));
    read(&mut rig.body(&[Step::Data]));
    assert_eq!(rig.counts(), (2, 0));
}

#[test]
fn trailers_only_are_recorded_with_the_head() {
    for (code, counts) in [("14", (1, 0)), ("0", (0, 1)), ("5", (0, 1)), ("1", (0, 0))] {
        let mut rig = rig(grpc());
        let head = Response::builder().header("grpc-status", code).body(scripted([])).unwrap();
        let response = rig.call(Ok(head)).unwrap();
        assert_eq!(rig.counts(), counts, "{code}");
        read(&mut response.into_body());
        assert_eq!(rig.counts(), counts, "{code}");
    }
}

#[test]
fn a_stream_that_is_left_before_its_code_came_says_nothing() {
    let mut rig = rig(grpc());
    drop(rig.body(&[Step::Data, Step::Trailers(Some("14"))]));
    assert_eq!(rig.counts(), (0, 0));
}

#[test]
fn a_stream_that_breaks_off_is_a_failure() {
    let mut rig = rig(grpc());
    read(&mut rig.body(&[Step::Data, Step::Break]));
    assert_eq!(rig.counts(), (1, 0));
}

#[test]
fn a_failing_status_fails_whatever_the_code_says() {
    let mut rig = rig(grpc());
    let head = Response::builder().status(503).header("grpc-status", 0).body(scripted([]));
    drop(rig.call(Ok(head.unwrap())));
    assert_eq!(rig.counts(), (1, 0));
}

#[test]
fn the_failing_codes_may_be_chosen() {
    let failures =
        GrpcErrorsAsFailures::default().with(GrpcCode::Cancelled).without(GrpcCode::Unavailable);
    let mut rig = rig(HttpClassify::new().grpc(failures));
    assert_eq!(with_trailers(&mut rig, Some("1")), (1, 0));
    assert_eq!(with_trailers(&mut rig, Some("14")), (1, 1));
}

#[test]
fn without_the_option_a_code_means_nothing() {
    let mut rig = rig(HttpClassify::new());
    assert_eq!(with_trailers(&mut rig, Some("14")), (0, 1));
    let head: Answer =
        Ok(Response::builder().header("grpc-status", 14).body(scripted([])).unwrap());
    assert_eq!(HttpClassify::new().classify(&head), Outcome::Success);
    assert_eq!(grpc().classify(&head), Outcome::Failure);
}
