//! `send`: tower's `ready` and `call` in one, on every service of the crate.

use std::future::ready;
use std::time::Duration;

use failover::monitor::KeyedMonitors;
use failover::{Failover, FailoverLayer, Policy, Rescue};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, service_fn};

type Answer = Result<&'static str, std::io::Error>;

fn answers(
    text: &'static str,
) -> impl Service<u8, Response = &'static str, Error = std::io::Error, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(move |_: u8| ready(Answer::Ok(text)))
}

#[tokio::test]
async fn every_service_answers_without_service_ext() {
    let layer = || FailoverLayer::with_fallback(answers("fallback"), Policy::default());
    assert_eq!(layer().layer(answers("primary")).send(1).await.unwrap(), "primary");
    let mut rescuing = layer().rescue(Rescue::cloning()).layer(answers("primary"));
    assert_eq!(rescuing.send(1).await.unwrap(), "primary");
    let keys = KeyedMonitors::new(Policy::default(), 10.try_into().unwrap());
    let mut keyed = keys.layer(answers("fallback"), |key: &u8| *key).layer(answers("primary"));
    assert_eq!(keyed.send(1).await.unwrap(), "primary");
}

#[cfg(feature = "http")]
#[tokio::test]
async fn an_http_failover_answers_without_service_ext() {
    use http::{Request, Response};
    use http_body_util::Full;

    let service = service_fn(|_: Request<()>| {
        ready(Ok::<_, std::io::Error>(Response::new(Full::new(bytes::Bytes::from("hello")))))
    });
    let layer = failover::http::HttpFailoverLayer::with_fallback(service, Policy::default());
    let response = layer.layer(service).send(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn it_waits_until_the_service_is_ready_and_its_future_is_send() {
    let slow = service_fn(|_: u8| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Answer::Ok("primary")
    });
    let primary = ConcurrencyLimit::new(slow, 1);
    let service = Failover::new(primary, answers("fallback"), Policy::default());
    let calls = [1, 2].map(|request| {
        let mut service = service.clone();
        tokio::spawn(async move { service.send(request).await })
    });
    let began = tokio::time::Instant::now();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "primary");
    }
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}
