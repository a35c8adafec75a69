//! Probing: HARD-WON 11 (a probe's place) and 17 to 21.

use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use failover::{
    Cause, Clock, Event, FailoverLayer, Outcome, Policy, Probing, Route, Snapshot, State, Ticket,
};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched};

type Answer = Result<&'static str, &'static str>;

/// A monitor that is probing, by the rules given.
fn probing(probing: Probing) -> Watched {
    let watched = Watched::new(Policy::builder().probing(probing).build().unwrap());
    watched.trip();
    watched.clock.advance(300 * SECOND);
    assert_eq!(state(&watched), State::Probing);
    watched
}

fn state(watched: &Watched) -> State {
    watched.snapshot().state
}

fn probe(watched: &Watched) -> Option<Ticket> {
    watched.monitor.admit().ticket()
}

/// HARD-WON 17.
#[test]
fn n_probes_admit_at_most_n_calls_at_once_over_all_threads() {
    for places in [1, 2, 5] {
        let watched = probing(Probing::new(places).successes(1_000));
        let barrier = Barrier::new(8);
        let held: Vec<Ticket> = thread::scope(|scope| {
            let joins: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        (0..10).filter_map(|_| probe(&watched)).collect::<Vec<_>>()
                    })
                })
                .collect();
            joins.into_iter().flat_map(|join| join.join().unwrap()).collect()
        });
        assert_eq!(held.len(), places as usize);
        drop(held);
        assert!(probe(&watched).is_some());
    }
}

#[test]
fn enough_successes_bring_all_calls_back() {
    let watched = probing(Probing::new(2).successes(3));
    for _ in 0..2 {
        watched.monitor.record(probe(&watched).unwrap(), Outcome::Success);
    }
    assert_eq!(watched.route(), Route::Fallback);
    watched.monitor.record(probe(&watched).unwrap(), Outcome::Success);
    assert_eq!((watched.route(), state(&watched)), (Route::Primary, State::Primary));
    assert_eq!(watched.tally().calls(), 0);
}

#[test]
fn too_many_failures_mean_another_while_on_the_fallback() {
    let watched = probing(Probing::new(2).successes(2).failures(2));
    watched.monitor.record(probe(&watched).unwrap(), Outcome::Failure);
    watched.monitor.record(probe(&watched).unwrap(), Outcome::Success);
    assert_eq!(state(&watched), State::Probing);
    watched.monitor.record(probe(&watched).unwrap(), Outcome::Failure);
    assert_eq!(state(&watched), State::Fallback);
    assert_eq!(watched.snapshot().reverts_in, Some(300 * SECOND));
    assert!(probe(&watched).is_none());
}

/// Only a clock that steps back gives two probes the same lease.
#[test]
fn of_two_probes_with_one_lease_the_first_to_come_back_speaks_and_the_other_says_nothing() {
    let watched = probing(Probing::new(1).successes(2).lease(SECOND));
    let before = watched.clock.now();
    let late = probe(&watched).unwrap();
    watched.clock.advance(SECOND);
    drop(probe(&watched).expect("the lease is over"));
    watched.clock.set(before);
    let other = probe(&watched).expect("the place is free");
    watched.monitor.record(late, Outcome::Success);
    watched.monitor.record(other, Outcome::Success);
    assert_eq!(state(&watched), State::Probing);
    assert!(probe(&watched).is_some());
}

/// HARD-WON 18: a ticket that is dropped, and one that is ignored. HARD-WON 20: neither is taken
/// for recovery.
#[test]
fn a_probe_that_is_dropped_or_ignored_gives_its_place_back_and_is_no_recovery() {
    let watched = probing(Probing::new(1).successes(1));
    for _ in 0..10 {
        drop(probe(&watched).expect("the place is free"));
        watched.monitor.record(probe(&watched).expect("the place is free"), Outcome::Ignored);
        let abandoned = probe(&watched).expect("the place is free");
        watched.monitor.abandon(abandoned);
    }
    assert_eq!(state(&watched), State::Probing);
}

/// HARD-WON 18 and 20, through tower: a future that is dropped.
#[test]
fn a_probe_whose_future_is_dropped_gives_its_place_back() {
    let watched = probing(Probing::new(1).successes(1));
    let fallback = service_fn(|()| ready(Ok::<_, &str>("fallback")));
    let primary = service_fn(|()| pending::<Answer>());
    let mut service = FailoverLayer::with_monitor(fallback, watched.monitor.clone()).layer(primary);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(service.poll_ready(&mut context).is_ready());
        let mut held = Box::pin(service.call(()));
        assert!(held.as_mut().poll(&mut context).is_pending());
        assert!(probe(&watched).is_none());
        drop(held);
        drop(probe(&watched).expect("the place is free"));
    }
    // A service that was made ready holds the place, and gives it back with itself.
    assert!(service.poll_ready(&mut context).is_ready());
    assert!(probe(&watched).is_none());
    drop(service);
    assert!(probe(&watched).is_some());
}

/// A primary that does as it is told when it is asked whether it is ready.
struct Gate(Poll<Result<(), &'static str>>);

impl Service<()> for Gate {
    type Response = &'static str;
    type Error = &'static str;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        assert!(self.0 != Poll::Ready(Err("panic")), "a faulty primary");
        self.0
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok("primary"))
    }
}

/// HARD-WON 18: a probe whose service fails in `poll_ready`, and one that panics.
#[test]
fn a_probe_that_fails_or_panics_in_poll_ready_gives_its_place_back_and_counts() {
    for error in ["broken", "panic"] {
        let watched = probing(Probing::new(1).failures(3));
        let fallback = service_fn(|()| ready(Ok::<_, &str>("fallback")));
        let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
        let mut service = layer.layer(Gate(Poll::Ready(Err(error))));
        let mut context = Context::from_waker(Waker::noop());
        for failures in 1..=3 {
            assert_eq!(state(&watched), State::Probing);
            let polled = catch_unwind(AssertUnwindSafe(|| service.poll_ready(&mut context)));
            if error == "panic" {
                assert!(polled.is_err());
            } else {
                assert!(matches!(polled, Ok(Poll::Ready(Ok(())))));
                let answer = pin!(service.call(())).poll(&mut context);
                assert_eq!(answer, Poll::Ready(Ok("fallback")));
            }
            if failures < 3 {
                drop(probe(&watched).expect("the place is free"));
            }
        }
        assert_eq!(state(&watched), State::Fallback);
    }
}

#[test]
fn a_probe_for_which_the_primary_is_not_ready_goes_to_the_fallback_and_says_nothing() {
    let watched = probing(Probing::new(1).failures(1));
    let fallback = service_fn(|()| ready(Ok::<_, &str>("fallback")));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    let mut service = layer.layer(Gate(Poll::Pending));
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    assert_eq!(pin!(service.call(())).poll(&mut context), Poll::Ready(Ok("fallback")));
    assert_eq!(state(&watched), State::Probing);
    assert!(probe(&watched).is_some());
}

/// HARD-WON 19.
#[test]
fn a_probe_that_hangs_loses_its_place_after_its_lease_so_that_recovery_goes_on() {
    let watched = probing(Probing::new(1).successes(1).lease(10 * SECOND));
    let hanging = probe(&watched).unwrap();
    watched.clock.advance(9 * SECOND);
    assert!(probe(&watched).is_none());
    watched.clock.advance(SECOND);
    let next = probe(&watched).expect("the lease is over");
    // What the first one says is not heard any more, good or bad, and frees nobody's place.
    watched.monitor.record(hanging, Outcome::Failure);
    assert!(probe(&watched).is_none());
    assert_eq!(state(&watched), State::Probing);
    watched.monitor.record(next, Outcome::Success);
    assert_eq!(state(&watched), State::Primary);
}

/// HARD-WON 11: a call admitted before the trip, and a probe of an earlier time, neither count as
/// probes nor hold or free a place.
#[test]
fn what_was_admitted_earlier_fills_no_probes_place() {
    let policy = Policy::builder().probing(Probing::new(1).successes(1)).build().unwrap();
    let watched = Watched::new(policy);
    let late = watched.ticket();
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let old = probe(&watched).unwrap();
    watched.monitor.record(late, Outcome::Success);
    assert_eq!(state(&watched), State::Probing);
    watched.handle().force(Route::Fallback);
    watched.handle().release();
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let new = probe(&watched).expect("the place of an earlier epoch is free");
    watched.monitor.record(old, Outcome::Success);
    assert_eq!(state(&watched), State::Probing);
    assert!(probe(&watched).is_none());
    watched.monitor.record(new, Outcome::Success);
    assert_eq!(state(&watched), State::Primary);
}

/// HARD-WON 21: probes an hour apart, with a window of a minute.
#[test]
fn probes_spaced_wider_apart_than_the_window_still_lead_back() {
    let watched = probing(Probing::new(1).successes(5));
    for _ in 0..5 {
        assert_eq!(state(&watched), State::Probing);
        watched.clock.advance(3_600 * SECOND);
        watched.monitor.record(probe(&watched).unwrap(), Outcome::Success);
    }
    assert_eq!(state(&watched), State::Primary);
}

#[test]
fn the_way_through_probing_is_told() {
    let policy = Policy::builder().probing(Probing::new(1).successes(1)).build().unwrap();
    let watched = Watched::new(policy);
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&told);
    watched
        .monitor
        .observe(move |event: &Event| seen.lock().unwrap().push((event.route, event.cause)));
    watched.trip();
    watched.clock.advance(300 * SECOND);
    watched.monitor.record(probe(&watched).unwrap(), Outcome::Failure);
    watched.clock.advance(300 * SECOND);
    watched.monitor.record(probe(&watched).unwrap(), Outcome::Success);
    let told = told.lock().unwrap();
    assert_eq!(
        told[1..],
        [
            (Route::Fallback, Cause::Probing),
            (Route::Fallback, Cause::ProbesFailed { revert_after: 300 * SECOND }),
            (Route::Fallback, Cause::Probing),
            (Route::Primary, Cause::Reverted),
        ]
    );
}

#[test]
fn probing_allocates_nothing() {
    let watched = probing(Probing::new(2).successes(2).failures(1));
    let allocations = allocation_counter::measure(|| {
        for round in 0..100 {
            drop(probe(&watched));
            let (one, two) = (probe(&watched).unwrap(), probe(&watched).unwrap());
            watched.monitor.record(one, Outcome::Success);
            let outcome = if round % 2 == 0 { Outcome::Success } else { Outcome::Failure };
            watched.monitor.record(two, outcome);
            watched.trip();
            watched.clock.advance(300 * SECOND);
        }
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn an_operator_may_end_the_time_on_the_fallback_and_the_probing() {
    let watched = Watched::new(Policy::builder().probing(Probing::new(1)).build().unwrap());
    assert!(!watched.handle().revert(None), "there is nothing to revert");
    watched.trip();
    let Snapshot { epoch, .. } = watched.snapshot();
    assert!(!watched.handle().revert(Some(epoch + 1)));
    assert!(watched.handle().revert(Some(epoch)));
    assert_eq!(state(&watched), State::Primary);
    watched.trip();
    watched.clock.advance(300 * SECOND);
    drop(probe(&watched));
    assert!(watched.handle().revert(None));
    assert_eq!(state(&watched), State::Primary);
    watched.handle().force(Route::Fallback);
    assert!(!watched.handle().revert(None), "a forced route is released, not reverted");
}

#[test]
fn a_lease_is_kept_to_the_millisecond_at_least() {
    let watched = probing(Probing::new(1).lease(Duration::from_millis(1)));
    let _held = probe(&watched).unwrap();
    assert!(probe(&watched).is_none());
    watched.clock.advance(Duration::from_millis(1));
    assert!(probe(&watched).is_some());
}
