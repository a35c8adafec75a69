//! Each attempt at a provider leaves exactly one record.

use std::future::{Future, Pending, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use tower::Service;
use valuation_server::audit::{Audit, Hooks, MAX_MESSAGE};
use valuation_server::domain::{
    Answer, CallOutcome, CallTrail, Describe, ErrorCode, Failure, Money, Provider, ProviderCall,
    Quote, QuoteError, QuoteRequest,
};

use crate::stub::request;
use crate::valuer_stubs::attempt;

/// A provider that does as the closure does.
#[derive(Clone)]
struct Doing<F>(F);

impl<F> Describe for Doing<F> {
    fn provider(&self) -> Provider {
        Provider::Premium
    }

    fn url(&self, request: &QuoteRequest) -> Option<String> {
        (request.vrm.as_str() != ".").then(|| format!("http://h/{}", request.vrm))
    }
}

impl<F, T> Service<QuoteRequest> for Doing<F>
where
    F: FnMut(QuoteRequest) -> T,
    T: Future<Output = Result<Answer, Failure>>,
{
    type Response = Answer;
    type Error = Failure;
    type Future = T;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: QuoteRequest) -> T {
        (self.0)(request)
    }
}

fn audited<F>(doing: F) -> Audit<Doing<F>> {
    Audit::new(Doing(doing), Arc::new(()))
}

fn answer() -> Answer {
    let money = |text| Money::parse(text).unwrap();
    let quote = Quote::new(money("1"), money("2"), Provider::Premium).unwrap();
    Answer { quote, response_code: 200 }
}

fn only(mut calls: Vec<ProviderCall>) -> ProviderCall {
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_success_leaves_one_record_with_its_time_and_status() {
    let mut service = audited(|_| async {
        sleep(Duration::from_millis(120)).await;
        Ok(answer())
    });
    let before = SystemTime::now();
    let request = request("AB1");
    let trail = request.trail.clone();
    assert_eq!(service.call(request).await, Ok(answer().quote));
    let call = only(trail.take());
    assert_eq!(call.duration, Duration::from_millis(120));
    assert!(before <= call.requested_at && call.requested_at <= SystemTime::now());
    assert_eq!((call.vrm.as_str(), call.provider), ("AB1", Provider::Premium));
    assert_eq!(
        (call.url.as_str(), call.response_code, call.error),
        ("http://h/AB1", Some(200), None)
    );
}

#[tokio::test]
async fn the_record_says_when_the_attempt_began_and_not_when_it_ended() {
    // A time that was read inside of the call, with the wall clock's next tick after it.
    let mut service = audited(|request: QuoteRequest| {
        let begun = SystemTime::now();
        async move {
            while SystemTime::now() <= begun {}
            request.trail.push(ProviderCall { requested_at: begun, ..attempt(&request, None) });
            Ok(answer())
        }
    });
    let request = request("AB1");
    let trail = request.trail.clone();
    service.call(request).await.unwrap();
    let [inside, left] = &trail.take()[..] else { panic!("not two records") };
    assert!(left.requested_at <= inside.requested_at);
}

/// Finds the record in the trail, and panics.
#[derive(Debug)]
struct Panicking(CallTrail);

impl Hooks for Panicking {
    fn ended(&self, call: &ProviderCall) {
        assert_eq!(self.0.take(), std::slice::from_ref(call));
        self.0.push(call.clone());
        panic!("the test wants a panic");
    }
}

#[tokio::test]
async fn a_hook_is_called_after_the_record_is_left_so_that_its_panic_loses_nothing() {
    let request = request("AB1");
    let trail = request.trail.clone();
    let inner = Doing(|_| std::future::ready(Ok(answer())));
    let mut service = Audit::new(inner, Arc::new(Panicking(trail.clone())));
    assert!(tokio::spawn(service.call(request)).await.unwrap_err().is_panic());
    only(trail.take());
}

#[tokio::test]
async fn a_failure_leaves_one_record_with_its_code_and_a_bounded_printable_message() {
    let message = format!("\u{1b}[2J\r\n{}", "x".repeat(1000));
    let error = QuoteError::Unavailable { code: ErrorCode::Reset, message, retry_after: None };
    let failure = Failure { error: error.clone(), response_code: None };
    let mut service = audited(move |_| std::future::ready(Err(failure.clone())));
    let request = request("AB1");
    let trail = request.trail.clone();
    assert_eq!(service.call(request).await, Err(error));
    let call = only(trail.take());
    let (code, message) = call.error.unwrap();
    assert_eq!((code, call.response_code), (ErrorCode::Reset, None));
    assert_eq!(message.chars().count(), MAX_MESSAGE);
    assert!(message.chars().all(|c| !c.is_control()), "{message}");
}

#[tokio::test]
async fn a_refusal_leaves_its_status() {
    for (error, status) in [(QuoteError::NotFound, 404), (QuoteError::Refused(403), 403)] {
        let failure = Failure { error: error.clone(), response_code: Some(status) };
        let mut service = audited(move |_| std::future::ready(Err(failure.clone())));
        let request = request("AB1");
        let trail = request.trail.clone();
        assert_eq!(service.call(request).await, Err(error));
        let call = only(trail.take());
        assert_eq!((call.response_code, call.error.unwrap().0), (Some(status), ErrorCode::Status));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_leaves_cancelled_whether_it_was_polled_or_not() {
    let mut service = audited(|_| pending());
    let request = request("AB1");
    let trail = request.trail.clone();
    drop(service.call(request.clone()));
    let call = only(trail.take());
    assert_eq!(call.error.unwrap().0, ErrorCode::Cancelled);
    assert_eq!(call.outcome, CallOutcome::Ignored);

    let waited = Duration::from_millis(30);
    assert!(tokio::time::timeout(waited, service.call(request)).await.is_err());
    let call = only(trail.take());
    assert_eq!((call.response_code, call.error.unwrap().0), (None, ErrorCode::Cancelled));
    assert_eq!(call.duration, waited);
}

#[tokio::test]
async fn a_panic_inside_the_future_leaves_panic() {
    let mut service = audited(|_| async { panic!("boom") });
    let request = request("AB1");
    let trail = request.trail.clone();
    assert!(tokio::spawn(service.call(request)).await.unwrap_err().is_panic());
    let call = only(trail.take());
    assert_eq!((call.response_code, call.error.unwrap().0), (None, ErrorCode::Panic));
    assert_eq!(call.outcome, CallOutcome::Failure);
}

#[test]
fn a_panic_inside_call_leaves_panic() {
    let mut service = audited(|_| -> Pending<Result<Answer, Failure>> { panic!("boom") });
    let request = request("AB1");
    let trail = request.trail.clone();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(request)))).is_err());
    assert_eq!(only(trail.take()).error.unwrap().0, ErrorCode::Panic);
}

#[test]
fn a_future_dropped_by_someone_elses_panic_leaves_cancelled() {
    let mut service = audited(|_| pending());
    let request = request("AB1");
    let trail = request.trail.clone();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _call = service.call(request);
        panic!("boom elsewhere");
    }));
    assert!(unwound.is_err());
    assert_eq!(only(trail.take()).error.unwrap().0, ErrorCode::Cancelled);
}

#[tokio::test]
async fn a_finished_future_leaves_nothing_more_when_it_is_dropped() {
    let mut service = audited(|_| std::future::ready(Ok(answer())));
    let request = request("AB1");
    let trail = request.trail.clone();
    let mut call: Pin<Box<_>> = Box::pin(service.call(request));
    call.as_mut().await.unwrap();
    only(trail.take());
    drop(call);
    assert_eq!(trail.take(), []);
}

#[tokio::test]
async fn what_the_provider_cannot_be_asked_leaves_nothing() {
    let nothing = Failure { error: QuoteError::NotFound, response_code: None };
    let mut service = audited(move |_| std::future::ready(Err(nothing.clone())));
    let request = request(".");
    let trail = request.trail.clone();
    assert_eq!(service.call(request).await, Err(QuoteError::NotFound));
    assert_eq!(trail.take(), []);
}

#[tokio::test]
async fn an_error_of_readiness_is_no_attempt() {
    #[derive(Clone)]
    struct Never;
    impl Describe for Never {
        fn provider(&self) -> Provider {
            Provider::SuperCar
        }
        fn url(&self, _: &QuoteRequest) -> Option<String> {
            None
        }
    }
    impl Service<QuoteRequest> for Never {
        type Response = Answer;
        type Error = Failure;
        type Future = Pending<Result<Answer, Failure>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
            Poll::Ready(Err(Failure { error: QuoteError::NotFound, response_code: None }))
        }
        fn call(&mut self, _: QuoteRequest) -> Self::Future {
            pending()
        }
    }
    let ready = std::future::poll_fn(|cx| Audit::new(Never, Arc::new(())).poll_ready(cx)).await;
    assert_eq!(ready, Err(QuoteError::NotFound));
}

/// An unknown vehicle is a failure, and a refusal is ignored.
#[derive(Debug)]
struct UnknownFails;

impl Hooks for UnknownFails {
    fn outcome(&self, result: &Result<Quote, QuoteError>) -> CallOutcome {
        match result {
            Ok(_) => CallOutcome::Success,
            Err(QuoteError::Refused(_)) => CallOutcome::Ignored,
            Err(_) => CallOutcome::Failure,
        }
    }
}

#[tokio::test]
async fn a_record_says_what_the_failover_makes_of_the_attempt_and_not_only_whether_it_is_an_error()
{
    use CallOutcome::{Failure as Failed, Ignored, Success};
    let unusable = QuoteError::unusable("what?");
    // By default, and with hooks of the test's own.
    for (error, code, by_itself, classified) in [
        (Some(unusable), 200, Failed, Failed),
        (Some(QuoteError::NotFound), 404, Success, Failed),
        (Some(QuoteError::Refused(401)), 401, Success, Ignored),
        (None, 200, Success, Success),
    ] {
        let result =
            error.map_or(Ok(answer()), |error| Err(Failure { error, response_code: Some(code) }));
        let doing = Doing(move |_| std::future::ready(result.clone()));
        let plain = Audit::new(doing.clone(), Arc::new(()));
        let with_own = Audit::new(doing, Arc::new(UnknownFails));
        for (mut service, expected) in [(plain, by_itself), (with_own, classified)] {
            let request = request("AB1");
            let trail = request.trail.clone();
            let _ = service.call(request).await;
            let call = only(trail.take());
            assert_eq!((call.outcome, call.response_code), (expected, Some(code)));
        }
    }
}

#[tokio::test]
async fn a_second_attempt_at_the_same_question_is_a_rescue() {
    let mut service = audited(|_| std::future::ready(Ok(answer())));
    let request = request("AB1");
    let trail = request.trail.clone();
    for _ in 0..2 {
        service.call(request.clone()).await.unwrap();
    }
    assert_eq!(trail.take().iter().map(|call| call.rescue).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn clones_of_a_request_leave_their_records_in_one_trail_in_the_order_of_their_ends() {
    let mut first = audited(|_| async {
        tokio::task::yield_now().await;
        Ok(answer())
    });
    let mut second = audited(|_| std::future::ready(Ok(answer())));
    let request = request("AB1");
    let trail = request.trail.clone();
    let (one, two) = tokio::join!(first.call(request.clone()), second.call(request));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(trail.take().len(), 2);
}
