//! The interface's main job: a PUT becomes a valuation, and a GET finds it.

use std::sync::Arc;

use valuation_server::domain::{Quote, Valuation};
use valuation_server::http::Limits;

use crate::http_harness::{TestServer, get, put, put_as};
use crate::store_support::until;
use crate::valuer_stubs::{Gate, Memory, money, quote, vrm};

const MADE: &str = r#"{"vrm":"AB1","lowestValue":20000,"highestValue":25000.5,"midpointValue":22500.25,"providerName":"SuperCar Valuations"}"#;

#[tokio::test]
async fn the_root_greets_the_world() {
    let server = TestServer::ready().await;
    let answer = server.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"hello":"world"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_put_answers_the_valuation_and_a_get_answers_it_later() {
    let server = TestServer::ready().await;
    let made = server.put("/valuations/AB1", r#"{"mileage":10000}"#).await;
    assert_eq!((made.status, made.body.as_str()), (200, MADE));
    assert_eq!(made.header("content-type"), Some("application/json"));
    assert_eq!(made.header("content-length"), Some(MADE.len().to_string().as_str()));
    assert_eq!(made.header("cache-control"), Some("no-cache"));
    assert!(made.header("date").is_some());
    let found = server.get("/valuations/AB1").await;
    assert_eq!((found.status, found.body.as_str()), (200, MADE));
}

#[tokio::test]
async fn a_second_put_is_answered_from_the_records_whatever_the_valid_mileage() {
    let gate = Gate::open();
    let quotes = gate.quotes(Ok(quote("20000", "25000.50")));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    for mileage in ["1", "99999.5", r#""12""#] {
        let body = format!(r#"{{"mileage":{mileage}}}"#);
        assert_eq!(server.put("/valuations/AB1", &body).await.body, MADE);
    }
    assert_eq!(gate.asked(), 1);
    let refused = server.put("/valuations/AB1", r#"{"mileage":0}"#).await;
    assert_eq!(refused.problem(400, "Bad Request"), "mileage must be a positive number");
}

#[tokio::test]
async fn two_puts_for_one_vehicle_at_the_same_time_share_one_provider_call() {
    let gate = Gate::closed();
    let quotes = gate.quotes(Ok(quote("20000", "25000.50")));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.send(put("/valuations/AB1", r#"{"mileage":1}"#)).await;
    gate.until_asked(1).await;
    second.send(put("/valuations/AB1", r#"{"mileage":2}"#)).await;
    // Something that comes later than the second PUT shows that the second PUT was taken up:
    // the look into the records before it joins is the third one.
    until("three reads", || server.memory.finds.load(std::sync::atomic::Ordering::SeqCst) >= 3)
        .await;
    gate.let_all();
    assert_eq!(first.answer().await.body, MADE);
    assert_eq!(second.answer().await.body, MADE);
    assert_eq!(gate.asked(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_its_valuation() {
    let gate = Gate::closed();
    let quotes = gate.quotes(Ok(quote("20000", "25000.50")));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    let mut client = server.client().await;
    client.send(put("/valuations/AB1", r#"{"mileage":1}"#)).await;
    gate.until_asked(1).await;
    // A reset, not a polite end.
    client.stream.set_zero_linger().unwrap();
    drop(client);
    gate.let_all();
    server.valuer.idle().await;
    assert_eq!(server.memory.committed_calls(), [1]);
    assert_eq!(server.get("/valuations/AB1").await.body, MADE);
}

#[tokio::test]
async fn the_mark_in_the_path_is_decoded_once_and_shown_as_it_is() {
    let server = TestServer::ready().await;
    for (segment, shown) in [
        ("ab%201", r#""ab 1""#),
        ("A%2FB", r#""A/B""#),
        ("A+B", r#""A+B""#),
        ("%2541", r#""%41""#),
        ("%22%5C", r#""\"\\""#),
        ("%C3%A9", r#""é""#),
        ("é", r#""é""#),
        ("..", r#""..""#),
    ] {
        let path = format!("/valuations/{segment}");
        let made = server.put(&path, r#"{"mileage":1}"#).await;
        assert_eq!(made.status, 200, "{segment}: {made:?}");
        assert!(made.body.starts_with(&format!(r#"{{"vrm":{shown},"#)), "{}", made.body);
        assert_eq!(server.get(&path).await.body, made.body);
    }
}

#[tokio::test]
async fn a_query_is_of_no_account() {
    let server = TestServer::ready().await;
    assert_eq!(server.put("/valuations/AB1?x=/y", r#"{"mileage":1}"#).await.body, MADE);
    assert_eq!(server.get("/valuations/AB1?").await.body, MADE);
    assert_eq!(server.get("/?a=b").await.status, 200);
}

#[tokio::test]
async fn an_absolute_target_is_understood() {
    let server = TestServer::ready().await;
    assert_eq!(server.get("http://elsewhere/").await.status, 200);
}

#[tokio::test]
async fn the_content_type_may_have_parameters_and_any_case() {
    let server = TestServer::ready().await;
    let headers = "content-type: Application/JSON; charset=utf-8\r\n";
    let answer = server.ask(&put_as("/valuations/AB1", headers, r#"{"mileage":1}"#)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_row_of_the_older_service_has_no_provider() {
    let old = Valuation {
        vrm: vrm("OLD"),
        lowest: money("100.10"),
        highest: money("100.15"),
        provider: None,
    };
    let quotes = Gate::open().quotes(Ok(quote("1", "2")));
    let server = TestServer::start(Memory::with(old), quotes, Limits::default()).await;
    assert_eq!(
        server.get("/valuations/OLD").await.body,
        r#"{"vrm":"OLD","lowestValue":100.1,"highestValue":100.15,"midpointValue":100.13,"providerName":null}"#
    );
}

#[tokio::test]
async fn amounts_are_exact_decimals_up_to_the_largest() {
    let largest = Quote::new(
        money("0.01"),
        money("99999999.99"),
        valuation_server::domain::Provider::Premium,
    );
    let quotes = Gate::open().quotes(Ok(largest.unwrap()));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    assert_eq!(
        server.put("/valuations/X", r#"{"mileage":1}"#).await.body,
        r#"{"vrm":"X","lowestValue":0.01,"highestValue":99999999.99,"midpointValue":50000000,"providerName":"Premium Car Valuations"}"#
    );
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let server = TestServer::ready().await;
    server.put("/valuations/AB1", r#"{"mileage":1}"#).await;
    let mut client = server.client().await;
    for (path, status) in [("/", 200), ("/valuations/AB1", 200), ("/valuations/NONE", 404)] {
        client.send(get(path)).await;
        let full = client.answer().await;
        client.send(get(path).replace("GET", "HEAD")).await;
        let head = client.head().await;
        assert_eq!((full.status, head.status), (status, status), "{path}");
        assert_eq!(head.header("content-length"), full.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), full.header("content-type"), "{path}");
    }
    // Nothing was left behind that the next answer would begin with.
    client.send(get("/")).await;
    assert_eq!(client.answer().await.body, r#"{"hello":"world"}"#);
}

#[tokio::test]
async fn options_tells_the_methods() {
    let server = TestServer::ready().await;
    for (path, allow) in [
        ("/", "GET, HEAD, POST, OPTIONS"),
        ("/assets/customer.css", "GET, HEAD, OPTIONS"),
        ("/valuations/AB1", "GET, HEAD, PUT, OPTIONS"),
        ("*", "OPTIONS"),
    ] {
        let answer = server.get(path).await;
        let options = server.ask(&get(path).replace("GET", "OPTIONS")).await;
        assert_eq!((options.status, options.body.as_str()), (204, ""), "{path} {answer:?}");
        assert_eq!(options.header("allow"), Some(allow), "{path}");
    }
}
