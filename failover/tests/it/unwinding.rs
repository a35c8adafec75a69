//! Calls that are dropped or panic: HARD-WON 28 (its default) and 29.

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use failover::{FailoverLayer, Policy, Route};
use tower::{Layer, Service, service_fn};

use crate::common::{SECOND, Watched, counts};

type Answer = Result<&'static str, &'static str>;

/// Where a mock panics.
#[derive(Clone, Copy, PartialEq)]
enum At {
    PollReady,
    Call,
    Poll,
}

#[derive(Clone)]
struct Panicking(At);

struct PanickingFuture(At);

impl Future for PanickingFuture {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        assert!(self.0 != At::Poll, "a faulty primary");
        Poll::Ready(Ok("primary"))
    }
}

impl Service<()> for Panicking {
    type Response = &'static str;
    type Error = &'static str;
    type Future = PanickingFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        assert!(self.0 != At::PollReady, "a faulty primary");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> PanickingFuture {
        assert!(self.0 != At::Call, "a faulty primary");
        PanickingFuture(self.0)
    }
}

fn fallback() -> impl Service<(), Response = &'static str, Error = &'static str> + Clone {
    service_fn(|()| ready(Ok::<_, &str>("fallback")))
}

fn drive<S>(service: &mut S) -> Poll<Result<S::Response, S::Error>>
where
    S: Service<()>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut context), Poll::Ready(Ok(()))));
    pin!(service.call(())).poll(&mut context)
}

/// HARD-WON 29.
#[test]
fn a_panic_of_the_primary_is_one_failure_and_goes_on_unwinding() {
    for at in [At::PollReady, At::Call, At::Poll] {
        let watched = Watched::new(Policy::default());
        let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
        let mut service = layer.layer(Panicking(at));
        for panics in 1..=10 {
            let unwound = catch_unwind(AssertUnwindSafe(|| drive(&mut service)));
            assert!(unwound.is_err());
            if panics < 10 {
                assert_eq!(counts(watched.tally()), (panics, 0));
            }
        }
        assert_eq!(watched.route(), Route::Fallback);
        assert_eq!(drive(&mut service), Poll::Ready(Ok("fallback")));
    }
}

/// A panic elsewhere in the task that drops the call on its way is not the primary's.
#[test]
fn a_call_dropped_by_a_panic_elsewhere_is_no_failure() {
    let watched = Watched::new(Policy::default());
    let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
    let mut service = layer.layer(service_fn(|()| pending::<Answer>()));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut context = Context::from_waker(Waker::noop());
        let _ = service.poll_ready(&mut context);
        let mut call = pin!(service.call(()));
        assert!(call.as_mut().poll(&mut context).is_pending());
        panic!("elsewhere");
    }));
    assert!(unwound.is_err());
    assert_eq!(watched.tally().calls(), 0);
}

/// HARD-WON 28, the default. The option is in `dropped`.
#[test]
fn a_dropped_call_is_neutral() {
    let watched = Watched::new(Policy::default());
    let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
    let mut service = layer.layer(service_fn(|()| pending::<Answer>()));
    for _ in 0..100 {
        assert!(drive(&mut service).is_pending());
        watched.clock.advance(SECOND);
    }
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 0));
}

#[test]
fn a_dropped_ticket_records_nothing() {
    let watched = Watched::new(Policy::default());
    for _ in 0..100 {
        drop(watched.ticket());
    }
    assert_eq!(watched.tally().calls(), 0);
}
