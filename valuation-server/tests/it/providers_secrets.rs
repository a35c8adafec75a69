//! No credential and no key gets into a record, an error or a debug text.

use std::net::SocketAddr;
use std::time::Duration;

use tower::{Service, ServiceExt};
use valuation_server::audit::Audit;
use valuation_server::domain::{Answer, Describe, Failure, QuoteRequest};
use valuation_server::providers::BaseUrl;

use crate::stub::{
    AMPLE, Act, GOOD_JSON, Nobody, Stub, premium, request, response, send, supercar,
};

const CANARY: &str = "c4n4ry";

fn with_secrets(address: SocketAddr) -> String {
    format!("http://{CANARY}:{CANARY}@{address}/v1?key={CANARY}&X-Api-Key={CANARY}&a=b")
}

async fn all_output<S>(mut service: Audit<S>) -> String
where
    S: Service<QuoteRequest, Response = Answer, Error = Failure> + Describe + std::fmt::Debug,
{
    let request = request("AA99BCD");
    let trail = request.trail.clone();
    let shown = format!("{service:?}");
    let result = service.ready().await.unwrap().call(request).await;
    format!("{shown} {result:?} {:?}", trail.take())
}

#[tokio::test]
async fn a_secret_in_the_base_url_is_in_no_output_whatever_happens() {
    let nobody = Nobody::new();
    let refused = nobody.address();
    let echo = format!("{{\"{CANARY}\":{CANARY}}}");
    let scripts = [
        vec![response("200 OK", GOOD_JSON.as_bytes())],
        vec![response("200 OK", echo.as_bytes())],
        vec![response(&format!("500 {CANARY}"), echo.as_bytes())],
        vec![response("404 X", echo.as_bytes())],
        vec![send(&format!("HTTP/1.1 302 X\r\nlocation: http://{CANARY}/\r\n\r\n"))],
        vec![send(&format!("{CANARY}\r\n\r\n"))],
        vec![send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), Act::Reset],
        vec![Act::Reset],
        vec![Act::Hang],
    ];
    let mut told = all_output(supercar(&with_secrets(refused), AMPLE)).await;
    for script in scripts {
        let hangs = matches!(script[0], Act::Hang);
        let deadline = if hangs { Duration::from_millis(200) } else { AMPLE };
        let stub = Stub::start(script).await;
        told += &all_output(supercar(&with_secrets(stub.address), deadline)).await;
        told += &all_output(premium(&with_secrets(stub.address), deadline)).await;
        assert!(stub.heads().iter().all(|head| head.contains(CANARY)), "it is sent");
    }
    assert!(!told.contains(CANARY), "{told}");
    // Base64 of canary:canary
    assert!(!told.contains("YzRuNHJ5"), "{told}");
    assert!(told.contains("http://REDACTED@"), "{told}");
    assert!(told.contains("?key=REDACTED&X-Api-Key=REDACTED&a=b&mileage=10000"), "{told}");
}

#[tokio::test]
async fn a_dropped_call_tells_no_secret_either() {
    let stub = Stub::start(vec![Act::Hang]).await;
    let mut service = supercar(&with_secrets(stub.address), AMPLE);
    let request = request("AA99BCD");
    let trail = request.trail.clone();
    drop(service.ready().await.unwrap().call(request));
    let told = format!("{:?}", trail.take());
    assert!(told.contains("REDACTED") && !told.contains(CANARY), "{told}");
}

#[test]
fn a_base_urls_debug_and_display_texts_tell_no_secret() {
    let base = BaseUrl::parse(&with_secrets(SocketAddr::from(([127, 0, 0, 1], 80)))).unwrap();
    assert!(!format!("{base} {base:?}").contains(CANARY));
}
