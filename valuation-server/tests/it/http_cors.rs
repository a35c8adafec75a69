//! Front ends on other origins.

use std::sync::Arc;

use hyper::header::HeaderValue;
use valuation_server::http::Options;

use crate::http_harness::{TestServer, get};
use crate::valuer_stubs::{Gate, quote};

const FRONT_END: &str = "https://cars.example";

async fn server() -> TestServer {
    let allow_origins = vec![HeaderValue::from_static(FRONT_END)];
    let quotes = Gate::open().quotes(Ok(quote("20000", "25000.50")));
    let options = Options { allow_origins, ..Options::default() };
    TestServer::start_with(([127, 0, 0, 1], 0).into(), Arc::default(), quotes, options).await
}

fn from(origin: &str, request: &str) -> String {
    request.replace("Host: x\r\n", &format!("Host: x\r\nOrigin: {origin}\r\n"))
}

fn preflight(origin: &str) -> String {
    let asked =
        "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type";
    from(origin, &format!("OPTIONS /valuations/AB1 HTTP/1.1\r\nHost: x\r\n{asked}\r\n\r\n"))
}

#[tokio::test]
async fn an_allowed_front_end_may_read_what_there_is_and_its_preflight_is_answered() {
    let server = server().await;
    let answer = server.ask(&preflight(FRONT_END)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(FRONT_END));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD,PUT"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("content-type"));
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    for (path, status) in [("/", 200), ("/valuations/AB1", 404), ("/nowhere", 404)] {
        let answer = server.ask(&from(FRONT_END, &get(path))).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(FRONT_END));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"));
    }
}

#[tokio::test]
async fn another_origin_is_not_allowed_and_every_answer_says_that_it_depends_on_the_origin() {
    let server = server().await;
    for origin in
        ["https://other.example", "http://cars.example", "null", "https://cars.example.evil"]
    {
        for request in [preflight(origin), from(origin, &get("/"))] {
            assert_eq!(server.ask(&request).await.header("access-control-allow-origin"), None);
        }
    }
    let vary = server.get("/").await.list("vary");
    assert!(vary.contains("origin") && vary.contains("accept"), "{vary}");
}

#[tokio::test]
async fn a_plain_options_and_a_rejected_request_are_answered_as_ever() {
    let server = server().await;
    let answer = server.ask(&get("/valuations/AB1").replace("GET", "OPTIONS")).await;
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, PUT, OPTIONS")));
    // Two lengths: an ambiguous head, after which the connection is closed.
    let smuggled = preflight(FRONT_END)
        .replace("Host: x\r\n", "Host: x\r\nContent-Length: 0\r\nContent-Length: 1\r\n");
    let mut client = server.client().await;
    client.send(smuggled).await;
    assert_eq!(client.answer().await.status, 400);
    client.closed().await;
}

#[tokio::test]
async fn without_the_setting_no_answer_speaks_of_origins() {
    let server = TestServer::ready().await;
    let answer = server.ask(&preflight(FRONT_END)).await;
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, PUT, OPTIONS")));
    for answer in [answer, server.ask(&from(FRONT_END, &get("/valuations/AB1"))).await] {
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.list("vary"), "");
    }
}
