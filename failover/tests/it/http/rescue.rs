//! Rescue by the head of a response, and the end of the body after it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use failover::http::{
    GrpcErrorsAsFailures, HttpClassify, HttpFailoverLayer, HttpRescuing, SafeRequests,
};
use failover::rescue::{AlwaysClone, CloneRequest};
use failover::{Error, Policy, Rescue, Route};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::body::{Answer, Primary, Step, answered, next, read, scripted};
use crate::common::{Watched, counts};

fn service(answer: Answer) -> Primary {
    Primary(Arc::new(Mutex::new(answer)))
}

fn head(status: u16, steps: &[Step]) -> Answer {
    Ok(Response::builder().status(status).body(scripted(steps.to_vec())).unwrap())
}

struct Rig {
    watched: Watched,
    service: HttpRescuing<
        Primary,
        Primary,
        AlwaysClone,
        failover::http::ServerErrorsAsFailures,
        failover::clock::ManualClock,
    >,
}

/// A failover whose primary and fallback have these answers.
fn rig(rescue: Rescue, classify: HttpClassify, primary: Answer, fallback: Answer) -> Rig {
    let watched = Watched::new(Policy::default());
    let layer = HttpFailoverLayer::with_monitor(service(fallback), watched.monitor.clone());
    let layer = layer.classify(classify).rescue(rescue);
    assert_eq!(layer.handle().name(), None);
    Rig { service: layer.layer(service(primary)), watched }
}

fn one_way(primary: Answer, fallback: Answer) -> Rig {
    rig(Rescue::cloning(), HttpClassify::new(), primary, fallback)
}

impl Rig {
    fn counts(&self) -> (u64, u64) {
        counts(self.watched.tally())
    }
}

#[test]
fn a_call_whose_head_failed_is_answered_by_the_fallback() {
    for failed in [head(503, &[Step::Data]), Err("refused")] {
        let mut rig = one_way(failed, head(200, &[Step::Data, Step::Break]));
        let response = answered(&mut rig.service).unwrap();
        assert_eq!((response.status().as_u16(), rig.counts()), (200, (1, 0)));
        assert_eq!(response.extensions().get(), Some(&Route::Fallback));
        let mut body = response.into_body();
        assert_eq!(body.route(), Route::Fallback);
        assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
        // The end of the fallback's body is not the primary's.
        assert!(matches!(next(&mut body), Poll::Ready(Some(Err(Error::Fallback("broken off"))))));
        assert_eq!(rig.counts(), (1, 0));
    }
}

#[test]
fn a_call_whose_head_is_good_is_watched_to_the_end_of_its_body() {
    let mut rig = one_way(head(200, &[Step::Data, Step::Break]), head(200, &[]));
    let response = answered(&mut rig.service).unwrap();
    assert_eq!(response.extensions().get(), Some(&Route::Primary));
    let mut body = response.into_body();
    assert!(matches!(next(&mut body), Poll::Ready(Some(Ok(_)))));
    assert_eq!(rig.counts(), (0, 0));
    assert!(matches!(next(&mut body), Poll::Ready(Some(Err(Error::Primary("broken off"))))));
    assert_eq!(rig.counts(), (1, 0));
    let mut rig = one_way(head(200, &[Step::Data]), head(200, &[]));
    read(&mut answered(&mut rig.service).unwrap().into_body());
    assert_eq!(rig.counts(), (0, 1));
}

#[test]
fn a_grpc_code_rescues_in_the_head_and_counts_in_the_trailers() {
    let grpc = || HttpClassify::new().grpc(GrpcErrorsAsFailures::default());
    let mut unavailable = head(200, &[]).unwrap();
    unavailable.headers_mut().insert("grpc-status", 14.into());
    let mut rig = self::rig(Rescue::cloning(), grpc(), Ok(unavailable), head(200, &[]));
    assert_eq!(answered(&mut rig.service).unwrap().body().route(), Route::Fallback);
    assert_eq!(rig.counts(), (1, 0));
    let late = head(200, &[Step::Trailers(Some("14"))]);
    let mut rig = self::rig(Rescue::cloning(), grpc(), late, head(200, &[]));
    let response = answered(&mut rig.service).unwrap();
    assert_eq!(response.body().route(), Route::Primary);
    read(&mut response.into_body());
    assert_eq!(rig.counts(), (1, 0));
}

#[test]
fn an_answer_that_failed_is_better_than_no_answer_and_both_errors_are_returned() {
    let mut rig = one_way(head(503, &[]), Err("down"));
    let response = answered(&mut rig.service).unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.extensions().get(), Some(&Route::Primary));
    let mut rig = one_way(Err("refused"), Err("down"));
    let error = answered(&mut rig.service).unwrap_err();
    assert_eq!(error, Error::Both { primary: "refused", fallback: "down" });
    assert_eq!(rig.counts(), (1, 0));
}

#[test]
fn a_rescue_by_the_primary_is_not_counted_at_the_end_of_its_body_either() {
    let both_ways = Rescue::cloning().both_ways();
    let answers = (head(200, &[Step::Data, Step::Break]), head(500, &[]));
    let mut rig = self::rig(both_ways, HttpClassify::new(), answers.0, answers.1);
    rig.watched.trip();
    rig.watched.handle().force(Route::Fallback);
    let response = answered(&mut rig.service).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.extensions().get(), Some(&Route::Primary));
    read(&mut response.into_body());
    assert_eq!(rig.counts(), (0, 0));
}

#[test]
fn a_panic_of_the_primary_is_one_failure_and_is_not_rescued() {
    let watched = Watched::new(Policy::default());
    let layer = HttpFailoverLayer::with_monitor(service(head(200, &[])), watched.monitor.clone());
    let panics = service_fn(|()| poll_fn(|_| -> Poll<Answer> { panic!("a faulty primary") }));
    let mut service = layer.rescue(Rescue::cloning()).layer(panics);
    assert!(catch_unwind(AssertUnwindSafe(|| answered(&mut service))).is_err());
    assert_eq!(counts(watched.tally()), (1, 0));
}

#[test]
fn a_call_dropped_while_it_is_rescued_has_counted_once() {
    let watched = Watched::new(Policy::default());
    let hangs = service_fn(|()| std::future::pending::<Answer>());
    let layer = HttpFailoverLayer::with_monitor(hangs, watched.monitor.clone());
    let mut rescuing = layer.rescue(Rescue::cloning()).layer(service(head(503, &[])));
    let mut context = Context::from_waker(Waker::noop());
    assert!(rescuing.poll_ready(&mut context).is_ready());
    {
        let call = pin!(rescuing.call(()));
        assert!(call.poll(&mut context).is_pending());
    }
    assert_eq!(counts(watched.tally()), (1, 0));
    // Dropped before the head, it says nothing.
    let layer = HttpFailoverLayer::with_monitor(service(head(200, &[])), watched.monitor.clone());
    let mut rescuing = layer.rescue(Rescue::cloning()).layer(hangs);
    assert!(rescuing.poll_ready(&mut context).is_ready());
    {
        let call = pin!(rescuing.call(()));
        assert!(call.poll(&mut context).is_pending());
    }
    assert_eq!(counts(watched.tally()), (1, 0));
}

#[test]
fn only_a_request_with_a_safe_method_and_without_a_body_is_cloned() {
    let clone = |method: Method, body: &'static str| {
        let request = Request::builder()
            .method(method)
            .uri("http://prices/tea?now")
            .version(http::Version::HTTP_2)
            .header("x-trace", "7")
            .extension(Route::Fallback)
            .body(Full::<Bytes>::from(body));
        SafeRequests.clone_request(&request.unwrap())
    };
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        let clone = clone(method.clone(), "").unwrap();
        assert_eq!((clone.method(), clone.version()), (&method, http::Version::HTTP_2));
        assert_eq!(clone.uri(), "http://prices/tea?now");
        assert_eq!(clone.headers()["x-trace"], "7");
        assert_eq!(clone.extensions().get(), Some(&Route::Fallback));
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::CONNECT] {
        assert!(clone(method, "").is_none());
    }
    assert!(clone(Method::GET, "a body").is_none());
    assert!(clone(Method::from_bytes(b"PURGE").unwrap(), "").is_none());
}

#[tokio::test]
async fn a_get_is_rescued_and_a_post_is_sent_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = |status, asked: &Arc<AtomicUsize>| {
        let asked = Arc::clone(asked);
        service_fn(move |request: Request<Empty<Bytes>>| {
            asked.fetch_add(1, Ordering::Relaxed);
            let text = request.uri().path().to_owned();
            let response = Response::builder().status(status).body(Full::<Bytes>::from(text));
            std::future::ready(response)
        })
    };
    let layer = HttpFailoverLayer::with_fallback(answer(200, &asked), Policy::default());
    let service = layer.rescue(Rescue::safe()).layer(answer(502, &asked));
    let get = Request::get("/tea").body(Empty::new()).unwrap();
    let response = service.clone().oneshot(get).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "/tea");
    assert_eq!(asked.swap(0, Ordering::Relaxed), 2);
    let post = Request::post("/tea").body(Empty::new()).unwrap();
    assert_eq!(service.clone().oneshot(post).await.unwrap().status(), 502);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(counts(service.handle().snapshot().tally), (2, 0));
}

#[cfg(feature = "prometheus")]
#[test]
fn a_metered_rescue_is_a_call_on_each_route() {
    use crate::metrics::{page, value};
    use failover::prometheus::Metrics;
    let metrics = Metrics::new();
    let layer = HttpFailoverLayer::with_fallback(service(head(200, &[])), Policy::default())
        .classify(HttpClassify::by_head(|head| {
            failover::http::ServerErrorsAsFailures::outcome(head.status())
        }))
        .named("rescued")
        .rescue(Rescue::cloning())
        .metered(&metrics);
    let mut service = layer.layer(service(head(503, &[])));
    read(&mut answered(&mut service).unwrap().into_body());
    let calls = |labels: &str| {
        let labels = format!(r#"{{name="rescued",{labels}}}"#);
        value(&page(&metrics), &format!("failover_calls_total{labels}"))
    };
    assert_eq!(calls(r#"route="primary",outcome="failure""#), "1");
    assert_eq!(calls(r#"route="fallback",outcome="success""#), "1");
}
