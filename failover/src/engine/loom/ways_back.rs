//! Probing and ramp.

use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use super::{FAIL, Model, OK, admit, call, model};
use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::Kind;
use crate::engine::recovery::ProbeLease;
use crate::engine::ticket::Admitted;
use crate::event::{Cause, Event};
use crate::outcome::Outcome;
use crate::policy::{Policy, PolicyBuilder, Probing};
use crate::ratio::Ratio;
use crate::route::Route;
use crate::state::State;

/// After the time of a trip.
const LATER: Moment = Moment::from_nanos(10_000_000);

fn tripped(change: impl Fn(PolicyBuilder) -> PolicyBuilder) -> Model {
    let policy = Policy::builder().minimum_calls(1).window(Duration::from_millis(2), 2);
    let model = Model::with(2, change(policy));
    call(&model.engine, FAIL);
    assert_eq!(model.engine.transitions.phase().kind(), Kind::Fallback);
    model
}

/// One probe, from its admission to its end; whether it was let through.
fn probe(engine: &Engine, failed: bool) -> bool {
    let Ok(Admitted { epoch, probe, .. }) = engine.admit(|| LATER) else { return false };
    let outcome = if failed { Outcome::Failure } else { Outcome::Success };
    probe.map(|lease| engine.record_probe(epoch, lease, outcome, LATER)).is_some()
}

/// The lease of a probe that is admitted now.
fn lease(engine: &Engine) -> Option<ProbeLease> {
    engine.admit(|| LATER).ok()?.probe
}

/// HARD-WON 17: two threads take one permit when the time is over: one of them holds it.
#[test]
fn one_permit_is_held_by_one_probe() {
    model(|| {
        let model = tripped(|policy| policy.probing(Probing::new(1)));
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || lease(&engine));
        let mine = lease(&model.engine);
        let other = thread.join().unwrap();
        assert!(mine.is_some() != other.is_some());
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Probing);
    });
}

/// Two admissions at the deadline: the one that loses the exchange announces nothing.
#[test]
fn probing_that_begins_by_two_admissions_at_once_is_announced_once() {
    model(|| {
        let model = tripped(|policy| policy.probing(Probing::new(2)));
        let announced = StdArc::new(AtomicUsize::new(0));
        let count = StdArc::clone(&announced);
        model.engine.transitions.observers.add(StdArc::new(move |event: &Event| {
            assert_eq!((event.cause, event.to), (Cause::Probing, State::Probing));
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || lease(&engine));
        let mine = lease(&model.engine);
        let other = thread.join().unwrap();
        assert!(mine.is_some() && other.is_some() && mine != other);
        assert_eq!(announced.load(Ordering::Relaxed), 1);
    });
}

/// Two successes at once are both counted, and make one transition.
#[test]
fn two_probes_that_succeed_at_once_bring_calls_back_once() {
    model(|| {
        let model = tripped(|policy| policy.probing(Probing::new(2).successes(2)));
        let _ = lease(&model.engine).map(|lease| model.engine.give_back(lease));
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || probe(&engine, OK));
        assert!(probe(&model.engine, OK) && thread.join().unwrap());
        assert_eq!(model.engine.transitions.phase().kind(), Kind::Primary);
        assert_eq!(model.reverts.load(Ordering::Relaxed), 1);
    });
}

/// A success and a failure at once, each enough by itself: one of them decides.
#[test]
fn a_probe_that_succeeds_beside_one_that_fails_makes_one_transition() {
    model(|| {
        let model = tripped(|policy| policy.probing(Probing::new(2).successes(1).failures(1)));
        let _ = lease(&model.engine).map(|lease| model.engine.give_back(lease));
        let before = model.engine.transitions.phase().epoch().number();
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || probe(&engine, FAIL));
        probe(&model.engine, OK);
        thread.join().unwrap();
        let phase = model.engine.transitions.phase();
        assert!(matches!(phase.kind(), Kind::Primary | Kind::Fallback));
        assert_eq!(phase.epoch().number(), before + 1);
    });
}

/// The share of two calls dealt at once is that of two calls.
#[test]
fn calls_dealt_at_once_are_dealt_by_their_share() {
    model(|| {
        let half = Ratio::HALF;
        let model = tripped(|policy| policy.ramp_up(half, Duration::from_secs(1_000)));
        // The first two are a block of their own, and so are the two that follow.
        let later = LATER.as_nanos();
        let _ = (admit(&model.engine, later), admit(&model.engine, later));
        let engine = Arc::clone(&model.engine);
        let thread = thread::spawn(move || admit(&engine, later).0);
        let routes = [admit(&model.engine, later).0, thread.join().unwrap()];
        let to_primary = routes.iter().filter(|route| **route == Route::Primary).count();
        assert_eq!(to_primary, 1);
    });
}
