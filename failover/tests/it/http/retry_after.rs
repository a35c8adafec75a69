//! `Retry-After` by the crate's own classifiers.

use std::time::Duration;

use failover::http::{
    GrpcErrorsAsFailures, HttpClassify, HttpFailoverLayer, ServerErrorsAsFailures,
};
use failover::policy::RetryAfter;
use failover::{Classify, Outcome, Policy, Route};
use http::Response;
use tower::{Layer, service_fn};

use super::body::{Answer, Fallback, answered, scripted};
use crate::common::{SECOND, Watched};

fn head(status: u16, retry_after: &str) -> Answer {
    let head = Response::builder().status(status).header("retry-after", retry_after);
    Ok(head.body(scripted([])).unwrap())
}

#[test]
fn a_failure_with_a_valid_retry_after_asks_for_that_time() {
    let by_head = HttpClassify::by_head(|head| match head.status().as_u16() {
        418 => Outcome::Failure,
        _ => ServerErrorsAsFailures::outcome(head.status()),
    });
    let by = HttpClassify::by(|answer: &Answer| match answer {
        Ok(response) if response.status() == 503 => Outcome::Failure,
        _ => Outcome::Ignored,
    });
    let asked = Outcome::RetryAfter(42 * SECOND);
    assert_eq!(ServerErrorsAsFailures.classify(&head(503, "42")), asked);
    assert_eq!(HttpClassify::new().classify(&head(429, "42")), asked);
    assert_eq!(by_head.classify(&head(418, "42")), asked);
    assert_eq!(by.classify(&head(503, "42")), asked);
    let grpc = HttpClassify::new().grpc(GrpcErrorsAsFailures::default());
    let mut unavailable = head(200, "42").unwrap();
    unavailable.headers_mut().insert("grpc-status", 14.into());
    assert_eq!(grpc.classify(&Answer::Ok(unavailable)), asked);
    // An invalid one is ignored, and one in an answer that is no failure too.
    assert_eq!(HttpClassify::new().classify(&head(503, "soon")), Outcome::Failure);
    assert_eq!(HttpClassify::new().classify(&head(301, "42")), Outcome::Success);
    assert_eq!(by.classify(&head(429, "42")), Outcome::Ignored);
}

/// It once took a classifier of one's own: `HttpClassify::new` left `Retry-After` unread.
#[test]
fn a_policy_that_asks_for_it_follows_the_servers_retry_after() {
    let follows = RetryAfter::between(SECOND, Duration::from_secs(600));
    let plain = Policy::builder().minimum_calls(2);
    let following = plain.clone().retry_after(follows);
    for (policy, asked, seconds) in [
        (plain, "42", 300),
        (following.clone(), "42", 42),
        (following.clone(), "1", 1),
        (following, "0", 1),
    ] {
        let watched = Watched::new(policy.build().unwrap());
        let busy = service_fn(|()| std::future::ready(head(503, asked)));
        let layer = HttpFailoverLayer::with_monitor(Fallback, watched.monitor.clone());
        let mut service = layer.layer(busy);
        for _ in 0..2 {
            assert_eq!(answered(&mut service).unwrap().status(), 503);
        }
        assert_eq!(watched.snapshot().reverts_in, Some(Duration::from_secs(seconds)));
        watched.clock.advance(Duration::from_secs(seconds) - SECOND);
        assert_eq!(watched.route(), Route::Fallback);
        watched.clock.advance(SECOND);
        assert_eq!(watched.route(), Route::Primary);
    }
}
