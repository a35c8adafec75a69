//! Stalled calls trip before they time out.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use failover::event::{Cause, Condition};
use failover::policy::{PolicyBuilder, StallLimit};
use failover::{Event, FailoverLayer, Outcome, Policy, Route};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched, ratio};

fn builder(limit: StallLimit) -> PolicyBuilder {
    Policy::builder().stalled_calls(2 * SECOND, limit)
}

fn five() -> Watched {
    Watched::new(builder(StallLimit::Calls(5)).build().unwrap())
}

/// The clock starts in the middle of a bucket; the monitor counts from there.
#[test]
fn five_calls_that_hang_trip_before_one_of_them_ends_and_the_call_that_sees_it_is_diverted() {
    let watched = five();
    let last = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&last);
    watched.monitor.observe(move |event: &Event| *seen.lock().unwrap() = Some(event.cause));
    let hanging: Vec<_> = (0..5).map(|_| watched.ticket()).collect();
    watched.clock.advance(2 * SECOND);
    watched.succeed(1);
    assert_eq!((watched.route(), watched.snapshot().stalled_calls), (Route::Primary, 0));
    watched.clock.advance(SECOND / 2);
    assert_eq!(watched.snapshot().stalled_calls, 5);
    assert!(watched.monitor.admit().ticket().is_none());
    assert_eq!(watched.route(), Route::Fallback);
    let Some(Cause::Tripped { condition, tally, .. }) = *last.lock().unwrap() else { panic!() };
    assert_eq!(condition, Condition::StalledCalls { stalled: 5, admitted: None });
    assert_eq!((tally.failures, tally.successes), (0, 1));
    drop(hanging);
}

/// Never early: even the last call of a bucket is older than the time when it counts.
#[test]
fn a_call_is_stalled_between_the_time_and_five_quarters_of_it() {
    for offset in [0, 1, 250, 499] {
        let watched = Watched::new(builder(StallLimit::Calls(1)).build().unwrap());
        watched.clock.advance(Duration::from_millis(offset));
        let ticket = watched.ticket();
        watched.clock.advance(2 * SECOND);
        assert_eq!(watched.snapshot().stalled_calls, 0, "{offset}");
        watched.clock.advance(SECOND / 2 - Duration::from_millis(offset));
        assert_eq!(watched.snapshot().stalled_calls, 1, "{offset}");
        drop(ticket);
        assert_eq!(watched.snapshot().stalled_calls, 0, "{offset}");
    }
}

#[test]
fn calls_that_ended_were_dropped_or_ignored_are_not_in_flight() {
    let watched = five();
    for _ in 0..100 {
        watched.succeed(3);
        watched.call(Outcome::Ignored);
        drop(watched.ticket());
        watched.monitor.abandon(watched.ticket());
        watched.clock.advance(SECOND / 5);
    }
    let slow: Vec<_> = (0..4).map(|_| watched.ticket()).collect();
    watched.clock.advance(100 * SECOND);
    watched.succeed(1);
    assert_eq!((watched.route(), watched.snapshot().stalled_calls), (Route::Primary, 4));
    for ticket in slow {
        watched.monitor.record(ticket, Outcome::Success);
    }
    assert_eq!(watched.snapshot().stalled_calls, 0);
}

#[test]
fn calls_that_hang_far_apart_add_up_however_long_ago_they_began() {
    let watched = five();
    let mut hanging = Vec::new();
    for _ in 0..5 {
        hanging.push(watched.ticket());
        watched.clock.advance(3_600 * SECOND);
    }
    assert_eq!(watched.snapshot().stalled_calls, 5);
    assert!(watched.monitor.admit().ticket().is_none());
}

/// HARD-WON 11.
#[test]
fn calls_that_hang_since_before_a_transition_are_not_stalled_after_it() {
    let watched = five();
    let hanging: Vec<_> = (0..50).map(|_| watched.ticket()).collect();
    watched.handle().reset();
    watched.clock.advance(10 * SECOND);
    watched.succeed(1);
    drop(hanging);
    watched.clock.advance(10 * SECOND);
    watched.succeed(1);
    assert_eq!((watched.route(), watched.snapshot().stalled_calls), (Route::Primary, 0));
}

#[test]
fn a_share_is_of_the_calls_admitted_in_a_stretch_of_the_time_and_needs_the_minimum() {
    let share = || builder(StallLimit::Share(ratio(1, 2))).minimum_calls(10);
    // Exactly half of the calls hang: no trip. Before them there were a thousand that did not.
    for (hang, route) in [(10, Route::Primary), (11, Route::Fallback)] {
        let watched = Watched::new(share().build().unwrap());
        watched.succeed(1_000);
        watched.clock.advance(2 * SECOND);
        watched.succeed(20 - hang);
        let hanging: Vec<_> = (0..hang).map(|_| watched.ticket()).collect();
        watched.clock.advance(5 * SECOND / 2);
        let _ = watched.monitor.admit();
        assert_eq!(watched.route(), route);
        drop(hanging);
    }
    // Nine calls all hang: below the minimum.
    let watched = Watched::new(share().build().unwrap());
    let hanging: Vec<_> = (0..9).map(|_| watched.ticket()).collect();
    watched.clock.advance(5 * SECOND / 2);
    watched.succeed(1);
    assert_eq!(watched.route(), Route::Primary);
    drop(hanging);
}

#[test]
fn calls_admitted_by_one_thread_may_end_in_another() {
    let watched = five();
    for _ in 0..20 {
        let tickets: Vec<_> = (0..50).map(|_| watched.ticket()).collect();
        watched.clock.advance(SECOND);
        thread::scope(|scope| {
            scope.spawn(|| {
                for ticket in tickets {
                    watched.monitor.record(ticket, Outcome::Success);
                }
            });
        });
        watched.succeed(1);
        watched.clock.advance(SECOND);
    }
    watched.clock.advance(10 * SECOND);
    watched.succeed(1);
    assert_eq!((watched.route(), watched.snapshot().stalled_calls), (Route::Primary, 0));
}

/// HARD-WON 10, for calls in flight.
#[test]
fn the_calls_in_flight_of_many_threads_add_up_exactly() {
    let watched = Watched::new(builder(StallLimit::Calls(u64::MAX)).build().unwrap());
    let hanging = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for call in 0..2_000 {
                    if call % 100 == 0 {
                        hanging.lock().unwrap().push(watched.ticket());
                        watched.clock.advance(SECOND / 8);
                    } else {
                        watched.succeed(1);
                    }
                }
            });
        }
    });
    watched.clock.advance(10 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 160);
    hanging.lock().unwrap().clear();
    assert_eq!(watched.snapshot().stalled_calls, 0);
}

/// Through tower a call is in flight from `call` until its future ends or is dropped. A service that
/// is kept ready is not a call.
#[test]
fn futures_that_hang_trip_and_services_that_are_kept_ready_do_not() {
    let watched = five();
    let fallback = service_fn(|()| ready(Ok::<_, Infallible>("fallback")));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    let service = layer.layer(service_fn(|()| pending::<Result<&str, Infallible>>()));
    let mut context = Context::from_waker(Waker::noop());
    let mut kept: Vec<_> = (0..10).map(|_| service.clone()).collect();
    for service in &mut kept {
        assert!(service.poll_ready(&mut context).is_ready());
    }
    watched.clock.advance(10 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 0);
    let mut calls: Vec<_> = kept.iter_mut().take(5).map(|service| service.call(())).collect();
    watched.clock.advance(3 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 5);
    drop(calls.pop());
    assert_eq!(watched.snapshot().stalled_calls, 4);
    calls.push(kept[5].call(()));
    watched.clock.advance(3 * SECOND);
    let mut service = service.clone();
    assert!(service.poll_ready(&mut context).is_ready());
    assert_eq!(watched.route(), Route::Fallback);
    assert!(pin!(service.call(())).poll(&mut context).is_ready());
}
