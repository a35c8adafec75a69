//! Rescue of single calls, and the window after it: HARD-WON 36.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use failover::{Error, FailoverLayer, Outcome, Policy, Rescue, Route};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::common::{Watched, counts};

type Answer = Result<u16, &'static str>;

/// A service that always returns the same and counts its calls.
fn always(
    answer: Answer,
) -> (impl Service<u8, Response = u16, Error = &'static str> + Clone, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let service = service_fn(move |_: u8| {
        counter.fetch_add(1, Ordering::Relaxed);
        ready(answer)
    });
    (service, calls)
}

fn five_hundred_is_failure(result: &Answer) -> Outcome {
    match result {
        Ok(500..) | Err(_) => Outcome::Failure,
        Ok(_) => Outcome::Success,
    }
}

/// HARD-WON 36.
#[tokio::test]
async fn a_failure_that_a_rescue_made_good_still_counts_against_the_primary() {
    let watched = Watched::new(Policy::default());
    let ((primary, asked), (fallback, _)) = (always(Err("down")), always(Ok(200)));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    let service = layer.rescue(Rescue::cloning()).layer(primary);
    for _ in 0..10 {
        assert_eq!(service.clone().oneshot(0).await, Ok(200));
    }
    assert_eq!(watched.route(), Route::Fallback);
    assert_eq!(service.oneshot(0).await, Ok(200));
    assert_eq!(asked.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn a_response_that_is_classified_as_a_failure_is_rescued_too() {
    let watched = Watched::new(Policy::default());
    let ((primary, _), (fallback, _)) = (always(Ok(503)), always(Ok(200)));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    let layer = layer.classify(five_hundred_is_failure).rescue(Rescue::cloning());
    assert_eq!(layer.layer(primary).oneshot(0).await, Ok(200));
    assert_eq!(counts(watched.tally()), (1, 0));
}

#[tokio::test]
async fn when_both_fail_the_caller_sees_both_errors() {
    let ((primary, _), (fallback, _)) = (always(Err("down")), always(Err("down as well")));
    let layer = FailoverLayer::with_fallback(fallback, Policy::default()).rescue(Rescue::cloning());
    let error = layer.layer(primary).oneshot(0).await.unwrap_err();
    assert_eq!(error, Error::Both { primary: "down", fallback: "down as well" });
    assert_eq!(error.to_string(), "primary failed (down), and so did the fallback");
}

#[tokio::test]
async fn an_answer_that_failed_is_better_than_no_answer() {
    let ((primary, _), (fallback, _)) = (always(Ok(503)), always(Err("down")));
    let layer = FailoverLayer::with_fallback(fallback, Policy::default());
    let layer = layer.classify(five_hundred_is_failure).rescue(Rescue::cloning());
    assert_eq!(layer.layer(primary).oneshot(0).await, Ok(503));
}

#[tokio::test]
async fn a_request_that_declines_is_not_sent_twice() {
    let watched = Watched::new(Policy::default());
    let ((primary, _), (fallback, asked)) = (always(Err("down")), always(Ok(200)));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    let idempotent = |request: &u8| (*request == 0).then_some(*request);
    let service = layer.rescue(Rescue::with(idempotent)).layer(primary);
    assert_eq!(service.clone().oneshot(1).await, Err(Error::Primary("down")));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(service.oneshot(0).await, Ok(200));
    assert_eq!(counts(watched.tally()), (2, 0));
}

#[tokio::test]
async fn the_last_resort_asks_the_primary_once_and_records_nothing() {
    let watched = Watched::new(Policy::default());
    watched.trip();
    let ((primary, asked), (fallback, _)) = (always(Ok(200)), always(Err("down")));
    let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
    let one_way = layer.clone().rescue(Rescue::cloning()).layer(primary.clone());
    assert_eq!(one_way.oneshot(0).await, Err(Error::Fallback("down")));
    let both_ways = layer.rescue(Rescue::cloning().both_ways()).layer(primary);
    assert_eq!(both_ways.oneshot(0).await, Ok(200));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!((watched.route(), watched.tally().calls()), (Route::Fallback, 0));
}

#[tokio::test]
async fn a_success_asks_nobody_else() {
    let ((primary, _), (fallback, asked)) = (always(Ok(200)), always(Ok(201)));
    let layer = FailoverLayer::with_fallback(fallback, Policy::default());
    let layer = layer.rescue(Rescue::cloning().both_ways());
    assert_eq!(layer.layer(primary).oneshot(0).await, Ok(200));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// In both directions the classifier decides, not whether there was an error.
#[tokio::test]
async fn only_what_the_classifier_calls_a_failure_is_rescued() {
    let not_found_is_an_answer = |result: &Answer| match result {
        Ok(500..) | Err("down") => Outcome::Failure,
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Ignored,
    };
    for tripped in [false, true] {
        let cases = [(Ok(503), true), (Err("down"), true), (Err("not found"), false)];
        for (answer, rescued) in cases {
            let watched = Watched::new(Policy::default());
            let ((first, _), (second, asked)) = (always(answer), always(Ok(200)));
            let (primary, fallback) = if tripped { (second, first) } else { (first, second) };
            if tripped {
                watched.trip();
            }
            let layer = FailoverLayer::with_monitor(fallback, watched.monitor.clone());
            let layer = layer.classify(not_found_is_an_answer);
            let service = layer.rescue(Rescue::cloning().both_ways()).layer(primary);
            let expected = match (rescued, tripped) {
                (true, _) => Ok(200),
                (false, false) => Err(Error::Primary("not found")),
                (false, true) => Err(Error::Fallback("not found")),
            };
            assert_eq!(service.oneshot(0).await, expected, "{answer:?}, tripped: {tripped}");
            assert_eq!(asked.load(Ordering::Relaxed), usize::from(rescued));
        }
    }
}
