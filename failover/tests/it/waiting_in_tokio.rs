//! Calls that wait in `poll_ready`, woken by tokio's timer: no other call has to come.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock, FineClock, ManualClock, Moment, Sleep, TokioClock};
use failover::policy::StallLimit;
use failover::{Failover, FailoverLayer, Policy, Route};
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
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let service = runtime.block_on(async {
        let mut service = Failover::new(Busy, Busy, stalls(2 * SECOND));
        assert!(poll(&mut service).await.is_pending());
        service
    });
    assert_eq!(service.handle().snapshot().route, Route::Primary);
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
    // The clock goes on: the next wait may sleep, but this one, which was not ended, may not.
    clock.0.advance(SECOND);
    assert!(poll(&mut service).await.is_pending());
    assert_eq!(clock.1.load(Ordering::Relaxed), 1);
    let mut another = layer.layer(Busy);
    assert!(poll(&mut another).await.is_pending());
    assert_eq!(clock.1.load(Ordering::Relaxed), 2);
}
