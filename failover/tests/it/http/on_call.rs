//! `on_call` over HTTP: a call ends with its body.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::http::HttpFailoverLayer;
use failover::{Outcome, Policy, Route};
use http::Response;
use tower::Layer;

use super::body::{Fallback, Primary, Step, answered, read, scripted};
use crate::common::{SECOND, Watched};
use crate::on_call::Calls;

#[test]
fn an_http_call_is_reported_when_its_body_ends_breaks_off_or_is_dropped() {
    let (watched, calls) = (Watched::new(Policy::default()), Calls::default());
    let answer = Arc::new(Mutex::new(Ok(Response::new(scripted([])))));
    let layer = HttpFailoverLayer::with_monitor(Fallback, watched.monitor.clone())
        .named("calls")
        .on_call(calls.note());
    let mut service = layer.layer(Primary(Arc::clone(&answer)));
    let mut call = |steps: &[Step]| {
        *answer.lock().unwrap() = Ok(Response::new(scripted(steps.to_vec())));
        answered(&mut service).unwrap()
    };

    let mut body = call(&[Step::Data]).into_body();
    watched.clock.advance(2 * SECOND);
    assert_eq!(calls.take(), []);
    read(&mut body);
    assert_eq!(calls.take(), [(Route::Primary, Some(Outcome::Success), 2 * SECOND, false)]);
    drop(body);
    read(&mut call(&[Step::Break]).into_body());
    let mut hanging = call(&[Step::Wait]).into_body();
    read(&mut hanging);
    drop(hanging);
    let expected = [
        (Route::Primary, Some(Outcome::Failure), Duration::ZERO, false),
        (Route::Primary, None, Duration::ZERO, false),
    ];
    assert_eq!(calls.take(), expected);

    watched.handle().force(Route::Fallback);
    let response = call(&[]);
    assert_eq!(response.extensions().get(), Some(&Route::Fallback));
    read(&mut response.into_body());
    let expected = [(Route::Fallback, Some(Outcome::Success), Duration::ZERO, false)];
    assert_eq!(calls.take(), expected);
}
