//! Answers over HTTP/2, as a client's library gives them.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use valuation_server::http::Limits;
use valuation_server::web::openapi::Side;

use crate::conforms::{Seen, conforms, document};
use crate::http_harness::TestServer;
use crate::valuer_stubs::{Gate, quote};

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks what every error has.
    #[track_caller]
    fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
        let json: serde_json::Value = serde_json::from_str(&self.body).expect("a JSON body");
        assert_eq!((&json["status"], &json["statusCode"]), (&status.into(), &status.into()));
        assert_eq!(json["detail"], json["message"]);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
    }
}

/// One request on a connection of its own.
async fn ask(server: &TestServer, request: Request<Full<Bytes>>) -> Answer {
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (method, target) = (request.method().to_string(), request.uri().path().to_owned());
    let (mut client, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let (parts, body) = client.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let status = parts.status.as_u16();
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers: Vec<_> = headers.collect();
    let read = (method != "HEAD").then_some(&*body);
    let seen = Seen { status, headers: &headers, body: read };
    // hyper answers by itself without a header, and reaches no code of ours.
    if !headers.is_empty() {
        conforms(document(Side::Public), Some((&method, &target)), &seen);
    }
    Answer { status, headers: parts.headers, body }
}

fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("http://x{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body)).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const MILEAGE: &str = r#"{"mileage":1}"#;

#[tokio::test]
async fn each_refusal_has_a_body_and_the_id_of_its_request() {
    let server = TestServer::ready().await;
    let full = {
        let quotes = Gate::open().quotes(Ok(quote("1", "2")));
        TestServer::start(Arc::default(), quotes, Limits { streams: 0, ..Limits::default() }).await
    };
    let large = "x".repeat(17_000);
    let many: Vec<_> = (0..101).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
    for (server, method, path, headers, body, status) in [
        (&server, Method::GET, "/nothing", &[][..], "", 404),
        (&server, Method::GET, "/valuations/AB1", &[], "", 404),
        (&server, Method::DELETE, "/valuations/AB1", &[], "", 405),
        (&server, Method::PUT, "/valuations/TOO%20LONG", &[JSON], MILEAGE, 400),
        (&server, Method::PUT, "/valuations/AB1", &[], MILEAGE, 415),
        (&server, Method::PUT, "/valuations/AB1", &[JSON, ("content-length", "70000")], "", 413),
        (&server, Method::GET, "/", &[("x-large", large.as_str())], "", 431),
        (&server, Method::PUT, "/valuations/AB1", &many, MILEAGE, 431),
        (&full, Method::GET, "/", &[], "", 503),
    ] {
        let named = [headers, &[("x-request-id", "order-77")]].concat();
        let body = if status == 413 { Full::from(vec![b'x'; 70_000]) } else { Full::from(body) };
        let request =
            |headers: &[_]| request(method.clone(), path, headers, "").map(|_| body.clone());
        let answer = ask(server, request(&named)).await;
        answer.assert_problem(status);
        assert_eq!(answer.header("x-request-id"), Some("order-77"), "{status}");
        assert_eq!(answer.header("retry-after").is_some(), status == 503);
        let made = ask(server, request(headers)).await;
        made.assert_problem(status);
        assert_eq!(made.header("x-request-id").map(str::len), Some(32), "{status}");
    }
}

/// It is the library's own answer, and the one refusal without a body.
#[tokio::test]
async fn a_head_above_twice_the_limit_is_431_without_a_body() {
    let server = TestServer::ready().await;
    let large = "x".repeat(40_000);
    let answer = ask(&server, request(Method::GET, "/", &[("x-large", &large)], "")).await;
    assert_eq!((answer.status, answer.body.as_str()), (431, ""));
}

#[tokio::test]
async fn a_client_that_knows_the_tag_is_answered_304() {
    let server = TestServer::ready().await;
    let put = request(Method::PUT, "/valuations/AB1", &[JSON], MILEAGE);
    assert_eq!(ask(&server, put).await.status, 200);
    let get = |known: &str| {
        let headers = [("if-none-match", known)];
        request(Method::GET, "/valuations/AB1", if known.is_empty() { &[] } else { &headers }, "")
    };
    let found = ask(&server, get("")).await;
    let tag = found.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), "*".to_owned(), format!("\"x\", {tag}")] {
        let answer = ask(&server, get(&known)).await;
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32));
    }
    // A list of tags that is too long to be kept is as good as none.
    for other in ["\"x\"".to_owned(), format!("\"{}\", {tag}", "x".repeat(1_024))] {
        let answer = ask(&server, get(&other)).await;
        assert_eq!((answer.status, answer.body), (200, found.body.clone()), "{other:.10}");
    }
}

#[tokio::test]
async fn a_body_in_another_coding_is_415() {
    let server = TestServer::ready().await;
    for (coding, status) in [("gzip", 415), ("br", 415), ("", 415), ("identity", 200)] {
        let headers = [JSON, ("content-encoding", coding)];
        let answer = ask(&server, request(Method::PUT, "/valuations/AB1", &headers, MILEAGE)).await;
        assert_eq!(answer.status, status, "{coding:?}");
        if status != 200 {
            answer.assert_problem(415);
        }
    }
}
