//! Calls that are dropped or panic: HARD-WON 28 (its default) and 29.

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use failover::policy::{Probing, StallLimit};
use failover::{Classify, FailoverLayer, Outcome, Policy, Rescue, Route};
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

/// A panic elsewhere in the task, whose unwinding drops the call, is not the primary's.
#[test]
fn a_call_dropped_by_a_panic_elsewhere_is_not_a_failure() {
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

/// A request whose `clone` panics is the caller's fault. Three of them once counted as three stalled
/// calls, and tripped.
#[test]
fn a_request_that_panics_when_it_is_cloned_for_a_rescue_leaves_nothing_in_flight() {
    let policy = Policy::builder().stalled_calls(2 * SECOND, StallLimit::Calls(3));
    let watched = Watched::new(policy.build().unwrap());
    let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
    let layer = layer.rescue(Rescue::with(|(): &()| -> Option<()> { panic!("no second one") }));
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, &str>("primary"))));
    for _ in 0..3 {
        assert!(catch_unwind(AssertUnwindSafe(|| drive(&mut service))).is_err());
    }
    watched.clock.advance(3 * SECOND);
    assert_eq!(watched.snapshot().stalled_calls, 0);
    watched.succeed(1);
    assert_eq!((watched.route(), counts(watched.tally())), (Route::Primary, (0, 1)));
}

#[test]
fn a_request_that_panics_when_it_is_cloned_for_a_rescue_releases_a_probes_permit() {
    let policy = Policy::builder().probing(Probing::new(1).successes(1)).build().unwrap();
    let watched = Watched::new(policy);
    watched.trip();
    watched.clock.advance(300 * SECOND);
    let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
    let layer = layer.rescue(Rescue::with(|(): &()| -> Option<()> { panic!("no second one") }));
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, &str>("primary"))));
    assert!(catch_unwind(AssertUnwindSafe(|| drive(&mut service))).is_err());
    drop(watched.monitor.admit().ticket().expect("the place is free"));
    assert_eq!(watched.route(), Route::Fallback);
}

/// In `classify`, and in the clone of the classifier for each call.
#[test]
fn a_classifier_that_panics_records_nothing_and_leaves_nothing_in_flight() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    struct Faulty {
        in_clone: bool,
    }
    impl Clone for Faulty {
        fn clone(&self) -> Self {
            assert!(!(self.in_clone && ARMED.load(Ordering::Relaxed)), "a faulty classifier");
            Self { in_clone: self.in_clone }
        }
    }
    impl Classify<&'static str, &'static str> for Faulty {
        fn classify(&self, _: &Answer) -> Outcome {
            panic!("a faulty classifier")
        }
    }
    for in_clone in [false, true] {
        let policy = Policy::builder().stalled_calls(2 * SECOND, StallLimit::Calls(3));
        let watched = Watched::new(policy.build().unwrap());
        let layer = FailoverLayer::with_monitor(fallback(), watched.monitor.clone());
        let primary = service_fn(|()| ready(Ok::<_, &str>("primary")));
        let mut service = layer.classify(Faulty { in_clone }).layer(primary);
        ARMED.store(true, Ordering::Relaxed);
        for _ in 0..3 {
            assert!(catch_unwind(AssertUnwindSafe(|| drive(&mut service))).is_err());
        }
        ARMED.store(false, Ordering::Relaxed);
        watched.clock.advance(3 * SECOND);
        assert_eq!(watched.snapshot().stalled_calls, 0);
        assert_eq!((watched.route(), watched.tally().calls()), (Route::Primary, 0));
    }
}
