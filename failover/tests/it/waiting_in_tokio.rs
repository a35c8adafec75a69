//! Calls that wait in `poll_ready`, woken by tokio's timer: no other call has to come.

use std::fmt::Debug;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock, FineClock, ManualClock, Moment, Sleep, TokioClock};
use failover::policy::StallLimit;
use failover::{Failover, FailoverLayer, Policy, Route};
use tokio::runtime::{Builder, Runtime};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt as _, service_fn};

use crate::common::SECOND;

type Answer = Result<&'static str, &'static str>;

fn stalls(after: Duration) -> Policy {
    Policy::builder().stalled_calls(after, StallLimit::Calls(1)).build().unwrap()
}

/// One call hangs and holds the only permit; four wait behind it, and are freed by the trip.
async fn four_calls_are_freed(after: Duration, clock: impl Clock) {
    let hung = ConcurrencyLimit::new(service_fn(|()| pending::<Answer>()), 1);
    let fallback = service_fn(|()| ready(Ok::<_, &str>("fallback")));
    let layer = FailoverLayer::with_fallback(fallback, stalls(after)).clock(clock);
    let mut service = layer.layer(hung);
    let _hanging = service.ready().await.unwrap().call(());
    let waiting: Vec<_> = (0..4).map(|_| tokio::spawn(service.clone().oneshot(()))).collect();
    for call in waiting {
        let answer = tokio::time::timeout(30 * SECOND, call).await.expect("freed").unwrap();
        assert_eq!(answer.unwrap(), "fallback");
    }
    assert_eq!(service.handle().snapshot().route, Route::Fallback);
}

#[tokio::test(start_paused = true)]
async fn all_calls_that_wait_go_on_when_the_call_before_them_has_stalled() {
    four_calls_are_freed(2 * SECOND, TokioClock::new()).await;
}

#[tokio::test]
async fn all_calls_that_wait_go_on_with_the_systems_clocks_too() {
    four_calls_are_freed(Duration::from_millis(40), CoarseClock).await;
    four_calls_are_freed(Duration::from_millis(40), FineClock).await;
}

#[test]
fn calls_that_wait_in_a_runtime_without_a_timer_wait_on() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let service = runtime.block_on(async {
        let mut service = Failover::new(Busy, Busy, stalls(2 * SECOND));
        assert!(poll(&mut service).await.is_pending());
        service
    });
    assert_eq!(service.handle().snapshot().route, Route::Primary);
}

fn timed() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// One call hangs and holds the only permit.
fn hung(after: Duration) -> (impl Service<(), Error: Debug> + Send + 'static, impl Sized) {
    let hung = ConcurrencyLimit::new(service_fn(|()| pending::<Answer>()), 1);
    let fallback = service_fn(|()| ready(Ok::<_, &str>("fallback")));
    let mut service = FailoverLayer::with_fallback(fallback, stalls(after)).layer(hung);
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    let hanging = service.call(());
    (service, hanging)
}

/// A runtime for each call, as a blocking client has; or a wait whose time-out came first.
#[test]
fn a_wait_that_goes_on_in_another_runtime_is_woken_there() {
    for first in [timed(), Builder::new_current_thread().build().unwrap()] {
        for shut_down in [false, true] {
            let (mut service, _hanging) = hung(Duration::from_millis(80));
            first.block_on(async { assert!(poll(&mut service).await.is_pending()) });
            if shut_down {
                let own = timed();
                own.block_on(async { assert!(poll(&mut service).await.is_pending()) });
                let handle = own.handle().clone();
                drop(own);
                let _entered = handle.enter();
                let mut context = Context::from_waker(Waker::noop());
                assert!(service.poll_ready(&mut context).is_pending());
            }
            timed().block_on(async {
                tokio::time::timeout(30 * SECOND, service.ready()).await.expect("woken").unwrap();
            });
        }
    }
}

#[test]
fn no_call_that_waits_panics_in_a_runtime_that_has_shut_down() {
    for polled_before in [true, false] {
        let (mut service, _hanging) = hung(600 * SECOND);
        let runtime = timed();
        if polled_before {
            runtime.block_on(async { assert!(poll(&mut service).await.is_pending()) });
        }
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(service.poll_ready(&mut context).is_pending());
        }
    }
}

#[test]
fn no_call_that_waits_on_a_blocking_thread_panics_while_its_runtime_shuts_down() {
    let (mut service, _hanging) = hung(600 * SECOND);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let (started, starts) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    let call = runtime.spawn_blocking(move || {
        started.send(()).unwrap();
        goes.recv().unwrap();
        service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending()
    });
    starts.recv().unwrap();
    runtime.shutdown_background();
    go.send(()).unwrap();
    assert!(timed().block_on(call).unwrap());
}

/// Counts its polls. Its calls hang.
#[derive(Clone, Default)]
struct Polled(Arc<AtomicUsize>);

impl Service<()> for Polled {
    type Response = &'static str;
    type Error = &'static str;
    type Future = std::future::Pending<Answer>;

    /// Ready once.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        let is_first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_wakes_when_a_call_may_have_stalled_and_seldom_if_none_is_in_flight() {
    let layer = |polled: &Polled, limit| {
        let policy = Policy::builder().stalled_calls(SECOND, limit).build().unwrap();
        FailoverLayer::with_fallback(Busy, policy).clock(TokioClock::new()).layer(polled.clone())
    };
    // At most so many more polls, with one of the time-out, and after the first case one since the end
    // of the last one wakes the task; and the route at the end.
    let (one, two) = (StallLimit::Calls(1), StallLimit::Calls(2));
    let cases = [(false, one, 8, Route::Primary), (true, one, 1, Route::Fallback)];
    for (hangs, limit, wakes, route) in cases.into_iter().chain([(true, two, 11, Route::Primary)]) {
        let polled = Polled::default();
        let mut service = layer(&polled, limit);
        service.ready().await.unwrap();
        let call = service.call(());
        let hanging = hangs.then_some(call);
        // Its first poll.
        assert!(poll(&mut service).await.is_pending());
        polled.0.store(1, Ordering::Relaxed);
        let _ = tokio::time::timeout(9 * SECOND, service.ready()).await;
        let polls = polled.0.load(Ordering::Relaxed) - 2;
        assert!(polls <= wakes, "{hangs} {limit:?}: {polls}");
        assert_eq!(service.handle().snapshot().route, route);
        drop(hanging);
    }
}

/// Never ready.
#[derive(Clone)]
struct Busy;

impl Service<()> for Busy {
    type Response = &'static str;
    type Error = &'static str;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok("never called"))
    }
}

async fn poll<S: Service<()>>(service: &mut S) -> Poll<()> {
    std::future::poll_fn(|context| Poll::Ready(service.poll_ready(context).map(|_| ()))).await
}

/// Sleeps on tokio's timer, and counts the sleeps.
#[derive(Clone, Default)]
struct Counted<C>(C, Arc<AtomicUsize>);

impl<C: Clock> Clock for Counted<C> {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let left = moment.as_nanos().saturating_sub(self.now().as_nanos());
        Some(Box::pin(tokio::time::sleep(Duration::from_nanos(left))))
    }
}

/// tokio's time passes at once, and the system's clock says that it has not.
#[tokio::test(start_paused = true)]
async fn in_paused_time_a_call_that_waits_on_another_clock_sleeps_once_in_vain() {
    let clock = Counted(ManualClock::new(), Arc::default());
    let layer = FailoverLayer::with_fallback(Busy, stalls(2 * SECOND)).clock(clock.clone());
    let mut service = layer.layer(Busy);
    let began = tokio::time::Instant::now();
    assert!(tokio::time::timeout(3_600 * SECOND, service.ready()).await.is_err());
    assert_eq!((clock.1.load(Ordering::Relaxed), began.elapsed()), (1, 3_600 * SECOND));
    // Another wait may sleep. This one, which was not ended, may when the clock has reached the end of
    // its sleep, of 5/4 of the time.
    let mut another = layer.layer(Busy);
    assert!(poll(&mut another).await.is_pending());
    for (passed, sleeps) in [(SECOND, 2), (SECOND, 2), (SECOND / 2, 3)] {
        clock.0.advance(passed);
        assert!(poll(&mut service).await.is_pending());
        assert_eq!(clock.1.load(Ordering::Relaxed), sleeps);
    }
}
