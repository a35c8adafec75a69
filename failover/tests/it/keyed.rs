//! A failover per key, the key taken from each request.

use std::future::{Ready, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use failover::clock::ManualClock;
use failover::monitor::KeyedMonitors;
use failover::{Error, Outcome, Policy, Route};
use tower::{Layer, Service, ServiceExt, service_fn};

/// The key, and whether the primary fails.
type Request = (u32, bool);

fn registry(capacity: usize) -> KeyedMonitors<u32, ManualClock> {
    KeyedMonitors::with_clock(Policy::default(), capacity, ManualClock::new())
}

fn key(request: &Request) -> u32 {
    request.0
}

#[derive(Clone)]
struct Mock {
    name: &'static str,
    polled: Arc<AtomicUsize>,
    busy: Arc<Mutex<Option<Waker>>>,
    is_busy: bool,
    is_ready: bool,
}

impl Mock {
    fn new(name: &'static str) -> Self {
        let (polled, busy) = (Arc::default(), Arc::default());
        Self { name, polled, busy, is_busy: false, is_ready: false }
    }
}

impl Service<Request> for Mock {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Result<&'static str, &'static str>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.polled.fetch_add(1, Ordering::Relaxed);
        if self.is_busy {
            *self.busy.lock().unwrap() = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (_, fails): Request) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "{} was called without being ready", self.name);
        ready(if fails { Err(self.name) } else { Ok(self.name) })
    }
}

#[tokio::test]
async fn the_failures_of_one_key_divert_only_its_calls() {
    let registry = registry(8);
    let (primary, fallback) = (Mock::new("primary"), Mock::new("fallback"));
    let service = registry.layer(fallback, key).layer(primary);
    for _ in 0..10 {
        let error = service.clone().oneshot((1, true)).await;
        assert_eq!(error, Err(Error::Primary("primary")));
    }
    assert_eq!(service.clone().oneshot((1, false)).await, Ok("fallback"));
    assert_eq!(service.clone().oneshot((2, false)).await, Ok("primary"));
    assert_eq!(service.registry().handle(&1).unwrap().snapshot().route, Route::Fallback);
}

/// HARD-WON 23: of each call's clones, only the called one is made ready.
#[tokio::test]
async fn only_the_service_of_the_keys_route_is_made_ready() {
    let registry = registry(8);
    let (primary, fallback) = (Mock::new("primary"), Mock::new("fallback"));
    let polled = [Arc::clone(&primary.polled), Arc::clone(&fallback.polled)];
    let mut service = registry.layer(fallback, key).layer(primary);
    poll_fn(|context| service.poll_ready(context)).await.unwrap();
    assert_eq!(polled.each_ref().map(|polled| polled.load(Ordering::Relaxed)), [0, 0]);
    service.call((1, false)).await.unwrap();
    registry.monitor(&1).handle().force(Route::Fallback);
    service.call((1, false)).await.unwrap();
    service.call((2, false)).await.unwrap();
    assert_eq!(polled.each_ref().map(|polled| polled.load(Ordering::Relaxed)), [2, 1]);
}

/// HARD-WON 26.
#[tokio::test]
async fn a_call_that_waits_for_a_busy_primary_follows_its_keys_route() {
    let registry = registry(8);
    let busy = Mock { is_busy: true, ..Mock::new("primary") };
    let mut service = registry.layer(Mock::new("fallback"), key).layer(busy);
    let mut call = pin!(service.call((1, false)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    registry.monitor(&2).handle().force(Route::Fallback);
    assert!(call.as_mut().poll(&mut context).is_pending());
    registry.monitor(&1).handle().force(Route::Fallback);
    assert_eq!(call.await, Ok("fallback"));
}

#[tokio::test]
async fn the_key_of_a_call_in_flight_is_not_evicted() {
    let registry = registry(1);
    let primary = service_fn(|_: Request| pending::<Result<(), &str>>());
    let fallback = service_fn(|_: Request| ready(Ok::<_, &str>(())));
    let mut service = registry.layer(fallback, key).layer(primary);
    let mut call = Box::pin(service.call((1, false)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    let _ = registry.monitor(&2);
    assert!(registry.handle(&1).is_some() && registry.unshared() == 1);
    drop(call);
    let _ = registry.monitor(&2);
    assert!(registry.handle(&2).is_some() && registry.unshared() == 1);
}

#[tokio::test]
async fn a_custom_classifier_applies_to_every_key() {
    let registry = registry(8);
    let layer = registry.layer(Mock::new("fallback"), key);
    let layer = layer.classify(|_: &Result<&str, &str>| Outcome::Ignored);
    let service = layer.layer(Mock::new("primary"));
    for _ in 0..20 {
        assert!(service.clone().oneshot((1, true)).await.is_err());
    }
    assert_eq!(registry.monitor(&1).handle().snapshot().tally.calls(), 0);
}

#[test]
fn a_key_whose_calls_were_all_dropped_is_not_evicted_before_those_that_are_empty() {
    let keys = registry(8);
    for key in 0..4 {
        drop(keys.monitor(&key).guard());
    }
    for key in 4..40 {
        drop(keys.monitor(&key));
    }
    assert!((0..4).all(|key| keys.handle(&key).is_some()));
}
