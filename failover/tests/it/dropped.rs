//! Calls dropped after running for a given time: HARD-WON 28.

use std::future::{Future, pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use failover::clock::{Clock, ManualClock, Moment};
use failover::event::Cause;
use failover::policy::{PolicyBuilder, Probing, SlowCalls, StallLimit};
use failover::{Event, FailoverLayer, Monitor, Policy, Rescue, Route, State};
use tower::timeout::{Timeout, error::Elapsed};
use tower::{Layer, Service, ServiceExt, service_fn};

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
    // The clock advanced by 120 s, two windows.
    assert_eq!(watched.tally().dropped, 5);
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
    let tally = monitor.handle().snapshot().tally;
    assert_eq!((tally.calls(), tally.dropped, tally.failure_rate()), (0, 1, None));
}

/// The time-out belongs inside the layer.
#[tokio::test(start_paused = true)]
async fn a_time_out_outside_the_layer_is_seen_in_the_dropped_calls() {
    let fallback = service_fn(|()| ready(Ok::<_, io::Error>(())));
    let layer = FailoverLayer::with_fallback(fallback, Policy::default());
    let hangs = service_fn(|()| pending::<io::Result<()>>());
    let mut service = Timeout::new(layer.layer(hangs), SECOND);
    for _ in 0..100 {
        let error = service.ready().await.unwrap().call(()).await.unwrap_err();
        assert!(error.is::<Elapsed>());
    }
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.route, counts(snapshot.tally)), (Route::Primary, (0, 0)));
    assert_eq!(snapshot.tally.dropped, 100);
}

fn drop_calls(watched: &Watched, calls: usize) {
    (0..calls).for_each(|_| watched.monitor.abandon(watched.ticket()));
}

#[test]
fn dropped_calls_leave_the_window_with_their_bucket() {
    let watched = Watched::new(Policy::default());
    let dropped_after = |seconds| {
        watched.clock.advance(seconds * SECOND);
        watched.tally().dropped
    };
    drop_calls(&watched, 3);
    watched.clock.advance(30 * SECOND);
    drop_calls(&watched, 2);
    assert_eq!([0, 20, 16, 30].map(dropped_after), [5, 5, 2, 0]);
}

#[test]
fn in_a_window_of_calls_dropped_calls_leave_with_the_calls_that_ended_before_them() {
    let watched = Watched::new(Policy::builder().last_calls(16).build().unwrap());
    watched.succeed(40);
    drop_calls(&watched, 7);
    watched.clock.advance(3_600 * SECOND);
    let dropped_after = |calls| {
        watched.succeed(calls);
        watched.tally().dropped
    };
    assert_eq!([0, 15, 1].map(dropped_after), [7, 7, 0]);
}

/// HARD-WON 11.
#[test]
fn a_transition_forgets_the_dropped_calls_and_those_that_began_before_it() {
    let watched = Watched::new(Policy::default());
    let before = watched.ticket();
    drop_calls(&watched, 4);
    assert_eq!(watched.tally().dropped, 4);
    watched.handle().reset();
    watched.monitor.abandon(before);
    assert_eq!(watched.tally().dropped, 0);
    drop_calls(&watched, 1);
    assert_eq!(watched.tally().dropped, 1);
}

#[test]
fn a_swap_of_the_policy_forgets_the_dropped_calls_but_not_those_in_flight() {
    let watched = Watched::new(Policy::default());
    let before = watched.ticket();
    drop_calls(&watched, 4);
    watched.handle().swap_policy(builder().build().unwrap());
    assert_eq!(watched.tally().dropped, 0);
    watched.monitor.abandon(before);
    assert_eq!(watched.tally().dropped, 1);
}

#[test]
fn a_trip_tells_the_dropped_calls_of_its_window() {
    let watched = Watched::new(builder().build().unwrap());
    let tripped = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&tripped);
    watched.monitor.observe(move |event: &Event| {
        if let Cause::Tripped { tally, .. } = event.cause {
            *seen.lock().unwrap() = Some(tally);
        }
    });
    drop_calls(&watched, 3);
    watched.trip();
    let tally = tripped.lock().unwrap().unwrap();
    assert_eq!((counts(tally), tally.dropped), ((5, 0), 3));
    // On the fallback there is no window.
    assert_eq!(watched.tally().dropped, 0);
}

#[test]
fn a_dropped_probe_and_a_dropped_ticket_are_not_among_the_dropped_calls() {
    let watched = Watched::new(Policy::builder().probing(Probing::new(1)).build().unwrap());
    drop(watched.ticket());
    assert_eq!(watched.tally().dropped, 0);
    watched.trip();
    watched.clock.advance(300 * SECOND);
    drop_calls(&watched, 1);
    assert_eq!((watched.snapshot().state, watched.tally().dropped), (State::Probing, 0));
}

#[test]
fn dropped_calls_are_counted_in_a_dry_run_and_on_a_forced_primary() {
    let watched = Watched::new(builder().dry_run().build().unwrap());
    watched.fail(5);
    assert_eq!(watched.snapshot().state, State::Fallback);
    drop_calls(&watched, 2);
    assert_eq!(watched.tally().dropped, 2);
    watched.handle().force(Route::Primary);
    drop_calls(&watched, 3);
    assert_eq!(watched.tally().dropped, 3);
}

#[test]
fn dropped_calls_are_not_saved() {
    let watched = Watched::new(Policy::default());
    drop_calls(&watched, 3);
    let saved = watched.handle().save();
    assert_eq!(saved.tally().dropped, 0);
    watched.handle().restore(&saved, SECOND);
    assert_eq!(watched.tally().dropped, 0);
}

#[test]
fn many_threads_drop_calls_and_none_is_lost() {
    let watched = Watched::new(Policy::default());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| drop_calls(&watched, 1_000));
        }
    });
    assert_eq!((watched.tally().dropped, watched.tally().calls()), (4_000, 0));
}

#[test]
fn only_the_first_dropped_call_allocates() {
    // A size that no other test of this process uses, so that the memory is new.
    let watched = Watched::new(Policy::builder().window(60 * SECOND, 2_003).build().unwrap());
    let new = watched.monitor.memory();
    drop_calls(&watched, 1);
    let first = watched.monitor.memory() - new;
    assert!((1..1_024).contains(&first), "{first}");
    let before = watched.monitor.memory();
    let allocations = allocation_counter::measure(|| {
        for _ in 0..100 {
            drop_calls(&watched, 50);
            watched.clock.advance(SECOND);
        }
    });
    assert_eq!((allocations.count_total, watched.monitor.memory()), (0, before));
}

/// A clock that panics, as tokio's does in the destructor of a thread-local.
#[derive(Clone, Default)]
struct FaultyClock {
    faulty: Arc<AtomicBool>,
    clock: ManualClock,
}

impl Clock for FaultyClock {
    fn now(&self) -> Moment {
        assert!(!self.faulty.load(Ordering::Relaxed), "a faulty clock");
        self.clock.now()
    }
}

#[test]
fn a_clock_that_panics_while_a_call_is_dropped_neither_aborts_nor_leaves_the_call_in_flight() {
    let policies = [
        Policy::builder().stalled_calls(2 * SECOND, StallLimit::Calls(1)),
        builder().stalled_calls(2 * SECOND, StallLimit::Calls(1)),
    ];
    for policy in policies.map(|policy| policy.build().unwrap()) {
        let clock = FaultyClock::default();
        let monitor = Monitor::with_clock(policy, clock.clone());
        let guard = monitor.guard();
        let mut hangs = Box::pin(monitor.call(pending::<Answer>, pending::<Answer>));
        assert!(hangs.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        clock.faulty.store(true, Ordering::Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(guard))).is_ok());
        // Dropped while the thread unwinds: a second panic would abort.
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _hangs = hangs;
            panic!("something else");
        }));
        assert!(unwound.is_err());
        clock.faulty.store(false, Ordering::Relaxed);
        clock.clock.advance(3 * SECOND);
        let snapshot = monitor.handle().snapshot();
        assert_eq!((snapshot.stalled_calls, snapshot.tally.calls()), (0, 0));
    }
}
