//! Probes off the request path.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::task::{Context, Waker};

use failover::monitor::Prober;
use failover::{Policy, Route, State};

use crate::common::{SECOND, Watched};

/// Runs a prober whose probes, one per second, return `results` until they run out. Returns the
/// number of probes.
fn run(watched: &Watched, successes: u32, results: &[bool], each_second: impl Fn(u32)) -> usize {
    let (seconds, probes) = (Cell::new(0), Cell::new(0));
    let left = RefCell::new(VecDeque::from_iter(results.iter().copied()));
    let sleep = |time| {
        assert_eq!(time, SECOND);
        watched.clock.advance(time);
        seconds.set(seconds.get() + 1);
        each_second(seconds.get());
        let over = seconds.get() > 100 || left.borrow().is_empty();
        async move {
            if over {
                pending::<()>().await;
            }
        }
    };
    let probe = || {
        probes.set(probes.get() + 1);
        ready(left.borrow_mut().pop_front().unwrap())
    };
    let prober = Prober::new(watched.handle(), SECOND).successes(successes);
    let mut running = pin!(prober.run(sleep, probe));
    assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    probes.get()
}

#[test]
fn a_success_reverts_before_the_time_is_over() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    assert_eq!(run(&watched, 1, &[false, false, true], |_| ()), 3);
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 0));
}

#[test]
fn the_successes_must_be_consecutive() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    run(&watched, 2, &[true, false, true, false], |_| ());
    assert_eq!(watched.route(), Route::Fallback);
    run(&watched, 2, &[true, true], |_| ());
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn nothing_is_probed_on_the_primary_or_while_the_route_is_forced() {
    let watched = Watched::new(Policy::default());
    assert_eq!(run(&watched, 1, &[true], |_| ()), 0);
    watched.handle().force(Route::Fallback);
    assert_eq!(run(&watched, 1, &[true], |_| ()), 0);
    assert_eq!(watched.snapshot().state, State::ForcedFallback);
}

#[test]
fn successes_of_one_stay_on_the_fallback_do_not_count_in_the_next() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    run(&watched, 2, &[true, true], |second| {
        if second == 2 {
            watched.handle().reset();
            watched.trip();
        }
    });
    assert_eq!(watched.route(), Route::Fallback);
}
