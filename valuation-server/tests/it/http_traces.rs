//! Traces and request ids: taken in, sent back, and passed on to the providers.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use valuation_server::app::App;
use valuation_server::config::{Config, Setting};
use valuation_server::providers::BaseUrl;

use crate::http_harness::{Answer, Client, TestServer, get, put};
use crate::stub::{Stub, response};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn with(request: &str, headers: &[(&str, &str)]) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    request.replace("Host: x\r\n", &format!("Host: x\r\n{headers}"))
}

fn id(answer: &Answer) -> &str {
    answer.header("x-request-id").unwrap()
}

fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[tokio::test]
async fn a_request_id_comes_back_with_every_answer() {
    let server = TestServer::ready().await;
    let longest = "a".repeat(128);
    for id_sent in ["3f2504e0-4f89-41d3-9a0c-0305e82c3301", "a", longest.as_str()] {
        for request in [
            get("/"),
            get("/valuations/AB1"),
            get("/nothing"),
            get("/").replace("GET", "PATCH"),
            put("/valuations/AB1", "nonsense"),
            put("/valuations/AB2", r#"{"mileage":1}"#),
        ] {
            let answer = server.ask(&with(&request, &[("X-Request-Id", id_sent)])).await;
            assert_eq!(id(&answer), id_sent, "{request}");
        }
    }
}

#[tokio::test]
async fn an_id_that_is_missing_or_cannot_be_taken_is_made_and_is_another_each_time() {
    let server = TestServer::ready().await;
    let too_long = "a".repeat(129);
    let mut seen = std::collections::HashSet::new();
    for headers in [
        &[][..],
        &[],
        &[("X-Request-Id", "")],
        &[("X-Request-Id", "a b")],
        &[("X-Request-Id", "a\"b")],
        &[("X-Request-Id", "<b>")],
        &[("X-Request-Id", too_long.as_str())],
        &[("X-Request-Id", "a"), ("X-Request-Id", "b")],
    ] {
        let answer = server.ask(&with(&get("/"), headers)).await;
        assert!(is_made(id(&answer)), "{answer:?}");
        assert!(seen.insert(id(&answer).to_owned()), "twice: {}", id(&answer));
    }
}

#[tokio::test]
async fn a_made_id_is_the_traces_so_that_either_finds_the_other() {
    let server = TestServer::ready().await;
    let answer = server.ask(&with(&get("/"), &[("traceparent", PARENT)])).await;
    assert_eq!(id(&answer), "0af7651916cd43dd8448eb211c80319c");
}

/// The heads that two providers get, which both fail, where a client sends these headers.
async fn passed_on(headers: &[(&str, &str)]) -> Vec<String> {
    let failing = || Stub::start(vec![response("500 X", b"")]);
    let (supercar, premium) = (failing().await, failing().await);
    let folder = tempfile::tempdir().unwrap();
    let flags = BTreeMap::from([(Setting::Listen, "127.0.0.1:0".to_owned())]);
    let url = |stub: &Stub| BaseUrl::parse(&stub.url()).unwrap();
    let database = folder.path().join("v.sqlite");
    let config = Config::with_providers(&flags, &database, url(&supercar), url(&premium)).unwrap();
    let app = App::start(&config).await.unwrap();
    let address = app.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async { drop(stopped.await) }));
    let mut client = Client::connect(address).await;
    client.send(with(&put("/valuations/A", r#"{"mileage":1}"#), headers)).await;
    assert_eq!(client.answer().await.status, 503);
    drop((client, stop));
    running.await.unwrap();
    let heads = [supercar.heads(), premium.heads()].concat();
    assert_eq!(heads.len(), 2, "{heads:?}");
    heads
}

fn header(head: &str, name: &str) -> String {
    let values: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        .collect();
    assert_eq!(values.len(), 1, "{name} in {head}");
    values[0].1.to_owned()
}

/// Version, trace, span, flags.
fn parts(head: &str) -> [String; 4] {
    let parent = header(head, "traceparent");
    let parts: Vec<_> = parent.split('-').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

#[tokio::test]
async fn both_providers_get_the_clients_trace_and_id_each_with_a_span_of_its_own() {
    let headers =
        [("traceparent", PARENT), ("X-Request-Id", "order-77"), ("tracestate", "vendor=secret")];
    let heads = passed_on(&headers).await;
    let [first, second] = [parts(&heads[0]), parts(&heads[1])];
    for [version, trace, span, flags] in [&first, &second] {
        assert_eq!([version.as_str(), flags.as_str()], ["00", "01"]);
        assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
        assert!(
            span.len() == 16 && span != "b7ad6b7169203331" && !span.trim_matches('0').is_empty()
        );
    }
    assert_ne!(first[2], second[2]);
    for head in &heads {
        assert_eq!(header(head, "x-request-id"), "order-77");
        assert!(!head.contains("tracestate"), "{head}");
    }
}

#[tokio::test]
async fn without_a_trace_that_can_be_taken_both_providers_get_the_same_new_one() {
    for headers in [
        &[][..],
        &[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0")],
        &[("traceparent", PARENT), ("traceparent", PARENT)],
    ] {
        let heads = passed_on(headers).await;
        let [first, second] = [parts(&heads[0]), parts(&heads[1])];
        assert_eq!(first[1], second[1]);
        assert_ne!(first[1], "0af7651916cd43dd8448eb211c80319c");
        assert!(is_made(&first[1]) && !first[1].trim_matches('0').is_empty(), "{first:?}");
        assert_eq!(header(&heads[0], "x-request-id"), first[1]);
    }
}
