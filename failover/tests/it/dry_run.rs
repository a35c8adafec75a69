//! A policy that diverts no call.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use failover::event::{Cause, Condition};
use failover::{Event, FailoverLayer, Outcome, Policy, Route};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched, counts};

fn watched() -> Watched {
    Watched::new(Policy::builder().dry_run().build().unwrap())
}

#[test]
fn a_dry_run_reports_the_trip_and_the_revert_that_there_would_be_and_diverts_no_call() {
    let watched = watched();
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    watched.monitor.observe(move |event: &Event| {
        seen.lock().unwrap().push((event.route, event.cause));
    });
    watched.fail(10);
    let snapshot = watched.snapshot();
    assert_eq!((snapshot.route, snapshot.advised), (Route::Primary, Route::Fallback));
    assert_eq!((snapshot.dry_run, snapshot.reverts_in), (true, Some(300 * SECOND)));
    // They are counted for display, and not evaluated, like calls on the fallback.
    watched.fail(100);
    watched.succeed(50);
    assert_eq!(counts(watched.tally()), (100, 50));
    watched.clock.advance(300 * SECOND);
    let snapshot = watched.snapshot();
    assert_eq!((snapshot.advised, snapshot.tally.calls()), (Route::Primary, 0));
    watched.succeed(1);
    assert_eq!(counts(watched.tally()), (0, 1));
    let told = told.lock().unwrap();
    let [(Route::Primary, Cause::WouldTrip { condition, tally, revert_after }), revert] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((*condition, counts(*tally)), (Condition::FailureRate, (10, 0)));
    assert_eq!(*revert_after, 300 * SECOND);
    assert_eq!(*revert, (Route::Primary, Cause::WouldRevert));
}

#[test]
fn in_a_dry_run_the_service_calls_the_primary_whatever_it_answers() {
    let watched = watched();
    let fallback = service_fn(|()| ready(Err::<(), _>("the fallback was called")));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    let mut service = layer.layer(service_fn(|()| ready(Err::<(), _>("primary"))));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
        let call = std::pin::pin!(service.call(()));
        let error = failover::Error::Primary("primary");
        assert_eq!(call.poll(&mut context), Poll::Ready(Err(error)));
        watched.clock.advance(SECOND);
    }
}

/// HARD-WON 11: as it would be.
#[test]
fn in_a_dry_run_a_call_of_before_the_trip_is_not_counted_after_it() {
    let watched = watched();
    let late = watched.ticket();
    watched.fail(10);
    watched.monitor.record(late, Outcome::Failure);
    assert_eq!(watched.tally().calls(), 0);
}

#[test]
fn in_a_dry_run_a_forced_route_is_taken() {
    let watched = watched();
    watched.handle().force(Route::Fallback);
    assert!(watched.monitor.admit().ticket().is_none());
    let snapshot = watched.snapshot();
    assert_eq!((snapshot.route, snapshot.advised), (Route::Fallback, Route::Fallback));
    watched.handle().release();
    watched.fail(20);
    assert_eq!(watched.route(), Route::Primary);
}
