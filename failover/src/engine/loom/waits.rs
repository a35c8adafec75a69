//! Waiting calls, and the changes that wake them.

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, admit, call, model};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::look::Permit;
use crate::engine::recovery::ProbeLease;
use crate::engine::time::Epoch;
use crate::engine::waiters::Waiter;
use crate::outcome::Outcome;
use crate::policy::{Policy, Probing};
use crate::route::Route;

/// After the time of a trip.
const LATER: Moment = Moment::from_nanos(10_000_000);

/// std's: loom does not have to interleave it.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn seen(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A call that was admitted in `epoch` finds its service busy.
fn wait(engine: &Engine, epoch: Epoch, permit: Permit, wakes: &StdArc<Wakes>) -> (Waiter, bool) {
    engine.wait_in(epoch, permit, None, &Waker::from(StdArc::clone(wakes)))
}

/// HARD-WON 26: a call that begins to wait while the route changes sees the change, or is woken.
#[test]
fn a_call_that_begins_to_wait_beside_a_change_sees_it_or_is_woken() {
    model(|| {
        let model = Model::new(2, 1);
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || engine.transitions.force(Route::Fallback));
        let wakes = StdArc::default();
        let (_waiter, waits) = wait(&model.engine, epoch, Permit::None, &wakes);
        thread.join().unwrap();
        assert!(!waits || wakes.seen() == 1, "asleep on a route that was left");
    });
}

/// The same for a swap of the policy, which changes the epoch in two steps.
#[test]
fn a_call_that_begins_to_wait_beside_a_swap_sees_it_or_is_woken() {
    model(|| {
        let model = Model::new(2, 5);
        let (_, epoch) = admit(&model.engine, 0);
        let engine = Arc::clone(&model.engine);
        let wakes = StdArc::<Wakes>::default();
        let seen = StdArc::clone(&wakes);
        let thread = thread::spawn(move || wait(&engine, epoch, Permit::None, &seen).1);
        super::swap(&model, 3, 2);
        assert!(!thread.join().unwrap() || wakes.seen() == 1);
    });
}

/// Of two waiting calls one stops: the other is woken.
#[test]
fn a_call_that_leaves_beside_a_change_takes_no_wake_up_with_it() {
    model(|| {
        let model = Model::new(2, 1);
        let (_, epoch) = admit(&model.engine, 0);
        let (leaving, staying) = (StdArc::default(), StdArc::default());
        let (waiter, _) = wait(&model.engine, epoch, Permit::None, &leaving);
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || engine.transitions.force(Route::Fallback));
        let (_other, waits) = wait(&model.engine, epoch, Permit::None, &staying);
        model.engine.transitions.waiters.leave(&waiter);
        thread.join().unwrap();
        assert!(!waits || staying.seen() == 1);
        assert!(leaving.seen() <= 1);
    });
}

/// Probing with one permit, and the probe that has taken it.
fn probing(lease: Duration) -> (Model, Epoch, ProbeLease) {
    let policy = Policy::builder().minimum_calls(1).window(Duration::from_millis(2), 2);
    let model = Model::with(2, policy.probing(Probing::new(1).successes(2).lease(lease)));
    call(&model.engine, FAIL);
    let probe = model.engine.admit(|| LATER).expect("a permit is free");
    (model, probe.epoch, probe.probe.expect("a probe has a lease"))
}

/// A call that waits for a busy fallback is woken by a permit that becomes free while it begins to wait,
/// or finds the permit free.
#[test]
fn a_permit_that_becomes_free_beside_a_wait_is_found_or_wakes_it() {
    model(|| {
        let (model, epoch, lease) = probing(Duration::from_secs(1));
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || {
            engine.record_probe(epoch, lease, Outcome::Ignored, LATER);
        });
        let mine = model.engine.admit(|| LATER);
        let wakes = StdArc::default();
        match mine {
            Err(epoch) => {
                let (_waiter, waits) = wait(&model.engine, epoch, Permit::Wanted, &wakes);
                thread.join().unwrap();
                assert!(!waits || wakes.seen() == 1, "asleep while a permit is free");
            }
            Ok(_) => thread.join().unwrap(),
        }
    });
}

/// A probe begins to wait for the primary when its lease is over, and another takes its permit.
#[test]
fn a_probe_that_loses_its_permit_beside_its_wait_sees_it_or_is_woken() {
    model(|| {
        let (model, epoch, lease) = probing(Duration::from_millis(1));
        let engine = Arc::clone(&model.engine);
        let later = Moment::from_nanos(LATER.as_nanos() + 1_000_000);
        let thread = thread::spawn(move || engine.admit(|| later).is_ok());
        let wakes = StdArc::default();
        let (_waiter, waits) = wait(&model.engine, epoch, Permit::Held(lease), &wakes);
        assert!(thread.join().unwrap());
        assert!(!waits || wakes.seen() == 1, "asleep without a permit");
    });
}
