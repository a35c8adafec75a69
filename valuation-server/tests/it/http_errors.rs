//! What a client is told when it gets no valuation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use valuation_server::domain::{ErrorCode, QuoteError, QuoteRequest};
use valuation_server::http::Limits;
use valuation_server::valuer::Quotes;

use crate::http_harness::{TestServer, get, put, put_as};
use crate::valuer_stubs::{Gate, Memory, quote};

#[tokio::test]
async fn an_unknown_route_is_named_with_its_method_and_query() {
    let server = TestServer::ready().await;
    for path in ["/x", "/valuations", "/valuations/A/B", "/valuations/A/", "/x?y=1", "//"] {
        let answer = server.get(path).await;
        assert_eq!(answer.problem(404, "Not Found"), format!("Route GET:{path} not found"));
    }
    let post = server.ask(&get("/x").replace("GET", "POST")).await;
    assert_eq!(post.problem(404, "Not Found"), "Route POST:/x not found");
    assert_eq!(post.json()["instance"], "/x");
}

#[tokio::test]
async fn a_long_or_unprintable_route_is_shown_bounded_and_safe() {
    let server = TestServer::ready().await;
    let long = server.get(&format!("/{}", "a".repeat(10_000))).await;
    let message = long.problem(404, "Not Found");
    assert!(message.len() < 300 && message.ends_with("... not found"), "{message}");
    assert!(long.json().get("instance").is_none());
    // A control character that passes as UTF-8, and what would end a JSON text early.
    let odd = server.get("/\u{85}\"{}").await;
    assert_eq!(odd.problem(404, "Not Found"), "Route GET:/\u{fffd}\"{} not found");
}

#[tokio::test]
async fn a_known_path_with_another_method_is_405_with_allow() {
    let server = TestServer::ready().await;
    for (method, path, allow) in [
        ("POST", "/valuations/AB1", "GET, HEAD, PUT, OPTIONS"),
        ("DELETE", "/valuations/AB1", "GET, HEAD, PUT, OPTIONS"),
        ("PATCH", "/valuations/WAY%20TOO%20LONG%zz", "GET, HEAD, PUT, OPTIONS"),
        ("BREW", "/valuations/", "GET, HEAD, PUT, OPTIONS"),
        ("PUT", "/", "GET, HEAD, POST, OPTIONS"),
        ("GET", "*", "OPTIONS"),
    ] {
        let answer = server.ask(&get(path).replace("GET", method)).await;
        let message = answer.problem(405, "Method Not Allowed");
        assert_eq!(message, format!("Method {method} is not allowed here; allowed: {allow}"));
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn every_method_in_allow_is_taken() {
    let server = TestServer::ready().await;
    for path in ["/", "/valuations/AB1", "*"] {
        let options = server.ask(&get(path).replace("GET", "OPTIONS")).await;
        for method in options.header("allow").unwrap().split(", ").filter(|m| *m != "HEAD") {
            let answer = server.ask(&get(path).replace("GET", method)).await;
            assert_ne!(answer.status, 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_bad_mark_is_400_with_the_rule_for_get_and_put() {
    let server = TestServer::ready().await;
    let escape = "vrm must be percent-encoded: a % must be followed by two hexadecimal digits";
    for (segment, rule) in [
        ("", "vrm must not be empty"),
        ("ABCDEFGH", "vrm must be 7 characters or less"),
        ("%F0%9F%9A%97%F0%9F%9A%97%F0%9F%9A%97%F0%9F%9A%97", "vrm must be 7 characters or less"),
        ("A%00", "vrm must not contain control characters"),
        ("A%0d%0aB", "vrm must not contain control characters"),
        ("%", escape),
        ("%4", escape),
        ("%zz", escape),
        ("%FF", "vrm must be percent-encoded UTF-8"),
    ] {
        let path = format!("/valuations/{segment}");
        assert_eq!(server.get(&path).await.problem(400, "Bad Request"), rule, "{segment}");
        let put = server.put(&path, r#"{"mileage":1}"#).await;
        assert_eq!(put.problem(400, "Bad Request"), rule, "{segment}");
    }
}

#[tokio::test]
async fn an_unknown_vehicle_is_404_with_its_mark() {
    let server = TestServer::ready().await;
    let answer = server.get("/valuations/A%22%20B").await;
    assert_eq!(answer.problem(404, "Not Found"), "Valuation for VRM A\" B not found");
    assert_eq!(answer.json()["instance"], "/valuations/A%22%20B");
}

#[tokio::test]
async fn a_mileage_that_is_no_positive_number_is_400() {
    let server = TestServer::ready().await;
    for body in [
        "{}",
        r#"{"mileage":null}"#,
        r#"{"mileage":true}"#,
        r#"{"mileage":false}"#,
        r#"{"mileage":[1]}"#,
        r#"{"mileage":{}}"#,
        r#"{"mileage":"ten"}"#,
        r#"{"mileage":""}"#,
        r#"{"mileage":0}"#,
        r#"{"mileage":-1}"#,
        r#"{"mileage":1e999}"#,
        r#"{"mileage":"Infinity"}"#,
    ] {
        let answer = server.put("/valuations/AB1", body).await;
        let message = answer.problem(400, "Bad Request");
        assert_eq!(message, "mileage must be a positive number", "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_400_and_says_so() {
    let server = TestServer::ready().await;
    for (body, message) in [
        ("", r#"the body must not be empty: send a JSON object such as {"mileage": 10000}"#),
        ("[10000]", r#"the body must be a JSON object such as {"mileage": 10000}"#),
        ("10000", r#"the body must be a JSON object such as {"mileage": 10000}"#),
        ("{\"mileage\":5", "the body must be JSON: it is not at line 1 column 12"),
        (r#"{"mileage":1,"mileage":2}"#, "mileage must be given once"),
    ] {
        let answer = server.put("/valuations/AB1", body).await;
        assert_eq!(answer.problem(400, "Bad Request"), message);
    }
    let none = server.ask(&get("/valuations/AB1").replace("GET", "PUT")).await;
    assert!(none.problem(400, "Bad Request").contains("must not be empty"));
}

#[tokio::test]
async fn a_body_of_no_or_another_content_type_is_415() {
    let server = TestServer::ready().await;
    for headers in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/merge-patch+json\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        let answer = server.ask(&put_as("/valuations/AB1", headers, r#"{"mileage":1}"#)).await;
        let message = answer.problem(415, "Unsupported Media Type");
        assert!(message.contains("application/json"), "{message}");
    }
}

#[tokio::test]
async fn the_judgement_goes_from_the_path_to_the_type_to_the_length_to_the_content() {
    let server = TestServer::ready().await;
    let long = "x".repeat(70_000);
    let json = "Content-Type: application/json\r\n";
    for (path, headers, body, status) in [
        ("/nowhere", "", long.as_str(), 404),
        ("/valuations/ABCDEFGH", "", &long, 400),
        ("/valuations/AB1", "", &long, 415),
        ("/valuations/AB1", json, &long, 413),
        ("/valuations/AB1", json, "x", 400),
    ] {
        assert_eq!(server.ask(&put_as(path, headers, body)).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn when_nothing_helped_it_is_503_with_retry_after_and_no_word_of_who_failed_how() {
    let error = QuoteError::Unavailable {
        code: ErrorCode::Connect,
        message: "secret.host refused".to_owned(),
        retry_after: None,
    };
    let limits = Limits { retry_after: Duration::from_secs(7), ..Limits::default() };
    let quotes = Gate::open().quotes(Err(error));
    let server = TestServer::start(Arc::default(), quotes, limits).await;
    let answer = server.put("/valuations/AB1", r#"{"mileage":1}"#).await;
    let message = answer.problem(503, "Service Unavailable");
    assert_eq!(message, "No valuation can be obtained at present; try again later");
    assert_eq!(answer.header("retry-after"), Some("7"));
    for word in ["secret", "CONNECT", "refused", "SuperCar", "Premium"] {
        assert!(!answer.body.contains(word), "{}", answer.body);
    }
    assert_eq!(server.memory.committed_calls(), [1]);
}

#[tokio::test]
async fn a_providers_not_found_is_404_and_its_refusal_502() {
    for (error, status, phrase, message) in [
        (QuoteError::NotFound, 404, "Not Found", "Valuation for VRM AB1 not found"),
        (
            QuoteError::Refused(422),
            502,
            "Bad Gateway",
            "The request for a valuation was not accepted upstream",
        ),
    ] {
        let quotes = Gate::open().quotes(Err(error));
        let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
        let answer = server.put("/valuations/AB1", r#"{"mileage":1}"#).await;
        assert_eq!(answer.problem(status, phrase), message);
        assert_eq!(answer.header("retry-after"), None);
    }
}

#[tokio::test]
async fn a_store_that_cannot_store_refuses_puts_before_a_provider_is_asked_and_gets_go_on() {
    let gate = Gate::open();
    let quotes = gate.quotes(Ok(quote("1", "2")));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    server.put("/valuations/AB1", r#"{"mileage":1}"#).await;
    Memory::set(&server.memory.full);
    let answer = server.put("/valuations/NEW", r#"{"mileage":1}"#).await;
    answer.problem(503, "Service Unavailable");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(gate.asked(), 1);
    assert_eq!(server.get("/valuations/AB1").await.status, 200);
    assert_eq!(server.put("/valuations/AB1", r#"{"mileage":1}"#).await.status, 200);
    assert_eq!(server.get("/valuations/NEW").await.status, 404);
}

#[tokio::test]
async fn a_commit_that_fails_is_503_although_the_provider_answered() {
    let server = TestServer::ready().await;
    Memory::set(&server.memory.commits_fail);
    let answer = server.put("/valuations/AB1", r#"{"mileage":1}"#).await;
    answer.problem(503, "Service Unavailable");
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.body.contains("secret"), "{}", answer.body);
}

#[tokio::test]
async fn records_that_cannot_be_read_are_503_and_corrupt_ones_500() {
    let server = TestServer::ready().await;
    Memory::set(&server.memory.unreadable);
    let answer = server.get("/valuations/AB1").await;
    answer.problem(503, "Service Unavailable");
    assert!(answer.header("retry-after").is_some() && !answer.body.contains("secret"));
    server.memory.unreadable.store(false, Ordering::SeqCst);
    Memory::set(&server.memory.corrupt);
    let answer = server.get("/valuations/AB1").await;
    let message = answer.problem(500, "Internal Server Error");
    assert_eq!(message, "The valuation for VRM AB1 can't be read or stored");
    assert!(answer.header("retry-after").is_none());
}

#[tokio::test]
async fn a_panic_in_a_handler_is_500_and_the_connection_goes_on() {
    let server = TestServer::ready().await;
    Memory::set(&server.memory.find_panics);
    let mut client = server.client().await;
    client.send(get("/valuations/AB1")).await;
    let message = client.answer().await.problem(500, "Internal Server Error");
    assert_eq!(message, "The server failed at this request");
    server.memory.find_panics.store(false, Ordering::SeqCst);
    client.send(get("/valuations/AB1")).await;
    assert_eq!(client.answer().await.status, 404);
}

#[tokio::test]
async fn a_panic_while_asking_a_provider_is_500_and_the_next_put_asks_again() {
    let quotes = Quotes::new(tower::service_fn(|_: QuoteRequest| async {
        panic!("the test wants a panic in the quotes")
    }));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    let mut client = server.client().await;
    for _ in 0..2 {
        client.send(put("/valuations/AB1", r#"{"mileage":1}"#)).await;
        client.answer().await.problem(500, "Internal Server Error");
    }
}
