//! Calls dropped after running for a given time: HARD-WON 28.

use failover::policy::SlowCalls;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover::policy::PolicyBuilder;
use failover::{FailoverLayer, Monitor, Policy, Rescue, Route};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched, counts};

type Answer = Result<&'static str, &'static str>;

fn builder() -> PolicyBuilder {
    Policy::builder().minimum_calls(5).dropped_after(2 * SECOND)
}

fn fallback() -> impl Service<(), Response = &'static str, Error = &'static str> + Clone {
    service_fn(|()| ready(Ok::<_, &str>("fallback")))
}

/// Runs a call for `time`, and drops it.
fn run_and_drop<S: Service<()>>(service: &mut S, watched: &Watched, time: Duration) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    // Waiting for readiness is not part of the call.
    watched.clock.advance(10 * SECOND);
    let mut call = Box::pin(service.call(()));
    assert!(call.as_mut().poll(&mut context).is_pending());
    watched.clock.advance(time);
    drop(call);
}

/// HARD-WON 28.
#[test]
fn five_calls_that_hang_and_are_dropped_trip() {
    for rescue in [false, true] {
        let watched = Watched::new(builder().window(600 * SECOND, 10).build().unwrap());
        let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
        let primary = service_fn(|()| pending::<Answer>());
        let hang = |calls| {
            for _ in 0..calls {
                if rescue {
                    let mut service = layer.clone().rescue(Rescue::cloning()).layer(primary);
                    run_and_drop(&mut service, &watched, 3 * SECOND);
                } else {
                    run_and_drop(&mut layer.layer(primary), &watched, 3 * SECOND);
                }
            }
        };
        hang(4);
        assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (4, 0)));
        hang(1);
        assert_eq!(watched.route(), Route::Fallback);
    }
}

#[test]
fn a_call_dropped_after_exactly_the_time_or_earlier_is_neutral() {
    let watched = Watched::new(builder().build().unwrap());
    let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
    let mut service = layer.layer(service_fn(|()| pending::<Answer>()));
    for _ in 0..10 {
        run_and_drop(&mut service, &watched, 2 * SECOND);
    }
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 0));
}

/// A call that has ended is not a dropped call, whenever its future is dropped.
#[test]
fn a_call_that_ended_counts_once() {
    let watched = Watched::new(builder().build().unwrap());
    let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
    let mut service = layer.layer(service_fn(|()| ready(Answer::Ok("primary"))));
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let mut call = Box::pin(service.call(()));
    assert!(call.as_mut().poll(&mut context).is_ready());
    watched.clock.advance(3 * SECOND);
    drop(call);
    assert_eq!(counts(watched.tally()), (0, 1));
}

struct Panicking;

impl Future for Panicking {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        panic!("a faulty primary")
    }
}

/// HARD-WON 29, if the future that panicked is dropped later.
#[test]
fn a_call_that_panics_and_is_dropped_is_one_failure() {
    let watched = Watched::new(builder().build().unwrap());
    let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
    let mut service = layer.layer(service_fn(|()| Panicking));
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let mut call = Box::pin(service.call(()));
    watched.clock.advance(3 * SECOND);
    let unwound = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut context).is_ready()));
    assert!(unwound.is_err());
    watched.clock.advance(3 * SECOND);
    drop(call);
    assert_eq!(counts(watched.tally()), (1, 0));
}

/// HARD-WON 11.
#[test]
fn a_call_admitted_before_a_transition_and_dropped_after_it_is_not_counted() {
    let watched = Watched::new(builder().build().unwrap());
    let ticket = watched.ticket();
    watched.handle().reset();
    watched.clock.advance(3 * SECOND);
    watched.monitor.abandon(ticket);
    assert_eq!(watched.tally().calls(), 0);
}

#[test]
fn a_dropped_call_that_failed_may_be_slow_as_well() {
    let policy = builder()
        .slow_calls(SlowCalls::longer_than(SECOND).more_than(crate::common::ratio(1, 2)))
        .build()
        .unwrap();
    let watched = Watched::new(policy);
    let ticket = watched.ticket();
    watched.clock.advance(3 * SECOND);
    watched.monitor.abandon(ticket);
    assert_eq!((watched.tally().failures, watched.tally().slow), (1, 1));
}

#[test]
fn abandoning_is_neutral_by_default() {
    let monitor = Monitor::new(Policy::default());
    monitor.abandon(monitor.admit().ticket().unwrap());
    assert_eq!(monitor.handle().snapshot().tally.calls(), 0);
}
