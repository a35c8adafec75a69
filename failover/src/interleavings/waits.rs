//! Calls that wait, and the changes that wake them.

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, admit, admitted, call, model};
use crate::clock::Moment;
use crate::phase::Epoch;
use crate::recovery::{Admitted, Place};
use crate::shared::Shared;
use crate::waiters::Waiter;
use crate::{Outcome, Policy, Probing, Route};

/// After the time of a trip.
const LATER: Moment = Moment::from_nanos(10_000_000);

/// std's, as loom need not interleave it.
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

/// A call that was sent somewhere in that epoch finds its service busy.
fn wait(shared: &Shared, epoch: Epoch, place: Place, wakes: &StdArc<Wakes>) -> (Waiter, bool) {
    shared.wait_in(epoch, place, None, &Waker::from(StdArc::clone(wakes)))
}

/// HARD-WON 26: a call begins to wait while the route changes: it sees that, or is woken.
#[test]
fn a_call_that_begins_to_wait_beside_a_change_sees_it_or_is_woken() {
    model(|| {
        let model = Model::new(2, 1);
        let (_, epoch) = admit(&model.shared, 0);
        let shared = Arc::clone(&model.shared);
        let thread = thread::spawn(move || shared.force(Route::Fallback));
        let wakes = StdArc::default();
        let (_waiter, waits) = wait(&model.shared, epoch, Place::None, &wakes);
        thread.join().unwrap();
        assert!(!waits || wakes.seen() == 1, "asleep on a route that was left");
    });
}

/// The same for a swap of the policy, which changes the epoch in two steps.
#[test]
fn a_call_that_begins_to_wait_beside_a_swap_sees_it_or_is_woken() {
    model(|| {
        let model = Model::new(2, 5);
        let (_, epoch) = admit(&model.shared, 0);
        let shared = Arc::clone(&model.shared);
        let wakes = StdArc::<Wakes>::default();
        let seen = StdArc::clone(&wakes);
        let thread = thread::spawn(move || wait(&shared, epoch, Place::None, &seen).1);
        super::swap(&model, 3, 2);
        assert!(!thread.join().unwrap() || wakes.seen() == 1);
    });
}

/// Two calls wait, one of them no more: the other is woken.
#[test]
fn a_call_that_leaves_beside_a_change_takes_no_wake_up_with_it() {
    model(|| {
        let model = Model::new(2, 1);
        let (_, epoch) = admit(&model.shared, 0);
        let (leaving, staying) = (StdArc::default(), StdArc::default());
        let (waiter, _) = wait(&model.shared, epoch, Place::None, &leaving);
        let shared = Arc::clone(&model.shared);
        let thread = thread::spawn(move || shared.force(Route::Fallback));
        let (_other, waits) = wait(&model.shared, epoch, Place::None, &staying);
        model.shared.waiters.leave(&waiter);
        thread.join().unwrap();
        assert!(!waits || staying.seen() == 1);
        assert!(leaving.seen() <= 1);
    });
}

/// Probing with one place, which a call has taken; and the call.
fn probing(lease: Duration) -> (Model, Admitted) {
    let policy = Policy::builder().minimum_calls(1).window(Duration::from_millis(2), 2);
    let model = Model::with(2, policy.probing(Probing::new(1).successes(2).lease(lease)));
    call(&model.shared, FAIL);
    let probe = admitted(&model.shared, LATER);
    (model, probe)
}

/// A call that waits for a busy fallback is woken by a place that comes free while it begins to wait,
/// or finds the place free.
#[test]
fn a_place_that_comes_free_beside_a_wait_is_found_or_wakes_it() {
    model(|| {
        let (model, Admitted { epoch, probe, .. }) = probing(Duration::from_secs(1));
        let lease = probe.expect("the place is free");
        let shared = Arc::clone(&model.shared);
        let thread = thread::spawn(move || {
            shared.record_probe(epoch, lease, Outcome::Ignored, LATER);
        });
        let mine = admitted(&model.shared, LATER);
        let wakes = StdArc::default();
        if mine.probe.is_none() {
            let (_waiter, waits) = wait(&model.shared, mine.epoch, Place::Wanted, &wakes);
            thread.join().unwrap();
            assert!(!waits || wakes.seen() == 1, "asleep beside a free place");
        } else {
            thread.join().unwrap();
        }
    });
}

/// A probe that begins to wait for the primary when its lease is over, and another takes its place.
#[test]
fn a_probe_that_loses_its_place_beside_its_wait_sees_it_or_is_woken() {
    model(|| {
        let (model, Admitted { epoch, probe, .. }) = probing(Duration::from_millis(1));
        let lease = probe.expect("the place is free");
        let shared = Arc::clone(&model.shared);
        let later = Moment::from_nanos(LATER.as_nanos() + 1_000_000);
        let thread = thread::spawn(move || admitted(&shared, later).probe.is_some());
        let wakes = StdArc::default();
        let (_waiter, waits) = wait(&model.shared, epoch, Place::Held(lease), &wakes);
        assert!(thread.join().unwrap());
        assert!(!waits || wakes.seen() == 1, "asleep without a place");
    });
}
