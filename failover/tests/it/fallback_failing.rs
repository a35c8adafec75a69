//! When the fallback is failing too.

use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use failover::clock::ManualClock;
use failover::event::{Cause, Condition};
use failover::policy::Probing;
use failover::watched::{FallbackFailing, WatchedFallback};
use failover::{Event, Failover, FailoverLayer, Outcome, Policy, Rescue, Route, State};
use tower::{Layer, Service};

use crate::common::{SECOND, Watched, ratio};

type Answer = Result<&'static str, &'static str>;

/// A service that fails while its flag is set.
#[derive(Clone)]
struct Switch(Rc<Cell<bool>>);

impl Service<()> for Switch {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Ready<Answer> {
        ready(if self.0.get() { Err("down") } else { Ok("up") })
    }
}

type Service2 = Failover<
    Switch,
    WatchedFallback<Switch, failover::classify::ErrorsAsFailures, ManualClock>,
    failover::classify::ErrorsAsFailures,
    ManualClock,
>;

struct Rig {
    watched: Watched,
    service: Service2,
    primary: Switch,
    fallback: Switch,
}

fn rig(policy: Policy, then: FallbackFailing) -> Rig {
    let watched = Watched::new(policy);
    let (primary, fallback) = (Switch(Rc::default()), Switch(Rc::default()));
    let layer = FailoverLayer::with_monitor(fallback.clone(), watched.monitor.clone())
        .watch_fallback(Policy::default(), then);
    let service = layer.layer(primary.clone());
    Rig { watched, service, primary, fallback }
}

impl Rig {
    fn calls(&mut self, calls: usize) {
        for _ in 0..calls {
            let _ = call(&mut self.service);
        }
    }

    /// The primary fails until it trips.
    fn trip(&mut self) {
        self.primary.0.set(true);
        while self.watched.route() == Route::Primary {
            self.calls(1);
        }
    }
}

fn call<S>(service: &mut S) -> Answer
where
    S: Service<(), Response = &'static str>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    match pin!(service.call(())).poll(&mut context) {
        Poll::Ready(Ok(answer)) => Ok(answer),
        Poll::Ready(Err(_)) => Err("failed"),
        Poll::Pending => panic!("a service of these tests is always done"),
    }
}

#[test]
fn calls_go_back_early_when_the_fallback_fails_too_often_and_by_its_own_minimum() {
    let mut rig = rig(Policy::default(), FallbackFailing::GoBack);
    rig.trip();
    rig.fallback.0.set(true);
    rig.calls(9);
    assert_eq!(rig.watched.route(), Route::Fallback);
    rig.calls(1);
    assert_eq!((rig.watched.route(), rig.watched.tally().calls()), (Route::Primary, 0));
}

#[test]
fn the_event_shows_that_the_fallback_is_failing_and_its_window() {
    let gradual = Policy::builder().ramp_up(ratio(1, 2), 60 * SECOND).build().unwrap();
    for (policy, to) in [(Policy::default(), State::Primary), (gradual, State::Ramping)] {
        let mut rig = rig(policy, FallbackFailing::GoBack);
        let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = std::sync::Arc::clone(&events);
        rig.watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
        rig.trip();
        rig.fallback.0.set(true);
        rig.calls(10);
        let event = events.lock().unwrap().last().unwrap().clone();
        let Cause::FallbackFailing { condition, tally } = event.cause else { panic!("{event:?}") };
        assert_eq!((condition, tally.failures, event.to), (Condition::FailureRate, 10, to));
        assert_eq!(event.cause.as_str(), "fallback_failing");
    }
}

/// A dry run of the fallback's policy counts but does not end the stay; after a swap it does.
#[test]
fn the_fallbacks_policy_can_be_swapped_by_a_handle_of_its_own() {
    let watched = Watched::new(Policy::default());
    let fallback = Switch(Rc::default());
    let dry = Policy::builder().dry_run().build().unwrap();
    let layer = FailoverLayer::with_monitor(fallback.clone(), watched.monitor.clone())
        .watch_fallback(dry, FallbackFailing::GoBack);
    let mut service = layer.layer(Switch(Rc::default()));
    watched.trip();
    fallback.0.set(true);
    for _ in 0..50 {
        let _ = call(&mut service);
    }
    assert_eq!(watched.route(), Route::Fallback);
    layer.fallback_handle().swap_policy(Policy::default());
    for _ in 0..10 {
        let _ = call(&mut service);
    }
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn another_fallback_service_goes_on_with_the_route_and_both_windows() {
    let watched = Watched::new(Policy::default());
    let (primary, first) = (Switch(Rc::default()), Switch(Rc::default()));
    let layer = FailoverLayer::with_monitor(first.clone(), watched.monitor.clone())
        .watch_fallback(Policy::default(), FallbackFailing::GoBack);
    let service = layer.layer(primary.clone());
    let mut rig = Rig { watched, service, primary, fallback: first };
    rig.trip();
    rig.fallback.0.set(true);
    rig.calls(9);
    let second = Switch(Rc::default());
    let replaced = layer.replace_fallback(second.clone());
    assert_eq!(replaced.fallback_handle().snapshot().tally.failures, 9);
    let mut service = replaced.layer(rig.primary.clone());
    assert_eq!(call(&mut service), Ok("up"), "the second is asked");
    assert_eq!(rig.watched.route(), Route::Primary, "nine of ten calls failed");
    rig.trip();
    second.0.set(true);
    assert_eq!(call(&mut service), Err("failed"));
    rig.calls(1);
    assert_eq!(layer.fallback_handle().snapshot().tally.failures, 2, "of both services");
}

#[test]
fn a_fallback_that_does_well_keeps_the_calls_until_their_time_is_over() {
    let mut rig = rig(Policy::default(), FallbackFailing::GoBack);
    rig.trip();
    for _ in 0..50 {
        rig.fallback.0.set(false);
        rig.calls(1);
        rig.fallback.0.set(true);
        rig.calls(1);
    }
    assert_eq!(rig.watched.snapshot().reverts_in, Some(300 * SECOND));
}

#[test]
fn each_stay_on_the_fallback_is_evaluated_by_itself() {
    let mut rig = rig(Policy::default(), FallbackFailing::GoBack);
    rig.trip();
    rig.fallback.0.set(true);
    rig.calls(9);
    rig.watched.clock.advance(300 * SECOND);
    rig.trip();
    rig.calls(9);
    assert_eq!(rig.watched.route(), Route::Fallback);
    rig.calls(1);
    assert_eq!(rig.watched.route(), Route::Primary);
}

/// No time passes between the two stays, so the first one's failures have not expired.
#[test]
fn a_stay_on_the_fallback_begins_with_an_empty_window_at_once() {
    for leave in [
        |rig: &Rig| assert!(rig.watched.handle().revert()),
        |rig: &Rig| {
            rig.watched.handle().reset();
        },
    ] {
        let mut rig = rig(Policy::default(), FallbackFailing::GoBack);
        rig.trip();
        rig.fallback.0.set(true);
        rig.calls(9);
        leave(&rig);
        assert_eq!(rig.watched.route(), Route::Primary);
        rig.trip();
        rig.calls(9);
        assert_eq!(rig.watched.route(), Route::Fallback);
        rig.calls(1);
        assert_eq!(rig.watched.route(), Route::Primary);
    }
}

#[test]
fn going_back_early_is_gradual_where_the_policy_says_so() {
    let policy = Policy::builder().ramp_up(ratio(1, 2), 60 * SECOND).build().unwrap();
    let mut rig = rig(policy, FallbackFailing::GoBack);
    rig.trip();
    rig.fallback.0.set(true);
    rig.calls(10);
    assert_eq!(rig.watched.snapshot().state, State::Ramping);
}

#[test]
fn while_the_primary_is_probed_a_failing_fallback_brings_the_calls_back() {
    let policy = Policy::builder().probing(Probing::new(1).failures(1_000)).build().unwrap();
    let mut rig = rig(policy, FallbackFailing::GoBack);
    rig.trip();
    rig.watched.clock.advance(300 * SECOND);
    let _place = rig.watched.monitor.admit();
    assert_eq!(rig.watched.snapshot().state, State::Probing);
    rig.fallback.0.set(true);
    rig.calls(10);
    assert_eq!(rig.watched.snapshot().state, State::Primary);
}

/// The primary failed six of ten. A fallback that fails six of ten is no worse; seven are.
#[test]
fn the_lesser_evil_keeps_the_calls() {
    let mut rig = rig(Policy::default(), FallbackFailing::TakeLesser);
    for fails in [true, false].into_iter().cycle().take(8) {
        rig.primary.0.set(fails);
        rig.calls(1);
    }
    rig.primary.0.set(true);
    rig.calls(2);
    assert_eq!(rig.watched.route(), Route::Fallback);
    let ten = |rig: &mut Rig, failures: usize| {
        for call in 0..10 {
            // The failures come last, so that the tenth call is evaluated.
            rig.fallback.0.set(call >= 10 - failures);
            rig.calls(1);
        }
    };
    ten(&mut rig, 6);
    assert_eq!(rig.watched.route(), Route::Fallback);
    ten(&mut rig, 7);
    assert_eq!(rig.watched.route(), Route::Primary);
}

#[test]
fn a_route_that_an_operator_forced_is_not_left() {
    let mut rig = rig(Policy::default(), FallbackFailing::GoBack);
    rig.watched.handle().force(Route::Fallback);
    rig.fallback.0.set(true);
    rig.calls(100);
    assert_eq!(rig.watched.snapshot().state, State::ForcedFallback);
}

#[test]
fn rescues_by_the_fallback_change_nothing_while_calls_are_on_the_primary() {
    let watched = Watched::new(Policy::builder().minimum_calls(1_000).build().unwrap());
    let (primary, fallback) = (Switch(Rc::default()), Switch(Rc::default()));
    let layer = FailoverLayer::with_monitor(fallback.clone(), watched.monitor.clone())
        .watch_fallback(Policy::default(), FallbackFailing::GoBack);
    let mut service = layer.rescue(Rescue::cloning()).layer(primary.clone());
    primary.0.set(true);
    fallback.0.set(true);
    for _ in 0..100 {
        assert_eq!(call(&mut service), Err("failed"));
    }
    assert_eq!((watched.route(), watched.tally().failures), (Route::Primary, 100));
}

#[test]
fn in_a_dry_run_rescues_that_fail_end_no_more_than_a_rehearsed_time() {
    let watched = Watched::new(Policy::builder().dry_run().build().unwrap());
    let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&events);
    watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.cause.as_str()));
    let (primary, fallback) = (Switch(Rc::default()), Switch(Rc::default()));
    let layer = FailoverLayer::with_monitor(fallback.clone(), watched.monitor.clone())
        .watch_fallback(Policy::default(), FallbackFailing::GoBack);
    let mut service = layer.rescue(Rescue::cloning()).layer(primary.clone());
    primary.0.set(true);
    fallback.0.set(true);
    for _ in 0..20 {
        let _ = call(&mut service);
    }
    assert_eq!(*events.lock().unwrap(), ["would_trip", "would_revert"]);
}

#[test]
fn a_failover_that_is_gone_takes_the_fallbacks_monitor_with_it() {
    let Rig { watched, service, .. } = rig(Policy::default(), FallbackFailing::GoBack);
    let told = std::sync::Arc::new(());
    let kept = std::sync::Arc::clone(&told);
    watched.monitor.observe(move |_: &failover::Event| drop(std::sync::Arc::clone(&kept)));
    drop((watched, service));
    assert_eq!(std::sync::Arc::strong_count(&told), 1, "its observers are gone");
}

#[test]
fn a_fallback_may_be_classified_by_its_answers() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    let fallback = Switch(Rc::default());
    let always = |_: &Answer| Outcome::Failure;
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone()).watch_fallback_by(
        Policy::default(),
        FallbackFailing::GoBack,
        always,
    );
    let mut service = layer.layer(Switch(Rc::default()));
    for _ in 0..10 {
        assert_eq!(call(&mut service), Ok("up"));
    }
    assert_eq!(watched.route(), Route::Primary);
}
