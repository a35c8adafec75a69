//! `on_call`: each call to one of the two services is reported once, when it has ended.

use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover::clock::ManualClock;
use failover::on_call::Call;
use failover::{FailoverLayer, Outcome, Policy, Rescue, Route};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched};

/// A call as a test compares it.
type Reported = (Route, Option<Outcome>, Duration, bool);

/// The calls that were reported since the last look.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Reported>>>);

impl Calls {
    pub(crate) fn note(&self) -> impl Fn(&Call<'_>) + Send + Sync + 'static {
        let calls = Arc::clone(&self.0);
        move |call| {
            assert_eq!(call.name, Some("calls"));
            calls.lock().unwrap().push((call.route, call.outcome, call.duration, call.rescued));
        }
    }

    pub(crate) fn take(&self) -> Vec<Reported> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn call<S: Service<u8>>(service: &mut S, request: u8) -> Poll<Result<S::Response, S::Error>> {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    pin!(service.call(request)).poll(&mut context)
}

async fn by_request(request: u8) -> Result<u8, &'static str> {
    match request {
        0 => Ok(0),
        1 => Err("down"),
        2 => Err("cancelled"),
        3 => pending().await,
        _ => panic!("a faulty service"),
    }
}

fn classify(result: &Result<u8, &'static str>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err("cancelled") => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    }
}

type ByResult = fn(&Result<u8, &'static str>) -> Outcome;

fn layer<F>(watched: &Watched, fallback: F) -> FailoverLayer<F, ByResult, ManualClock> {
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone()).named("calls");
    layer.classify(classify as ByResult)
}

#[test]
fn each_call_is_reported_once_by_its_route_and_by_how_it_ended() {
    let (watched, calls) = (Watched::new(Policy::default()), Calls::default());
    let layer = layer(&watched, service_fn(by_request)).on_call(calls.note());
    assert_eq!(layer.handle().name(), Some("calls"));
    let mut service = layer.layer(service_fn(by_request));
    for (route, forced) in [(Route::Primary, false), (Route::Fallback, true)] {
        if forced {
            layer.handle().force(route);
        }
        for (request, outcome) in [
            (0, Some(Outcome::Success)),
            (1, Some(Outcome::Failure)),
            (2, Some(Outcome::Ignored)),
            (3, None),
        ] {
            let _ = call(&mut service, request);
            assert_eq!(calls.take(), [(route, outcome, Duration::ZERO, false)]);
        }
        assert!(catch_unwind(AssertUnwindSafe(|| call(&mut service, 4))).is_err());
        assert_eq!(calls.take(), [(route, Some(Outcome::Failure), Duration::ZERO, false)]);
    }
}

#[test]
fn a_call_lasts_until_it_ends_by_the_failovers_own_clock() {
    let (watched, calls) = (Watched::new(Policy::default()), Calls::default());
    let clock = watched.clock.clone();
    let primary = service_fn(move |request: u8| {
        clock.advance(3 * SECOND);
        by_request(request)
    });
    let mut service = layer(&watched, service_fn(by_request)).on_call(calls.note()).layer(primary);
    let _ = call(&mut service, 0);
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let hanging = service.call(3);
    watched.clock.advance(4 * SECOND);
    drop(hanging);
    let expected = [
        (Route::Primary, Some(Outcome::Success), 3 * SECOND, false),
        (Route::Primary, None, 7 * SECOND, false),
    ];
    assert_eq!(calls.take(), expected);
}

#[test]
fn the_second_attempt_of_a_rescued_call_is_reported_as_such_and_no_other_is() {
    let (watched, calls) = (Watched::new(Policy::default()), Calls::default());
    let layer = layer(&watched, service_fn(by_request))
        .rescue(Rescue::cloning().both_ways())
        .on_call(calls.note());
    let up = service_fn(|_: u8| ready(Ok::<_, &'static str>(0)));
    let mut service = layer.layer(service_fn(by_request));
    let (failure, success) = (Some(Outcome::Failure), Some(Outcome::Success));
    for request in [1, 0, 1] {
        let _ = call(&mut service, request);
    }
    let expected = [
        (Route::Primary, failure, Duration::ZERO, false),
        (Route::Fallback, failure, Duration::ZERO, true),
        (Route::Primary, success, Duration::ZERO, false),
        (Route::Primary, failure, Duration::ZERO, false),
        (Route::Fallback, failure, Duration::ZERO, true),
    ];
    assert_eq!(calls.take(), expected);

    let mut service = layer.layer(up);
    layer.handle().force(Route::Fallback);
    for request in [1, 0] {
        assert_eq!(call(&mut service, request), Poll::Ready(Ok(0)));
    }
    let expected = [
        (Route::Fallback, failure, Duration::ZERO, false),
        (Route::Primary, success, Duration::ZERO, true),
        (Route::Fallback, success, Duration::ZERO, false),
    ];
    assert_eq!(calls.take(), expected);
}

#[test]
fn a_panic_of_the_closure_changes_nothing_even_if_the_call_ends_by_one() {
    let watched = Watched::new(Policy::default());
    let mut service = layer(&watched, service_fn(by_request))
        .on_call(|_| panic!("a faulty closure"))
        .layer(service_fn(by_request));
    assert_eq!(call(&mut service, 0), Poll::Ready(Ok(0)));
    assert!(call(&mut service, 3).is_pending());
    let panicked = catch_unwind(AssertUnwindSafe(|| call(&mut service, 4)));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"a faulty service"));
    assert_eq!((watched.tally().successes, watched.tally().failures), (1, 1));
}

#[test]
fn several_closures_each_see_every_call() {
    let watched = Watched::new(Policy::default());
    let (first, second) = (Calls::default(), Calls::default());
    let layer =
        layer(&watched, service_fn(by_request)).on_call(first.note()).on_call(second.note());
    let mut service = layer.layer(service_fn(by_request));
    for request in [0, 1, 3] {
        let _ = call(&mut service, request);
    }
    let seen = first.take();
    assert_eq!((seen.len(), &seen), (3, &second.take()));
}

#[cfg(feature = "prometheus")]
#[test]
fn calls_are_metered_and_reported_at_once_in_either_order() {
    use crate::metrics::{page, value};
    use failover::prometheus::Metrics;

    let metrics = Metrics::new();
    let (watched, calls) = (Watched::new(Policy::default()), Calls::default());
    let one = layer(&watched, service_fn(by_request)).metered(&metrics).on_call(calls.note());
    let other = layer(&watched, service_fn(by_request)).on_call(calls.note()).metered(&metrics);
    let _ = call(&mut one.layer(service_fn(by_request)), 0);
    let _ = call(&mut other.layer(service_fn(by_request)), 0);
    assert_eq!(calls.take().len(), 2);
    let series = r#"failover_calls_total{name="calls",route="primary",outcome="success"}"#;
    assert_eq!(value(&page(&metrics), series), "2");
}

/// HARD-WON 32.
#[test]
fn a_reported_call_allocates_nothing() {
    let primary = service_fn(|fails: u8| ready(if fails == 1 { Err(()) } else { Ok(()) }));
    let fallback = service_fn(|_: u8| ready(Ok::<_, ()>(())));
    let layer = FailoverLayer::with_fallback(fallback, Policy::default())
        .on_call(|call| assert!(call.name.is_none()));
    let mut service = layer.layer(primary);
    let allocations = allocation_counter::measure(|| {
        for request in (0..3_000).map(|number| u8::from(number > 1_000)) {
            assert!(call(&mut service, request).is_ready());
        }
    });
    assert_eq!(layer.handle().snapshot().route, Route::Fallback);
    // A trip notifies the observers.
    assert!(allocations.count_total <= 1, "{allocations:?}");
}
