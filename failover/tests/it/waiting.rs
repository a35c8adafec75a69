//! Calls that wait in `poll_ready`: their permits, their wake-ups and their route.

use std::future::{Ready, pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use failover::clock::ManualClock;
use failover::policy::{PolicyBuilder, StallLimit};
use failover::{Failover, FailoverLayer, Policy, Route};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched, ratio};

type Answer = Result<&'static str, &'static str>;

/// The result of a mock's `poll_ready`, until it is changed.
#[derive(Clone)]
struct Mock {
    name: &'static str,
    readiness: Arc<Mutex<Poll<Result<(), &'static str>>>>,
    polls: Arc<AtomicUsize>,
    /// How many polls of each clone are busy before it is ready.
    busy: usize,
    left: usize,
}

const READY: Poll<Result<(), &'static str>> = Poll::Ready(Ok(()));
const BROKEN: Poll<Result<(), &'static str>> = Poll::Ready(Err("broken"));

impl Mock {
    fn new(name: &'static str) -> Self {
        Self::busy_for(name, 0)
    }

    fn busy_for(name: &'static str, polls: usize) -> Self {
        let readiness = Arc::new(Mutex::new(READY));
        Self { name, readiness, polls: Arc::default(), busy: polls, left: polls }
    }

    fn set(&self, readiness: Poll<Result<(), &'static str>>) {
        *self.readiness.lock().unwrap() = readiness;
    }

    fn polls(&self) -> usize {
        self.polls.load(Ordering::Relaxed)
    }
}

impl Service<()> for Mock {
    type Response = &'static str;
    type Error = &'static str;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        if self.left > 0 {
            self.left -= 1;
            return Poll::Pending;
        }
        *self.readiness.lock().unwrap()
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.left = self.busy;
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

impl Wakes {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

struct Rig {
    service: Failover<Mock, Mock, failover::classify::ErrorsAsFailures, ManualClock>,
    watched: Watched,
    primary: Mock,
    fallback: Mock,
    wakes: Arc<Wakes>,
}

fn rig(change: impl FnOnce(PolicyBuilder) -> PolicyBuilder) -> Rig {
    Rig::of(change, Mock::new("primary"), Mock::new("fallback"))
}

impl Rig {
    fn of(
        change: impl FnOnce(PolicyBuilder) -> PolicyBuilder,
        primary: Mock,
        fallback: Mock,
    ) -> Self {
        let watched = Watched::new(change(Policy::builder()).build().unwrap());
        let layer = FailoverLayer::with_monitor(fallback.clone(), watched.monitor.clone());
        let service = layer.layer(primary.clone());
        Self { service, watched, primary, fallback, wakes: Arc::default() }
    }

    fn is_ready(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.service.poll_ready(&mut Context::from_waker(&waker)).is_ready()
    }

    /// Calls the service that is ready, and returns which it was.
    fn call(&mut self) -> &'static str {
        self.service.call(()).into_inner()
    }
}

/// The result of a future that is ready at its first poll.
trait IntoInner {
    fn into_inner(self) -> &'static str;
}

impl<F: Future<Output = Result<&'static str, E>>, E: std::fmt::Debug> IntoInner for F {
    fn into_inner(self) -> &'static str {
        let mut context = Context::from_waker(Waker::noop());
        match std::pin::pin!(self).poll(&mut context) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => panic!("the mock answers at once"),
        }
    }
}

fn is_ready<S: Service<()>>(service: &mut S) -> bool {
    match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => ready.is_ok(),
        Poll::Pending => false,
    }
}

/// A limited service, and the calls that hold its two permits.
fn limited() -> (
    ConcurrencyLimit<impl Service<(), Response = &'static str, Error = &'static str> + Clone>,
    impl Sized,
) {
    let service = service_fn(|()| pending::<Answer>());
    let limited = ConcurrencyLimit::new(service, 2);
    let held = [(); 2].map(|()| {
        let mut service = limited.clone();
        assert!(is_ready(&mut service));
        service.call(())
    });
    (limited, held)
}

/// Eight connections wait for a primary that hangs, take the fallback after the trip, and keep
/// their clones. Only a drop leaves a tower queue.
#[test]
fn clones_that_waited_for_the_primary_and_took_the_fallback_keep_no_permit_of_it() {
    let watched = Watched::new(Policy::default());
    let (primary, held) = limited();
    let layer = FailoverLayer::with_monitor(Mock::new("fallback"), watched.monitor.clone());
    let service = layer.layer(primary);
    // The last one is not a clone, but was cloned.
    let mut connections = vec![service; 8];
    assert!(!connections.iter_mut().any(is_ready));
    watched.trip();
    assert!(connections.iter_mut().all(is_ready));
    drop(held);
    let answers = connections.iter_mut().map(|service| service.call(()).into_inner());
    assert!(answers.into_iter().all(|answer| answer == "fallback"));
    watched.clock.advance(300 * SECOND);
    let mut fresh = [connections[0].clone(), connections[0].clone()];
    assert!(fresh.iter_mut().all(is_ready), "both permits are free");
    assert_eq!(watched.route(), Route::Primary);
}

#[test]
fn clones_that_waited_for_the_fallback_and_took_the_primary_keep_no_permit_of_it() {
    let watched = Watched::new(Policy::default());
    let (fallback, held) = limited();
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    // Not a clone: the layer clones its fallback, so every service can.
    let mut connections: Vec<_> = (0..8).map(|_| layer.layer(Mock::new("primary"))).collect();
    watched.trip();
    assert!(!connections.iter_mut().any(is_ready));
    watched.handle().reset();
    assert!(connections.iter_mut().all(is_ready));
    drop(held);
    watched.trip();
    let mut fresh = [connections[0].clone(), connections[0].clone()];
    assert!(fresh.iter_mut().all(is_ready), "both permits are free");
}

/// A call keeps its position in the queue while it waits for that service.
#[test]
fn a_wait_goes_on_over_a_change_that_leaves_the_route() {
    let mut rig = Rig::of(|p| p, Mock::busy_for("primary", 3), Mock::new("fallback"));
    rig.service = rig.service.clone();
    assert!(!rig.is_ready());
    for _ in 0..2 {
        rig.watched.handle().reset();
        assert!(!rig.is_ready());
    }
    rig.watched.handle().reset();
    assert!(rig.is_ready());
    assert_eq!((rig.call(), rig.primary.polls()), ("primary", 4));
}

/// The primary failed to become ready, and the fallback is busy.
fn diverted() -> Rig {
    let mut rig = rig(|p| p);
    rig.primary.set(BROKEN);
    rig.fallback.set(Poll::Pending);
    assert!(!rig.is_ready());
    assert_eq!(rig.watched.tally().failures, 1);
    rig
}

#[test]
fn a_diverted_call_that_waits_is_woken_by_each_change_of_the_route() {
    let changes: [fn(&Rig); 4] = [
        |rig| assert!(rig.watched.handle().force(Route::Primary)),
        |rig| assert!(rig.watched.handle().force(Route::Fallback)),
        |rig| rig.watched.handle().reset(),
        |rig| rig.watched.trip(),
    ];
    for change in changes {
        let mut rig = diverted();
        change(&rig);
        assert_eq!(rig.wakes.take(), 1);
        rig.primary.set(READY);
        let primary = rig.watched.route() == Route::Primary;
        assert_eq!(rig.is_ready(), primary);
        rig.fallback.set(READY);
        assert!(rig.is_ready());
        assert_eq!(rig.call(), if primary { "primary" } else { "fallback" });
    }
}

#[test]
fn a_diverted_call_that_waits_is_woken_by_a_release_and_by_a_revert() {
    let mut rig = rig(|p| p);
    rig.watched.handle().force(Route::Primary);
    rig.primary.set(BROKEN);
    rig.fallback.set(Poll::Pending);
    assert!(!rig.is_ready());
    rig.watched.handle().release();
    assert_eq!(rig.wakes.take(), 1);
    // It fails in the new epoch too; then calls go to the fallback, and return.
    assert!(!rig.is_ready());
    rig.watched.trip();
    assert!(!rig.is_ready());
    rig.wakes.take();
    rig.watched.handle().revert();
    assert_eq!(rig.wakes.take(), 1);
    rig.primary.set(READY);
    assert!(rig.is_ready());
    assert_eq!(rig.call(), "primary");
}

/// The same for a call whose `ready()` was cancelled an hour ago: the next one takes the primary.
#[test]
fn a_diverted_call_asks_the_primary_again_and_its_failure_is_counted_once() {
    let mut rig = diverted();
    for _ in 0..20 {
        assert!(!rig.is_ready());
    }
    assert_eq!(rig.watched.tally().failures, 1);
    rig.watched.clock.advance(3_600 * SECOND);
    rig.primary.set(READY);
    rig.fallback.set(READY);
    assert!(rig.is_ready());
    assert_eq!(rig.call(), "primary");
    // The next call's failure counts again.
    rig.primary.set(BROKEN);
    assert!(rig.is_ready());
    assert_eq!((rig.call(), rig.watched.tally().failures), ("fallback", 1));
}

#[test]
fn when_the_fallback_fails_too_the_next_poll_asks_the_primary_again() {
    for waits in [false, true] {
        let mut rig = rig(|p| p);
        rig.primary.set(BROKEN);
        if waits {
            rig.fallback.set(Poll::Pending);
            assert!(!rig.is_ready());
        }
        rig.fallback.set(BROKEN);
        assert!(rig.is_ready());
        let asked = rig.primary.polls();
        rig.primary.set(READY);
        assert!(rig.is_ready());
        assert_eq!((rig.call(), rig.primary.polls()), ("primary", asked + 1));
    }
}

#[test]
fn a_call_that_waits_for_a_hung_fallback_is_woken_when_the_time_there_is_over() {
    let mut rig = rig(|p| p);
    rig.watched.trip();
    rig.fallback.set(Poll::Pending);
    assert!(!rig.is_ready());
    rig.watched.clock.advance(299 * SECOND);
    assert_eq!(rig.wakes.take(), 0);
    rig.watched.clock.advance(SECOND);
    assert_eq!(rig.wakes.take(), 1);
    assert!(rig.is_ready());
    assert_eq!(rig.call(), "primary");
}

/// All workers wait behind two calls that hang, so no call ends and none is admitted.
#[test]
fn calls_that_wait_for_a_hung_primary_see_its_stalled_calls() {
    let stalls = |p: PolicyBuilder| p.stalled_calls(2 * SECOND, StallLimit::Calls(2));
    let mut rig = rig(stalls);
    let hanging = [rig.watched.ticket(), rig.watched.ticket()];
    rig.primary.set(Poll::Pending);
    assert!(!rig.is_ready());
    for _ in 0..5 {
        rig.watched.clock.advance(SECOND / 2);
        let over = rig.watched.snapshot().stalled_calls == 2;
        assert_eq!(rig.wakes.take(), usize::from(over));
        assert_eq!(rig.is_ready(), over);
    }
    assert_eq!((rig.call(), rig.watched.route()), ("fallback", Route::Fallback));
    drop(hanging);
}

#[test]
fn a_service_that_waits_no_more_is_woken_by_no_deadline() {
    let mut rig = rig(|p| p);
    rig.watched.trip();
    rig.fallback.set(Poll::Pending);
    assert!(!rig.is_ready());
    rig.fallback.set(READY);
    assert!(rig.is_ready());
    rig.watched.clock.advance(300 * SECOND);
    assert_eq!(rig.wakes.take(), 0);
}

/// During a ramp a call's route is chosen once, however often it is polled.
#[test]
fn the_share_of_calls_that_return_is_one_of_calls_and_not_of_polls() {
    let share = |p: PolicyBuilder| p.ramp_up(ratio(1, 10), 360 * 86_400 * SECOND);
    for busy in [0, 1, 2, 4] {
        for slow in ["primary", "fallback"] {
            let busy_for = |name| Mock::busy_for(name, if name == slow { busy } else { 0 });
            let mut rig = Rig::of(share, busy_for("primary"), busy_for("fallback"));
            rig.watched.trip();
            rig.watched.clock.advance(300 * SECOND);
            let mut to_primary = 0;
            for _ in 0..1_000 {
                while !rig.is_ready() {}
                to_primary += i32::from(rig.call() == "primary");
            }
            assert!((to_primary - 100).abs() <= 1, "{to_primary}: {slow} busy for {busy} polls");
        }
    }
}

#[test]
fn a_service_goes_and_is_shared_between_threads_if_its_parts_are() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    is_send_and_sync(&rig(|p| p).service);
}
