//! Observers of transitions: HARD-WON 16.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use failover::event::Cause;
use failover::{Event, Policy, Route};

use crate::common::{SECOND, Watched};

#[test]
fn each_transition_is_observed_once_with_its_cause_and_a_growing_epoch() {
    let watched = Watched::new(Policy::default());
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.clone()));
    watched.succeed(3);
    watched.trip();
    watched.clock.advance(300 * SECOND);
    watched.succeed(1);
    watched.handle().force(Route::Fallback);
    watched.handle().release();
    let events = events.lock().unwrap();
    assert!(events.windows(2).all(|pair| pair[0].epoch + 1 == pair[1].epoch));
    let seen: Vec<_> = events.iter().map(|event| (event.route, event.cause)).collect();
    let [(Route::Fallback, Cause::Tripped { tally, revert_after, .. }), rest @ ..] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!((tally.failures, tally.successes, *revert_after), (7, 3, 300 * SECOND));
    assert_eq!(
        rest,
        [
            (Route::Primary, Cause::Reverted),
            (Route::Fallback, Cause::Forced),
            (Route::Primary, Cause::Released),
        ]
    );
}

#[test]
fn an_event_has_the_wall_clocks_time() {
    let watched = Watched::new(Policy::default());
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    watched.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.time));
    let before = SystemTime::now();
    watched.trip();
    let after = SystemTime::now();
    let [time] = times.lock().unwrap()[..] else { panic!() };
    assert!((before..=after).contains(&time), "{time:?}");
}

/// HARD-WON 16.
#[test]
fn an_observer_may_read_the_state_and_change_it() {
    let watched = Watched::new(Policy::default());
    let handle = watched.handle();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let routes = Arc::clone(&seen);
    watched.monitor.observe(move |event: &Event| {
        routes.lock().unwrap().push(handle.snapshot().route);
        if matches!(event.cause, Cause::Tripped { .. }) {
            handle.force(Route::Primary);
            handle.observe(|_: &Event| ());
        }
    });
    watched.fail(10);
    assert_eq!(*seen.lock().unwrap(), [Route::Fallback, Route::Primary]);
    assert!(watched.snapshot().forced);
}

/// HARD-WON 16.
#[test]
fn an_observer_that_panics_neither_wedges_nor_poisons_anything() {
    let watched = Watched::new(Policy::default());
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    watched.monitor.observe(|_: &Event| panic!("a faulty observer"));
    watched.monitor.observe(move |_: &Event| *count.lock().unwrap() += 1);
    for round in 1..=3 {
        watched.trip();
        assert_eq!(*seen.lock().unwrap(), 2 * round - 1);
        watched.clock.advance(300 * SECOND);
        watched.succeed(1);
        assert_eq!(*seen.lock().unwrap(), 2 * round);
    }
}

/// HARD-WON 16.
#[test]
fn an_observer_that_is_added_while_another_is_notified_sees_the_next_event() {
    let watched = Watched::new(Policy::default());
    let seen = Arc::new(Mutex::new(0));
    let (handle, count) = (watched.handle(), Arc::clone(&seen));
    let once = Mutex::new(true);
    watched.monitor.observe(move |_: &Event| {
        if std::mem::take(&mut *once.lock().unwrap()) {
            let count = Arc::clone(&count);
            handle.observe(move |_: &Event| *count.lock().unwrap() += 1);
        }
    });
    watched.handle().reset();
    assert_eq!(*seen.lock().unwrap(), 0);
    watched.handle().reset();
    assert_eq!(*seen.lock().unwrap(), 1);
}

/// The next user of the memory has neither the observers nor the name.
#[test]
fn observers_are_dropped_with_the_last_handle_and_a_channel_then_ends() {
    let watched = Watched::new(Policy::default());
    let (sender, events) = std::sync::mpsc::channel();
    watched.monitor.observe(move |event: &Event| sender.send(event.clone()).unwrap());
    let handle = watched.handle();
    drop(watched.monitor.named("one"));
    handle.force(Route::Fallback);
    handle.release();
    drop(handle);
    let received: Vec<_> = events.iter().map(|event| (event.name, event.cause)).collect();
    let name = Some(Arc::from("one"));
    assert_eq!(received, [(name.clone(), Cause::Forced), (name, Cause::Released)]);

    let (next, names) = (Watched::new(Policy::default()), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&names);
    next.monitor.observe(move |event: &Event| seen.lock().unwrap().push(event.name.clone()));
    next.handle().reset();
    assert_eq!(*names.lock().unwrap(), [None]);
}
