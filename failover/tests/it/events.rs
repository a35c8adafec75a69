//! Observers that come and go, and events that are taken later: HARD-WON 16.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use failover::event::Cause;
use failover::monitor::{Attached, Events};
use failover::{Event, Policy, Route};

use crate::common::Watched;

fn watched() -> Watched {
    Watched::new(Policy::default())
}

fn subscribe(watched: &Watched, capacity: usize) -> Events {
    watched.handle().subscribe(NonZeroUsize::new(capacity).unwrap())
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.up();
    }
}

#[test]
fn an_observer_is_told_until_its_place_is_dropped() {
    let (watched, told) = (watched(), Count::default());
    let count = told.clone();
    let attached = watched.handle().attach(move |_: &Event| count.up());
    watched.handle().reset();
    drop(attached);
    watched.handle().reset();
    assert_eq!((told.now(), Arc::strong_count(&told.0)), (1, 1));
}

#[test]
fn removing_one_observer_leaves_the_others() {
    let (watched, told) = (watched(), Count::default());
    let attach = || {
        let count = told.clone();
        watched.handle().attach(move |_: &Event| count.up())
    };
    let (first, second, third) = (attach(), attach(), attach());
    drop(second);
    watched.handle().reset();
    assert_eq!(told.now(), 2);
    drop((third, first));
    watched.handle().reset();
    assert_eq!(told.now(), 2);
}

/// HARD-WON 16.
#[test]
fn an_observer_may_remove_itself_and_others_while_it_is_told() {
    let (watched, told) = (watched(), Count::default());
    let own: Arc<Mutex<Option<Attached>>> = Arc::default();
    let other: Arc<Mutex<Option<Attached>>> = Arc::default();
    let (mine, theirs, count) = (Arc::clone(&own), Arc::clone(&other), told.clone());
    let attached = watched.handle().attach(move |_: &Event| {
        count.up();
        drop(mine.lock().unwrap().take());
        drop(theirs.lock().unwrap().take());
    });
    *own.lock().unwrap() = Some(attached);
    let count = told.clone();
    *other.lock().unwrap() = Some(watched.handle().attach(move |_: &Event| count.up()));
    // Who was there when the event was made is told of it, even if removed meanwhile.
    watched.handle().reset();
    assert_eq!(told.now(), 2);
    watched.handle().reset();
    assert_eq!(told.now(), 2);
}

/// HARD-WON 16.
#[test]
fn an_observer_that_is_added_while_another_is_told_is_told_from_the_next_event_on() {
    let (watched, told) = (watched(), Count::default());
    let (handle, count) = (watched.handle(), told.clone());
    let once = Mutex::new(true);
    watched.monitor.observe(move |_: &Event| {
        if std::mem::take(&mut *once.lock().unwrap()) {
            let count = count.clone();
            handle.observe(move |_: &Event| count.up());
        }
    });
    watched.handle().reset();
    assert_eq!(told.now(), 0);
    watched.handle().reset();
    assert_eq!(told.now(), 1);
}

#[test]
fn a_place_that_outlives_its_failover_takes_nobody_away_from_the_next_one() {
    let old: Vec<_> = (0..3).map(|_| watched().handle().attach(|_: &Event| ())).collect();
    let (watched, told) = (watched(), Count::default());
    let count = told.clone();
    watched.monitor.observe(move |_: &Event| count.up());
    drop(old);
    watched.handle().reset();
    assert_eq!(told.now(), 1);
}

#[test]
fn a_subscriber_takes_the_events_in_their_order_and_none_of_before() {
    let watched = watched();
    watched.handle().reset();
    let mut events = subscribe(&watched, 8);
    assert_eq!(events.try_next(), None);
    watched.handle().force(Route::Fallback);
    watched.handle().release();
    let causes: Vec<_> = std::iter::from_fn(|| events.try_next().map(|e| e.cause)).collect();
    assert_eq!((causes, events.lost()), (vec![Cause::Forced, Cause::Released], 0));
}

#[test]
fn a_full_subscription_loses_the_oldest_and_counts_them() {
    let watched = watched();
    let mut events = subscribe(&watched, 2);
    for _ in 0..5 {
        watched.handle().reset();
    }
    watched.handle().force(Route::Fallback);
    assert_eq!((events.lost(), events.lost()), (4, 0));
    assert_eq!(events.try_next().unwrap().cause, Cause::Released);
    assert_eq!(events.try_next().unwrap().cause, Cause::Forced);
    assert_eq!(events.try_next(), None);
}

/// The events that stay are the newest ones: the last of them is where calls go now.
#[test]
fn a_full_subscription_keeps_the_newest_in_their_order() {
    let watched = watched();
    let mut events = subscribe(&watched, 3);
    for _ in 0..10 {
        watched.handle().reset();
    }
    let last = watched.snapshot().epoch;
    let kept: Vec<_> = std::iter::from_fn(|| events.try_next().map(|event| event.epoch)).collect();
    assert_eq!((kept, events.lost()), (vec![last - 2, last - 1, last], 7));
}

#[test]
fn two_subscribers_get_every_event_each() {
    let watched = watched();
    let (mut one, mut other) = (subscribe(&watched, 4), subscribe(&watched, 4));
    watched.handle().reset();
    assert_eq!(one.try_next(), other.try_next());
    drop(one);
    watched.handle().reset();
    assert!(other.try_next().is_some());
}

#[test]
fn a_waiting_task_is_woken_by_an_event_and_by_the_end() {
    let (watched, woken) = (watched(), Count::default());
    let waker = Waker::from(Arc::new(woken.clone()));
    let mut context = Context::from_waker(&waker);
    let mut events = subscribe(&watched, 4);
    assert!(events.poll_next(&mut context).is_pending());
    assert!(events.poll_next(&mut context).is_pending());
    watched.handle().reset();
    watched.handle().reset();
    assert_eq!(woken.now(), 1);
    assert!(matches!(events.poll_next(&mut context), Poll::Ready(Some(_))));
    assert!(matches!(events.poll_next(&mut context), Poll::Ready(Some(_))));
    assert!(events.poll_next(&mut context).is_pending());
    drop(watched);
    assert_eq!(woken.now(), 2);
    assert_eq!(events.poll_next(&mut context), Poll::Ready(None));
}

#[test]
fn a_waiting_thread_gets_the_event_and_then_the_end() {
    let watched = watched();
    let mut events = subscribe(&watched, 4);
    let thread = thread::spawn(move || std::iter::from_fn(|| events.wait()).count());
    watched.handle().reset();
    watched.handle().reset();
    drop(watched);
    assert_eq!(thread.join().unwrap(), 2);
}

#[test]
fn a_subscription_does_not_keep_a_failover_alive() {
    let watched = watched();
    let mut events = subscribe(&watched, 4);
    drop(watched);
    assert_eq!(events.wait(), None);
}
