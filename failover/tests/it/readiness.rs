//! Tower's contract: HARD-WON 22 to 27 and 30.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use failover::clock::ManualClock;
use failover::{Error, Failover, FailoverHandle, FailoverLayer, Policy, Ratio, Route};
use tower::{Layer, Service};

use crate::common::{SECOND, Watched};

/// The results of a mock's `poll_ready`, in turn; ready when the list is empty.
type Script = Arc<Mutex<VecDeque<Poll<Result<(), &'static str>>>>>;

/// A service that checks tower's contract: each call needs readiness of this very clone since its
/// last call.
struct Mock {
    name: &'static str,
    script: Script,
    ready: bool,
    polled: Arc<AtomicUsize>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Mock {
    fn new(name: &'static str) -> Self {
        let (script, polled, waker) = (Arc::default(), Arc::default(), Arc::default());
        Self { name, script, ready: false, polled, waker }
    }

    fn polled(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.polled)
    }

    fn script(&self) -> Script {
        Arc::clone(&self.script)
    }
}

impl Clone for Mock {
    fn clone(&self) -> Self {
        let (script, polled) = (self.script(), self.polled());
        Self { name: self.name, script, ready: false, polled, waker: Arc::clone(&self.waker) }
    }
}

impl Service<()> for Mock {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Result<&'static str, &'static str>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.polled.fetch_add(1, Ordering::Relaxed);
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Poll::Ready(Ok(())));
        match answer {
            Poll::Pending => *self.waker.lock().unwrap() = Some(context.waker().clone()),
            Poll::Ready(result) => self.ready = result.is_ok(),
        }
        answer
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "{} was called without being ready", self.name);
        ready(Ok(self.name))
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Rig {
    service: Failover<Mock, Mock, failover::classify::ErrorsAsFailures, ManualClock>,
    watched: Watched,
    primary: Mock,
    fallback: Mock,
    wakes: Arc<Wakes>,
}

fn rig() -> Rig {
    rig_with(Policy::default())
}

fn rig_with(policy: Policy) -> Rig {
    let watched = Watched::new(policy);
    let (primary, fallback) = (Mock::new("primary"), Mock::new("fallback"));
    let layer = FailoverLayer::with_monitor(fallback.clone(), watched.monitor.clone());
    let service = layer.layer(primary.clone());
    Rig { service, watched, primary, fallback, wakes: Arc::default() }
}

impl Rig {
    fn poll_ready(&mut self) -> Poll<Result<(), Error<&'static str, &'static str>>> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.service.poll_ready(&mut Context::from_waker(&waker))
    }

    fn polls(&self) -> (usize, usize) {
        let polled = |mock: &Mock| mock.polled.load(Ordering::Relaxed);
        (polled(&self.primary), polled(&self.fallback))
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }

    async fn call(&mut self) -> &'static str {
        self.service.call(()).await.unwrap()
    }
}

const READY: Poll<Result<(), Error<&'static str, &'static str>>> = Poll::Ready(Ok(()));

/// HARD-WON 22.
#[tokio::test]
async fn the_service_that_was_made_ready_is_called_though_the_route_changed() {
    let mut rig = rig();
    assert_eq!(rig.poll_ready(), READY);
    rig.watched.trip();
    assert_eq!(rig.poll_ready(), READY);
    assert_eq!(rig.call().await, "primary");
    assert_eq!(rig.poll_ready(), READY);
    rig.watched.clock.advance(300 * SECOND);
    assert_eq!(rig.poll_ready(), READY);
    assert_eq!(rig.call().await, "fallback");
    assert_eq!(rig.poll_ready(), READY);
    assert_eq!(rig.call().await, "primary");
}

/// HARD-WON 22 and 24, with clones at every point in between. The mock asserts the contract.
#[tokio::test]
async fn each_clone_calls_the_service_that_it_made_ready_itself() {
    let mut rig = rig();
    for step in 0..64_u32 {
        assert_eq!(rig.poll_ready(), READY);
        let mut clone = rig.service.clone();
        if step & 1 != 0 {
            rig.watched.handle().force(Route::Fallback);
        }
        if step & 2 != 0 {
            rig.watched.handle().force(Route::Primary);
        }
        let mut other = std::mem::replace(&mut rig.service, clone.clone());
        let _ = other.call(()).await.unwrap();
        std::future::poll_fn(|context| clone.poll_ready(context)).await.unwrap();
        let _ = clone.call(()).await.unwrap();
        rig.watched.handle().reset();
    }
}

/// HARD-WON 24.
#[tokio::test]
#[should_panic(expected = "`poll_ready` must return")]
async fn a_clone_carries_no_readiness() {
    let mut rig = rig();
    assert_eq!(rig.poll_ready(), READY);
    let _ = rig.service.clone().call(()).await;
}

/// HARD-WON 23.
#[tokio::test]
async fn only_the_chosen_service_is_made_ready() {
    let mut rig = rig();
    assert_eq!(rig.poll_ready(), READY);
    rig.call().await;
    assert_eq!(rig.polls(), (1, 0));
    rig.watched.trip();
    assert_eq!(rig.poll_ready(), READY);
    rig.call().await;
    assert_eq!(rig.polls(), (1, 1));
}

/// HARD-WON 25.
#[tokio::test]
async fn a_primary_that_fails_to_become_ready_is_counted_and_the_call_goes_to_the_fallback() {
    let mut rig = rig();
    for call in 1..=10 {
        assert_eq!(rig.watched.route(), Route::Primary);
        rig.primary.script().lock().unwrap().push_back(Poll::Ready(Err("broken")));
        assert_eq!(rig.poll_ready(), READY);
        assert_eq!(rig.call().await, "fallback");
        if call < 10 {
            assert_eq!(rig.watched.tally().failures, call);
        }
    }
    assert_eq!(rig.watched.route(), Route::Fallback);
}

/// HARD-WON 25: counted once, however often the two are polled.
#[tokio::test]
async fn a_primary_that_fails_to_become_ready_before_a_busy_fallback_is_counted_once() {
    let mut rig = rig();
    rig.primary.script().lock().unwrap().extend([Poll::Ready(Err("broken")); 3]);
    rig.fallback.script().lock().unwrap().extend([Poll::Pending, Poll::Pending]);
    assert!(rig.poll_ready().is_pending());
    assert!(rig.poll_ready().is_pending());
    assert_eq!(rig.poll_ready(), READY);
    assert_eq!(rig.call().await, "fallback");
    assert_eq!((rig.watched.tally().failures, rig.polls()), (1, (3, 3)));
}

#[test]
fn a_fallback_that_fails_to_become_ready_is_the_callers_error() {
    let mut rig = rig();
    rig.watched.trip();
    rig.fallback.script().lock().unwrap().push_back(Poll::Ready(Err("broken")));
    assert_eq!(rig.poll_ready(), Poll::Ready(Err(Error::Fallback("broken"))));
    assert_eq!(rig.poll_ready(), READY);
}

/// HARD-WON 26.
#[tokio::test]
async fn a_task_that_waits_for_a_busy_primary_is_woken_by_a_trip() {
    let mut rig = rig();
    rig.primary.script().lock().unwrap().push_back(Poll::Pending);
    assert!(rig.poll_ready().is_pending());
    rig.watched.trip();
    assert_eq!(rig.wakes(), 1);
    assert_eq!(rig.poll_ready(), READY);
    assert_eq!(rig.call().await, "fallback");
}

/// Trips during its own `poll_ready`, as another thread may.
#[derive(Clone)]
struct Leaving(FailoverHandle);

impl Service<()> for Leaving {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Result<&'static str, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.0.force(Route::Fallback);
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        unreachable!("never ready")
    }
}

/// HARD-WON 26: such a trip came before the task was registered, and did not wake it.
#[test]
fn a_task_does_not_wait_for_a_primary_if_a_trip_comes_during_its_poll() {
    let watched = Watched::new(Policy::default());
    let layer = FailoverLayer::with_monitor(Mock::new("fallback"), watched.monitor.clone());
    let mut service = layer.layer(Leaving(watched.handle()));
    assert_eq!(service.poll_ready(&mut Context::from_waker(Waker::noop())), READY);
}

#[tokio::test]
async fn a_task_that_waits_for_a_busy_fallback_is_woken_by_the_revert() {
    let mut rig = rig();
    rig.watched.trip();
    rig.fallback.script().lock().unwrap().push_back(Poll::Pending);
    assert!(rig.poll_ready().is_pending());
    assert!(rig.watched.handle().revert());
    assert_eq!(rig.wakes(), 1);
    assert_eq!(rig.poll_ready(), READY);
    assert_eq!(rig.call().await, "primary");
}

/// HARD-WON 27.
#[test]
fn nothing_wakes_itself_while_it_waits() {
    let mut rig = rig();
    rig.primary.script().lock().unwrap().extend(vec![Poll::Pending; 100]);
    for _ in 0..100 {
        assert!(rig.poll_ready().is_pending());
    }
    assert_eq!((rig.wakes(), rig.polls()), (0, (100, 0)));
    // A task that is ready is woken by no later transition.
    assert_eq!(rig.poll_ready(), READY);
    rig.watched.trip();
    assert_eq!(rig.wakes(), 0);
}

/// HARD-WON 27. Found by fuzzing: the fallback was polled until the ramp chose the primary, which
/// never happens at a share of zero.
#[test]
fn a_busy_fallback_is_polled_once_by_a_call_that_is_assigned_to_it_during_a_ramp() {
    let none = Ratio::new(0, 1).unwrap();
    let policy = Policy::builder().ramp_up(none, 60 * SECOND).build().unwrap();
    let mut rig = rig_with(policy);
    rig.watched.trip();
    rig.watched.clock.advance(300 * SECOND);
    rig.fallback.script().lock().unwrap().extend([Poll::Pending; 2]);
    assert!(rig.poll_ready().is_pending());
    assert_eq!((rig.wakes(), rig.polls()), (0, (0, 1)));
    // At the end of the ramp a call that waits for the fallback wakes and goes to the primary.
    rig.watched.clock.advance(60 * SECOND);
    assert_eq!(rig.wakes(), 1);
    assert_eq!(rig.poll_ready(), READY);
    assert_eq!(rig.polls(), (1, 1));
}

#[test]
fn a_service_dropped_while_it_waits_is_woken_no_more() {
    let mut rig = rig();
    rig.primary.script().lock().unwrap().push_back(Poll::Pending);
    assert!(rig.poll_ready().is_pending());
    rig.service = rig.service.clone();
    rig.watched.trip();
    assert_eq!(rig.wakes(), 0);
}

/// HARD-WON 30.
#[tokio::test]
async fn two_services_made_by_one_layer_share_one_state() {
    let watched = Watched::new(Policy::default());
    let failing = tower::service_fn(|(): ()| ready(Err::<&str, _>("down")));
    let sound = tower::service_fn(|(): ()| ready(Ok::<_, Infallible>("fallback")));
    let layer = FailoverLayer::with_monitor(sound, watched.monitor.clone());
    let (mut one, mut other) = (layer.layer(failing), layer.layer(failing));
    for _ in 0..5 {
        for service in [&mut one, &mut other] {
            std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
            assert_eq!(service.call(()).await, Err(Error::Primary("down")));
        }
    }
    for service in [&mut one, &mut other] {
        std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
        assert_eq!(service.call(()).await, Ok("fallback"));
    }
}
