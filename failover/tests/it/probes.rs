//! Probing: HARD-WON 11 (a probe's permit) and 17 to 21.

use std::future::{pending, ready};
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use failover::clock::{Clock, ManualClock, Moment};
use failover::event::Cause;
use failover::monitor::Ticket;
use failover::policy::Probing;
use failover::{Event, FailoverLayer, Monitor, Outcome, Policy, Route, Snapshot, State};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched};

type Answer = Result<&'static str, &'static str>;

/// A monitor that is probing.
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
    for max_in_flight in [1, 2, 5] {
        let watched = probing(Probing::new(max_in_flight).successes(1_000));
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
        assert_eq!(held.len(), max_in_flight as usize);
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

/// HARD-WON 18: a dropped ticket, and an ignored one. HARD-WON 20: neither counts as recovery.
#[test]
fn a_probe_that_is_dropped_or_ignored_releases_its_permit_and_is_not_a_recovery() {
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
fn a_probe_whose_future_is_dropped_releases_its_permit() {
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
    // A service that is ready holds the permit, and releases it when dropped.
    assert!(service.poll_ready(&mut context).is_ready());
    assert!(probe(&watched).is_none());
    drop(service);
    assert!(probe(&watched).is_some());
}

/// A service with a scripted `poll_ready`.
#[derive(Clone)]
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
fn a_probe_that_fails_or_panics_in_poll_ready_releases_its_permit_and_counts() {
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

/// A probe that went to the fallback when the primary was busy at its first poll: 0 probes in 10,000
/// calls of fresh clones.
#[test]
fn a_probe_waits_for_a_busy_primary_so_that_clones_of_one_call_lead_back() {
    let watched = probing(Probing::new(1).successes(3));
    let layer = FailoverLayer::with_monitor(steady(), watched.monitor.clone());
    let service = layer.layer(Warming { ready: false });
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert_eq!(state(&watched), State::Probing);
        let mut fresh = service.clone();
        assert!(fresh.poll_ready(&mut context).is_pending());
        // It holds the permit meanwhile.
        assert!(probe(&watched).is_none());
        assert!(fresh.poll_ready(&mut context).is_ready());
        assert_eq!(pin!(fresh.call(())).poll(&mut context), Poll::Ready(Ok("primary")));
    }
    assert_eq!(state(&watched), State::Primary);
}

/// Each clone is ready at its second poll.
struct Warming {
    ready: bool,
}

impl Clone for Warming {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<()> for Warming {
    type Response = &'static str;
    type Error = &'static str;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if replace(&mut self.ready, true) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(replace(&mut self.ready, false), "not ready");
        ready(Ok("primary"))
    }
}

fn steady() -> impl Service<(), Response = &'static str, Error = &'static str> + Clone {
    service_fn(|()| ready(Ok::<_, &str>("fallback")))
}

#[test]
fn a_probe_that_waits_for_the_primary_goes_to_the_fallback_when_its_lease_is_over() {
    let watched = probing(Probing::new(1).failures(1).lease(10 * SECOND));
    let layer = FailoverLayer::with_monitor(steady(), watched.monitor.clone());
    let mut service = layer.layer(Gate(Poll::Pending));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    assert!(service.poll_ready(&mut context).is_pending());
    watched.clock.advance(9 * SECOND);
    assert!(service.poll_ready(&mut context).is_pending());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    watched.clock.advance(SECOND);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(service.poll_ready(&mut context).is_ready());
    assert_eq!(pin!(service.call(())).poll(&mut context), Poll::Ready(Ok("fallback")));
    // It is not counted.
    assert_eq!(state(&watched), State::Probing);
    assert!(probe(&watched).is_some());
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A clock that can't sleep.
#[derive(Clone)]
struct Mute(ManualClock);

impl Clock for Mute {
    fn now(&self) -> Moment {
        self.0.now()
    }
}

/// If the clock can't sleep, the call that takes the permit wakes the call that lost it.
#[test]
fn a_probe_that_waits_is_woken_when_another_call_takes_its_permit() {
    let clock = ManualClock::new();
    let policy = Policy::builder().probing(Probing::new(1).lease(10 * SECOND)).build().unwrap();
    let monitor = Monitor::with_clock(policy, Mute(clock.clone()));
    while let Some(ticket) = monitor.admit().ticket() {
        monitor.record(ticket, Outcome::Failure);
    }
    clock.advance(300 * SECOND);
    let mut service =
        FailoverLayer::with_monitor(steady(), monitor.clone()).layer(Gate(Poll::Pending));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    assert!(service.poll_ready(&mut context).is_pending());
    clock.advance(10 * SECOND);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    let next = monitor.admit().ticket();
    assert!(next.is_some());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(service.poll_ready(&mut context).is_ready());
    assert_eq!(pin!(service.call(())).poll(&mut context), Poll::Ready(Ok("fallback")));
}

/// A call that waits for a busy fallback is notified of a free permit.
#[test]
fn a_permit_that_is_released_wakes_the_calls_that_wait_for_a_busy_fallback() {
    let watched = probing(Probing::new(1));
    let held = probe(&watched).unwrap();
    let layer = FailoverLayer::with_monitor(Gate(Poll::Pending), watched.monitor.clone());
    let mut service = layer.layer(steady());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    assert!(service.poll_ready(&mut context).is_pending());
    drop(held);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(service.poll_ready(&mut context).is_ready());
}

/// HARD-WON 17 and 19: connections that each keep a ready clone for longer than its lease.
#[test]
fn of_fifty_idle_clones_that_were_made_ready_as_probes_one_calls_the_primary_at_once() {
    let watched = probing(Probing::new(1).successes(1_000).lease(10 * SECOND));
    let layer = FailoverLayer::with_monitor(steady(), watched.monitor.clone());
    let service = layer.layer(service_fn(|()| pending::<Answer>()));
    let mut context = Context::from_waker(Waker::noop());
    let mut idle: Vec<_> = (0..50).map(|_| service.clone()).collect();
    for service in &mut idle {
        assert!(service.poll_ready(&mut context).is_ready());
        watched.clock.advance(10 * SECOND);
    }
    let mut calls: Vec<_> = idle.iter_mut().map(|service| Box::pin(service.call(()))).collect();
    let polled = calls.iter_mut().map(|call| call.as_mut().poll(&mut context));
    assert_eq!(polled.filter(Poll::is_pending).count(), 1);
    assert_eq!(state(&watched), State::Probing);
    // The lease restarts with the call.
    watched.clock.advance(9 * SECOND);
    assert!(probe(&watched).is_none());
    watched.clock.advance(SECOND);
    assert!(probe(&watched).is_some());
}

/// HARD-WON 11 and 17: probes that were made ready in earlier epochs.
#[test]
fn of_idle_clones_that_were_made_ready_as_probes_of_earlier_epochs_one_calls_the_primary() {
    let watched = probing(Probing::new(1).failures(1));
    let layer = FailoverLayer::with_monitor(steady(), watched.monitor.clone());
    let service = layer.layer(service_fn(|()| pending::<Answer>()));
    let mut context = Context::from_waker(Waker::noop());
    let mut idle: Vec<_> = (0..10).map(|_| service.clone()).collect();
    for service in &mut idle {
        assert!(service.poll_ready(&mut context).is_ready());
        watched.handle().reset();
        watched.trip();
        watched.clock.advance(300 * SECOND);
    }
    let mut calls: Vec<_> = idle.iter_mut().map(|service| Box::pin(service.call(()))).collect();
    let polled = calls.iter_mut().map(|call| call.as_mut().poll(&mut context));
    assert_eq!(polled.filter(Poll::is_pending).count(), 1);
    assert_eq!(state(&watched), State::Probing);
}

/// Only the service that is ready can be called: the call is not counted as a probe.
#[test]
fn a_probe_without_its_permit_calls_the_primary_if_the_fallback_is_busy() {
    let watched = probing(Probing::new(1).successes(1).lease(10 * SECOND));
    let layer = FailoverLayer::with_monitor(Gate(Poll::Pending), watched.monitor.clone());
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, &str>("primary"))));
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    watched.clock.advance(10 * SECOND);
    let other = probe(&watched).expect("the lease is over");
    assert_eq!(pin!(service.call(())).poll(&mut context), Poll::Ready(Ok("primary")));
    assert_eq!(state(&watched), State::Probing);
    drop(other);
}

/// HARD-WON 19.
#[test]
fn a_probe_that_hangs_loses_its_permit_after_its_lease_so_that_recovery_goes_on() {
    let watched = probing(Probing::new(1).successes(1).lease(10 * SECOND));
    let hanging = probe(&watched).unwrap();
    watched.clock.advance(9 * SECOND);
    assert!(probe(&watched).is_none());
    watched.clock.advance(SECOND);
    let next = probe(&watched).expect("the lease is over");
    // The first probe's outcome is discarded, and releases no permit.
    watched.monitor.record(hanging, Outcome::Failure);
    assert!(probe(&watched).is_none());
    assert_eq!(state(&watched), State::Probing);
    watched.monitor.record(next, Outcome::Success);
    assert_eq!(state(&watched), State::Primary);
}

/// HARD-WON 11: a call admitted before the trip and a probe of an earlier epoch neither count as
/// probes nor hold or release a permit.
#[test]
fn calls_admitted_earlier_take_no_probes_permit() {
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
fn the_way_through_probing_is_reported() {
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
    assert!(!watched.handle().revert(), "there is nothing to revert");
    watched.trip();
    let Snapshot { epoch, .. } = watched.snapshot();
    assert!(!watched.handle().revert_if(epoch + 1));
    assert!(watched.handle().revert_if(epoch));
    assert_eq!(state(&watched), State::Primary);
    watched.trip();
    watched.clock.advance(300 * SECOND);
    drop(probe(&watched));
    assert!(watched.handle().revert());
    assert_eq!(state(&watched), State::Primary);
    watched.handle().force(Route::Fallback);
    assert!(!watched.handle().revert(), "a forced route is released, not reverted");
}

#[test]
fn a_lease_is_kept_to_the_millisecond_at_least() {
    let watched = probing(Probing::new(1).lease(Duration::from_millis(1)));
    let _held = probe(&watched).unwrap();
    assert!(probe(&watched).is_none());
    watched.clock.advance(Duration::from_millis(1));
    assert!(probe(&watched).is_some());
}
