//! Calls without tower: by closures, and by a guard.

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use failover::policy::{Probing, StallLimit};
use failover::{Error, Monitor, Outcome, Policy, Route};

use crate::common::{SECOND, Watched, counts};

type Answer = Result<&'static str, &'static str>;

fn drive<T>(call: impl Future<Output = T>) -> Poll<T> {
    pin!(call).poll(&mut Context::from_waker(Waker::noop()))
}

fn done<T>(call: impl Future<Output = T>) -> T {
    match drive(call) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("still pending"),
    }
}

fn five_hundred_is_failure(result: &Result<u16, &'static str>) -> Outcome {
    if matches!(result, Ok(..500)) { Outcome::Success } else { Outcome::Failure }
}

#[test]
fn calls_go_to_the_primary_until_it_fails_too_often_and_only_the_chosen_closure_runs() {
    let watched = Watched::new(Policy::default());
    let monitor = watched.monitor.clone().named("prices");
    let (primary, fallback) = (Cell::new(0), Cell::new(0));
    let count = |calls: &Cell<u32>| calls.set(calls.get() + 1);
    let call = || {
        done(monitor.call(
            || {
                count(&primary);
                ready(Err::<u8, _>("down"))
            },
            || {
                count(&fallback);
                ready(Ok::<_, u8>(7))
            },
        ))
    };
    for _ in 0..10 {
        let error = call().unwrap_err();
        assert_eq!(error, Error::Primary("down"));
    }
    assert_eq!(call(), Ok(7));
    assert_eq!((primary.get(), fallback.get()), (10, 1));
    assert_eq!(watched.route(), Route::Fallback);
    let failing = || ready(Err::<u8, _>("down as well"));
    let error = done(monitor.call(|| ready(Ok::<_, u8>(1)), failing)).unwrap_err();
    assert_eq!(error, Error::Fallback("down as well"));
}

#[test]
fn blocking_calls_are_counted_alike() {
    let watched = Watched::new(Policy::default());
    let call = || watched.monitor.call_blocking(|| "x".parse::<u8>(), || Ok::<_, ()>(7));
    (0..10).for_each(|_| assert!(call().unwrap_err().primary().is_some()));
    assert_eq!(call(), Ok(7));
    let failing = || Err::<u8, _>("down");
    let error = watched.monitor.call_blocking(|| Ok::<_, ()>(1), failing).unwrap_err();
    assert_eq!(error, Error::Fallback("down"));
}

#[test]
fn a_classifier_decides_for_each_of_them() {
    let watched = Watched::new(Policy::default());
    let calls = || watched.monitor.classify(five_hundred_is_failure);
    let ok = || Ok::<_, &str>(200);
    assert_eq!(done(calls().call(|| ready(Ok(503)), || ready(ok()))), Ok(503));
    assert_eq!(calls().call_blocking(|| Ok(503), ok), Ok(503));
    assert_eq!(done(calls().call_or_rescue(|| ready(Ok(503)), || ready(ok()))), Ok(200));
    assert_eq!(done(calls().call_or_rescue(|| ready(Ok(200)), || ready(Err(())))), Ok(200));
    assert_eq!(counts(watched.tally()), (3, 1));
}

#[test]
fn a_rescued_call_is_answered_by_the_fallback_and_counts_as_a_failure() {
    let watched = Watched::new(Policy::default());
    let rescue = |first: Answer, second: Answer| {
        done(watched.monitor.call_or_rescue(|| ready(first), || ready(second)))
    };
    assert_eq!(rescue(Err("down"), Ok("fallback")), Ok("fallback"));
    assert_eq!(rescue(Ok("primary"), Err("unused")), Ok("primary"));
    let both = Error::Both { primary: "down", fallback: "down as well" };
    assert_eq!(rescue(Err("down"), Err("down as well")), Err(both));
    assert_eq!(counts(watched.tally()), (2, 1));
    watched.handle().force(Route::Fallback);
    assert_eq!(rescue(Ok("unused"), Err("down")), Err(Error::Fallback("down")));
    let calls = watched.monitor.classify(five_hundred_is_failure);
    watched.handle().force(Route::Primary);
    // An answer that failed is better than no answer.
    assert_eq!(done(calls.call_or_rescue(|| ready(Ok(503)), || ready(Err(())))), Ok(503));
}

/// By admit and record alone, five panics left a tally of 0/0.
#[test]
fn a_panic_of_the_primary_is_one_failure_and_goes_on_unwinding() {
    let watched = Watched::new(Policy::default());
    let monitor = &watched.monitor;
    let fallback = || ready(Ok::<_, &str>("fallback"));
    fn in_closure() -> std::future::Ready<Answer> {
        panic!("a faulty primary")
    }
    let calls: [&dyn Fn(); 6] = [
        &|| {
            let _ = drive(monitor.call(in_closure, fallback));
        },
        &|| {
            let _ = drive(monitor.call(|| async { in_closure().await }, fallback));
        },
        &|| {
            let _ = drive(monitor.call_or_rescue(in_closure, fallback));
        },
        &|| {
            let _ = drive(monitor.call_or_rescue(|| async { in_closure().await }, fallback));
        },
        &|| {
            let _ = monitor.call_blocking(|| in_closure().into_inner(), || Ok::<_, &str>(""));
        },
        &|| {
            let call = monitor.guard().unwrap();
            let answer = in_closure();
            call.end(Outcome::Success);
            drop(answer);
        },
    ];
    for (before, call) in (0..).zip(calls) {
        assert_eq!(counts(watched.tally()), (before, 0));
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    }
    assert_eq!(counts(watched.tally()), (6, 0));
}

#[test]
fn a_panic_of_the_fallback_counts_for_nothing() {
    let watched = Watched::new(Policy::default());
    watched.handle().force(Route::Fallback);
    fn faulty() -> Answer {
        panic!("a faulty fallback")
    }
    let call = || watched.monitor.call_blocking(|| Ok::<_, ()>("primary"), faulty);
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    assert_eq!(watched.tally().calls(), 0);
}

#[test]
fn a_dropped_call_is_neutral_unless_the_policy_says_otherwise() {
    let policy = Policy::builder().dropped_after(2 * SECOND).build().unwrap();
    for (policy, failures) in [(Policy::default(), 0), (policy, 3)] {
        let watched = Watched::new(policy);
        let monitor = &watched.monitor;
        let fallback = || ready(Ok::<_, &str>("fallback"));
        let calls: [&dyn Fn(); 3] = [
            &|| {
                let mut call = pin!(monitor.call(pending::<Answer>, fallback));
                assert!(drive(call.as_mut()).is_pending());
                watched.clock.advance(3 * SECOND);
            },
            &|| {
                let mut call = pin!(monitor.call_or_rescue(pending::<Answer>, fallback));
                assert!(drive(call.as_mut()).is_pending());
                watched.clock.advance(3 * SECOND);
            },
            &|| {
                let _call = monitor.guard();
                watched.clock.advance(3 * SECOND);
            },
        ];
        calls.iter().for_each(|call| call());
        assert_eq!(counts(watched.tally()), (failures, 0));
    }
}

#[test]
fn a_future_that_is_never_polled_is_no_call() {
    let policy = Policy::builder().stalled_calls(SECOND, StallLimit::Calls(1)).build().unwrap();
    let watched = Watched::new(policy);
    let call = watched.monitor.call(pending::<Answer>, pending::<Answer>);
    watched.clock.advance(2 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 0);
    drop(call);
    assert_eq!(watched.tally().calls(), 0);
}

#[test]
fn a_guard_holds_the_permit_of_a_probe_until_its_end() {
    let policy = Policy::builder().probing(Probing::new(1).successes(1)).build().unwrap();
    let watched = Watched::new(policy);
    watched.trip();
    assert!(watched.monitor.guard().is_none());
    watched.clock.advance(300 * SECOND);
    let probe = watched.monitor.guard().unwrap();
    assert!(watched.monitor.guard().is_none());
    probe.end(Outcome::Success);
    assert_eq!(watched.route(), Route::Primary);
}

/// In a destructor that runs during a panic from elsewhere.
#[test]
fn a_guard_that_begins_while_its_thread_unwinds_is_not_failed_by_that_panic() {
    struct CallsWhenDropped(Monitor<failover::clock::ManualClock>);
    impl Drop for CallsWhenDropped {
        fn drop(&mut self) {
            drop(self.0.guard());
        }
    }
    let watched = Watched::new(Policy::default());
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _calls = CallsWhenDropped(watched.monitor.clone());
        panic!("elsewhere");
    }));
    assert!(unwound.is_err());
    assert_eq!(watched.tally().calls(), 0);
}

#[tokio::test]
async fn one_monitor_serves_functions_of_different_types_that_borrow() {
    struct Store {
        name: String,
    }
    impl Store {
        async fn name(&self) -> Result<&str, std::io::Error> {
            Ok(&self.name)
        }
        async fn count(&self, of: &[u8]) -> Result<usize, std::fmt::Error> {
            Ok(of.len() + self.name.len())
        }
    }
    let (primary, fallback) = (Store { name: "one".into() }, Store { name: "two".into() });
    let monitor = Monitor::new(Policy::default());
    let bytes = vec![0; 3];
    assert_eq!(monitor.call(|| primary.name(), || fallback.name()).await.unwrap(), "one");
    let count = monitor.call(|| primary.count(&bytes), || fallback.count(&bytes));
    assert_eq!(count.await.unwrap(), 6);
    assert_eq!(monitor.handle().snapshot().tally.successes, 2);
}

#[test]
fn the_futures_are_send_if_those_of_the_services_are_and_need_not_be() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let monitor = Monitor::new(Policy::default());
    let call = || ready(Ok::<_, &str>(1));
    drop(is_send(monitor.call(call, call)));
    drop(is_send(monitor.call_or_rescue(call, call)));
    // Its output is not `Send`, and no future holds it.
    let boxed = || async { Err::<u8, Box<dyn std::error::Error>>("down".into()) };
    drop(is_send(monitor.call(boxed, call)));
    let own = Rc::new(7);
    let local = async || Ok::<_, &str>(*own);
    assert_eq!(done(monitor.call(&local, &local)), Ok(7));
    let spawned = async move { monitor.call(call, call).await };
    fn is_static<T: Send + 'static>(_: T) {}
    is_static(spawned);
}

#[test]
fn errors_of_both_are_told_apart() {
    let monitor = Monitor::new(Policy::default());
    let error: Error<u8, &str> = monitor.call_blocking(|| Err::<(), _>(7), || Ok(())).unwrap_err();
    assert_eq!((error.primary(), error.fallback()), (Some(&7), None));
}

#[test]
fn a_classifier_that_panics_makes_a_dropped_call_of_a_blocking_one_too() {
    let faulty = |_: &Answer| -> Outcome { panic!("a faulty classifier") };
    for blocking in [true, false] {
        let monitor = Monitor::new(Policy::default());
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let calls = monitor.classify(faulty);
            let answer = || Answer::Ok("primary");
            if blocking {
                calls.call_blocking(answer, answer)
            } else {
                done(calls.call(|| ready(answer()), || ready(answer())))
            }
        }));
        assert!(unwound.is_err());
        let tally = monitor.handle().snapshot().tally;
        assert_eq!((counts(tally), tally.dropped), ((0, 0), 1));
    }
}
