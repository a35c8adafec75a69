//! What goes over the wire to a provider.

use tower::{Service, ServiceExt};
use valuation_server::domain::QuoteError;

use crate::stub::{AMPLE, GOOD_JSON, Stub, ask, premium, request, response, supercar};

const HOSTILE: [(&str, &str); 16] = [
    ("AA99BCD", "AA99BCD"),
    ("a b", "a%20b"),
    ("/", "%2F"),
    ("../x", "..%2Fx"),
    ("..\\x", "..%5Cx"),
    ("...", "..."),
    ("%2e%2e", "%252e%252e"),
    ("%2e", "%252e"),
    ("?a=b", "%3Fa%3Db"),
    ("#x", "%23x"),
    ("a&vrm=b", "a%26vrm%3Db"),
    ("a+b;c=d", "a%2Bb%3Bc%3Dd"),
    ("@h:1", "%40h%3A1"),
    ("é", "%C3%A9"),
    ("🚗", "%F0%9F%9A%97"),
    ("-_.~'", "-_.~%27"),
];

async fn good() -> Stub {
    Stub::start(vec![response("200 OK", GOOD_JSON.as_bytes())]).await
}

fn line(head: &str) -> &str {
    head.lines().next().unwrap()
}

#[tokio::test]
async fn no_vrm_changes_supercars_path_or_query() {
    let stub = good().await;
    let mut service = supercar(&format!("{}/api/v1/?region=uk", stub.url()), AMPLE);
    for (vrm, encoded) in HOSTILE {
        let (result, call) = ask(&mut service, vrm).await;
        assert!(result.is_ok(), "{vrm}");
        let path = format!("/api/v1/valuations/{encoded}?region=uk&mileage=10000");
        assert_eq!(line(stub.heads().last().unwrap()), format!("GET {path} HTTP/1.1"), "{vrm}");
        assert_eq!(call.url, format!("{}{path}", stub.url()));
    }
    assert_eq!(stub.connections(), HOSTILE.len(), "a connection carries one request");
    assert!(stub.heads()[0].contains("connection: close\r\n"), "{}", stub.heads()[0]);
}

#[tokio::test]
async fn no_vrm_changes_premiums_path_or_query() {
    let stub = good().await;
    let mut service = premium(&stub.url(), AMPLE);
    for (vrm, encoded) in HOSTILE.into_iter().chain([(".", "."), ("..", "..")]) {
        let (_, call) = ask(&mut service, vrm).await;
        let path = format!("/valueCar?vrm={encoded}");
        assert_eq!(line(stub.heads().last().unwrap()), format!("GET {path} HTTP/1.1"), "{vrm}");
        assert_eq!(call.url, format!("{}{path}", stub.url()));
    }
}

#[tokio::test]
async fn a_vrm_of_dots_is_not_known_to_supercar_and_nothing_is_sent() {
    let stub = good().await;
    let mut service = supercar(&stub.url(), AMPLE);
    for vrm in [".", ".."] {
        let request = request(vrm);
        let trail = request.trail.clone();
        let result = service.ready().await.unwrap().call(request).await;
        assert_eq!(result, Err(QuoteError::NotAsked));
        assert_eq!(trail.take(), [], "what is not sent is no call");
    }
    assert_eq!(stub.connections(), 0);
}

#[tokio::test]
async fn mileage_is_a_plain_decimal_number() {
    let stub = good().await;
    let mut service = supercar(&stub.url(), AMPLE);
    for (miles, sent) in [(1e7, "10000000"), (0.5, "0.5"), (1e-3, "0.001")] {
        let mut request = request("A");
        request.mileage = valuation_server::domain::Mileage::new(miles).unwrap();
        service.ready().await.unwrap().call(request).await.unwrap();
        let expected = format!("GET /valuations/A?mileage={sent} HTTP/1.1");
        assert_eq!(line(stub.heads().last().unwrap()), expected);
    }
}

#[tokio::test]
async fn credentials_go_into_a_header_and_not_into_the_request_line() {
    let stub = good().await;
    let url = format!("http://me:p%40ss@{}", stub.address);
    ask(&mut supercar(&url, AMPLE), "AA99BCD").await.0.unwrap();
    let head = &stub.heads()[0];
    assert_eq!(line(head), "GET /valuations/AA99BCD?mileage=10000 HTTP/1.1");
    // Base64 of me:p@ss
    assert!(head.to_lowercase().contains("authorization: basic bwu6cebzcw=="), "{head}");
    assert!(head.contains(&format!("host: {}", stub.address)), "{head}");
}

/// The environment of a running test must not be changed, so that another process runs the test
/// of a plain exchange, with every variable set to a proxy that nobody runs.
#[tokio::test]
async fn the_systems_proxies_are_not_used() {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "providers_status::two_hundred_with_a_usable_body_is_a_quote"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        command.env(name, "http://127.0.0.1:1");
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
