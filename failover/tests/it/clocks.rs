//! A layer's clock, and a clock that reads ahead on one thread.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use failover::clock::{Clock, FineClock, ManualClock, Moment};
use failover::policy::StallLimit;
use failover::watched::FallbackFailing;
use failover::{Event, FailoverLayer, Monitor, Outcome, Policy, Route};
use tower::Layer;

use crate::common::{SECOND, ratio};

thread_local!(static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) });

/// Reads ahead on threads that ask for it.
#[derive(Clone, Default)]
struct Skewed(ManualClock);

impl Clock for Skewed {
    fn now(&self) -> Moment {
        let ahead = u64::try_from(AHEAD.get().as_nanos()).unwrap();
        Moment::from_nanos(self.0.now().as_nanos() + ahead)
    }
}

fn monitor(policy: Policy) -> (Monitor<Skewed>, ManualClock) {
    let clock = Skewed::default();
    clock.0.advance(SECOND);
    (Monitor::with_clock(policy, clock.clone()), clock.0)
}

fn call(monitor: &Monitor<Skewed>, outcome: Outcome) {
    monitor.record(monitor.admit().ticket().expect("on the primary"), outcome);
}

/// One successful call on a thread whose clock reads that far ahead.
fn call_ahead(monitor: &Monitor<Skewed>, ahead: Duration) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            AHEAD.set(ahead);
            call(monitor, Outcome::Success);
        });
        thread.join().unwrap();
    });
}

/// Fails until the monitor trips: how many failures that took.
fn failures(monitor: &Monitor<Skewed>) -> usize {
    let fail = |_: &usize| monitor.route() == Route::Primary;
    (0..1_000).take_while(fail).inspect(|_| call(monitor, Outcome::Failure)).count()
}

#[test]
fn a_reading_ahead_on_one_thread_does_not_hide_the_window_from_the_others() {
    for ahead in [10, 30, 60, 61, 600, 86_400 * 365] {
        for calls_before in [0, 1, 5] {
            let (monitor, _) = monitor(Policy::default());
            (0..calls_before).for_each(|_| call(&monitor, Outcome::Success));
            call_ahead(&monitor, ahead * SECOND);
            // The window's counts expire by that reading.
            let held = if ahead < 55 { calls_before + 1 } else { 1 };
            let expected = (10 - held).max(held + 1);
            assert_eq!(failures(&monitor), expected, "{ahead} s ahead, {calls_before} before");
        }
    }
}

#[test]
fn calls_of_all_threads_count_together_while_the_clock_catches_up() {
    let (monitor, clock) = monitor(Policy::default());
    for second in 0..120 {
        if second == 30 {
            call_ahead(&monitor, 600 * SECOND);
        }
        thread::scope(|scope| {
            scope.spawn(|| (0..10).for_each(|_| call(&monitor, Outcome::Success)));
        });
        // One call in eleven fails, on either thread.
        call(&monitor, Outcome::Failure);
        clock.advance(SECOND);
    }
    assert_eq!(monitor.route(), Route::Primary);
    let tally = monitor.handle().snapshot().tally;
    assert_eq!((tally.failures, tally.successes), (90, 901));
}

#[test]
fn a_reading_ahead_makes_no_call_that_has_just_begun_a_stalled_one() {
    let limits = [StallLimit::Calls(3), StallLimit::Share(ratio(1, 2))];
    for limit in limits {
        let policy = Policy::builder().stalled_calls(SECOND, limit).minimum_calls(3);
        let (monitor, clock) = monitor(policy.build().unwrap());
        call(&monitor, Outcome::Success);
        call_ahead(&monitor, 60 * SECOND);
        let _in_flight: Vec<_> = (0..5).map(|_| monitor.admit()).collect();
        clock.advance(SECOND / 2);
        assert!(monitor.admit().ticket().is_some(), "{limit:?}");
        assert_eq!(monitor.handle().snapshot().stalled_calls, 0);
    }
}

#[test]
fn a_layer_on_another_clock_keeps_its_policy_its_name_and_its_observers() {
    let (clock, told) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&told);
    let policy = Policy::builder().consecutive_failures(2).build().unwrap();
    let layer = FailoverLayer::with_fallback((), policy.clone())
        .named("quotes")
        .observe(move |_: &Event| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .clock(clock.clone());
    let handle = layer.handle();
    assert_eq!((handle.name(), handle.policy()), (Some("quotes"), policy));
    handle.force(Route::Fallback);
    assert_eq!(told.load(Ordering::Relaxed), 1);
    handle.release();
    let monitor = Monitor::with_clock(Policy::default(), clock.clone());
    while let Some(ticket) = monitor.admit().ticket() {
        monitor.record(ticket, Outcome::Failure);
    }
    handle.restore(&monitor.handle().save(), Duration::ZERO);
    clock.advance(299 * SECOND);
    assert_eq!(handle.snapshot().reverts_in, Some(SECOND));
}

#[test]
fn a_layer_that_is_in_use_takes_no_other_clock() {
    type Use = fn(&FailoverLayer<()>) -> Box<dyn Any>;
    let uses: [Use; 3] = [
        |layer| Box::new(layer.handle()),
        |layer| Box::new(layer.clone()),
        |layer| Box::new(layer.layer(())),
    ];
    for used in uses {
        let layer = FailoverLayer::with_fallback((), Policy::default());
        drop(used(&layer));
        let _ = layer.clock(ManualClock::new());
        let layer = FailoverLayer::with_fallback((), Policy::default());
        let _used = used(&layer);
        let clock = AssertUnwindSafe(|| layer.clock(ManualClock::new()));
        assert!(catch_unwind(clock).is_err());
    }
}

#[test]
#[should_panic(expected = "must be set before `handle`, `layer`, `watch_fallback` and `clone`")]
fn the_clock_of_a_layer_that_watches_its_fallback_is_set_before() {
    let layer = FailoverLayer::with_fallback((), Policy::default());
    let _ = layer.watch_fallback(Policy::default(), FallbackFailing::GoBack).clock(FineClock);
}

#[cfg(feature = "http")]
#[test]
fn an_http_layer_takes_another_clock_too() {
    let layer = failover::http::HttpFailoverLayer::with_fallback((), Policy::default());
    let layer = layer.without_route_extension().named("quotes").clock(ManualClock::new());
    assert_eq!(layer.handle().name(), Some("quotes"));
}
