//! Features `http` and `prometheus` together: an HTTP call is counted at the end of its body.

use std::sync::{Arc, Mutex};

use failover::http::{GrpcErrorsAsFailures, HttpClassify, HttpFailoverLayer};
use failover::prometheus::Metrics;
use failover::{Policy, Route};
use http::Response;
use tower::Layer;

use super::body::{Answer, Fallback, Primary, Step, answered, read, scripted};
use crate::common::{SECOND, Watched, counts};
use crate::metrics::{page, value};

fn with(steps: &[Step]) -> Answer {
    Ok(Response::new(scripted(steps.to_vec())))
}

#[test]
fn a_metered_http_call_is_counted_as_it_is_recorded_and_lasts_until_its_body_has_ended() {
    let watched = Watched::new(Policy::default());
    let answer = Arc::new(Mutex::new(with(&[])));
    let metrics = Metrics::with(watched.clock.clone(), [SECOND]);
    let layer = HttpFailoverLayer::with_monitor(Fallback, watched.monitor.clone())
        .classify(HttpClassify::new().grpc(GrpcErrorsAsFailures::default()))
        .named("rpc")
        .metered(&metrics);
    assert_eq!(layer.handle().name(), Some("rpc"));
    let mut service = layer.layer(Primary(Arc::clone(&answer)));
    let mut call = |new| {
        *answer.lock().unwrap() = new;
        answered(&mut service)
    };

    // Ends well after 3 s.
    let mut body = call(with(&[Step::Data, Step::Trailers(Some("0"))])).unwrap().into_body();
    watched.clock.advance(3 * SECOND);
    assert_eq!(
        value(&page(&metrics), r#"failover_call_duration_seconds_sum{name="rpc",route="primary"}"#),
        "0.0"
    );
    read(&mut body);
    drop(body);
    // Fails by its trailers, breaks off, fails by its head, gets no response.
    read(&mut call(with(&[Step::Trailers(Some("14"))])).unwrap().into_body());
    read(&mut call(with(&[Step::Break])).unwrap().into_body());
    drop(call(Ok(Response::builder().status(500).body(scripted([])).unwrap())));
    assert!(call(Err("refused")).is_err());
    // Dropped while the reader waits; dropped before the code arrived.
    let mut hanging = call(with(&[Step::Wait])).unwrap().into_body();
    read(&mut hanging);
    drop(hanging);
    drop(call(with(&[Step::Data])));

    let metered = |outcome: &str, route: &str| {
        let labels = format!(r#"{{name="rpc",route="{route}",outcome="{outcome}"}}"#);
        value(&page(&metrics), &format!("failover_calls_total{labels}"))
    };
    assert_eq!(metered("success", "primary"), "1");
    assert_eq!(metered("failure", "primary"), "4");
    assert_eq!(metered("dropped", "primary"), "1");
    assert_eq!(metered("ignored", "primary"), "1");
    assert_eq!(counts(watched.tally()), (4, 1));
    assert_eq!(
        value(&page(&metrics), r#"failover_call_duration_seconds_sum{name="rpc",route="primary"}"#),
        "3.0"
    );

    watched.handle().force(Route::Fallback);
    let response = call(with(&[])).unwrap();
    assert_eq!(response.body().route(), Route::Fallback);
    read(&mut response.into_body());
    // Not gRPC: it ended without a code, which counts as UNKNOWN.
    assert_eq!(metered("failure", "fallback"), "1");
}
