//! Requests over HTTP/2: what one connection may hold on to, and for how long.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use valuation_server::http::{Limits, Stopped};

use crate::http_harness::TestServer;
use crate::http2::{self, DATA, END_STREAM, GOAWAY, HEADERS, NO_WINDOW, RST_STREAM};
use crate::valuer_stubs::{Gate, quote};

const SHORT: Duration = Duration::from_millis(50);
const NEVER: Duration = Duration::from_secs(3600);
const CANCEL: [u8; 4] = [0, 0, 0, 8];

async fn server_with(limits: Limits) -> TestServer {
    let quotes = Gate::open().quotes(Ok(quote("1", "2")));
    TestServer::start(Arc::default(), quotes, limits).await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_heads_of_requests_that_wait_for_their_bodies_take_no_memory() {
    use crate::process_harness::{Process, simulators};
    use valuation_server::demo::simulator::Pace;

    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let server = Process::start(&folder.path().join("v.sqlite"), &supercar, &premium).await;
    let large = "x".repeat(15_000);
    let heads: Vec<u8> = (0..32)
        .flat_map(|n| http2::put_without_its_body(2 * n + 1, &[("x-request-id", &large)]))
        .collect();
    // What the server takes for its first connections it takes once.
    let mut clients = vec![http2::connect(server.address).await];
    http2::looked_at(&mut clients[0]).await;
    let before = server.resident();
    for _ in 0..120 {
        let mut client = http2::connect(server.address).await;
        client.write_all(&heads).await.unwrap();
        http2::looked_at(&mut client).await;
        clients.push(client);
    }
    let grown = server.resident().saturating_sub(before);
    // The heads are 57,600 KiB.
    assert!(grown < 28_000, "{grown} KiB for 3,840 requests");
}

#[tokio::test]
async fn above_the_limit_requests_are_told_503_and_a_place_that_comes_free_is_taken() {
    let server = server_with(Limits { streams: 2, ..Limits::default() }).await;
    let mut client = http2::connect(server.address).await;
    let mut other = http2::connect(server.address).await;
    client.write_all(&http2::put_without_its_body(1, &[])).await.unwrap();
    http2::looked_at(&mut client).await;
    other.write_all(&http2::put_without_its_body(1, &[])).await.unwrap();
    http2::looked_at(&mut other).await;

    client.write_all(&http2::get(3, "/")).await.unwrap();
    let refused = http2::next_of(&mut client, DATA, 3).await.unwrap();
    let refused: serde_json::Value = serde_json::from_slice(&refused.payload).unwrap();
    assert_eq!(refused["status"], 503);
    assert_eq!(refused["detail"], "Too many requests are under way over HTTP/2; try again later");
    assert_eq!(server.get("/").await.status, 200, "over HTTP/1.1 there are places");
    assert_eq!(server.traffic.refused_requests.get(), 1);

    let reset = http2::frame(RST_STREAM, 0, 1, &CANCEL);
    other.write_all(&reset).await.unwrap();
    // Until the server has seen that it is given up.
    for number in (5..).step_by(2) {
        client.write_all(&http2::get(number, "/")).await.unwrap();
        let answer = http2::next_of(&mut client, DATA, number).await.unwrap();
        if answer.payload == br#"{"hello":"world"}"# {
            break;
        }
    }
}

#[tokio::test]
async fn refusals_that_are_not_taken_keep_their_bodies_and_end_their_connection() {
    let limits = Limits { streams: 0, write_timeout: SHORT, ..Limits::default() };
    let server = server_with(limits).await;
    let requests: Vec<u8> = (0..30).flat_map(|n| http2::get(2 * n + 1, "/")).collect();
    for _ in 0..3 {
        let mut client = http2::connect_with(server.address, &NO_WINDOW).await;
        client.write_all(&requests).await.unwrap();
        for n in 0..30 {
            let head = http2::next_of(&mut client, HEADERS, 2 * n + 1).await.unwrap();
            assert_eq!(head.flags & END_STREAM, 0, "a body is to come");
        }
        while http2::next(&mut client).await.is_some() {}
    }
}

/// What is kept for a refusal is bounded by the number of connections and of their streams.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn refusals_that_are_not_taken_take_little_memory() {
    use crate::process_harness::{Process, simulators};
    use valuation_server::demo::simulator::Pace;

    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let server = Process::start(&folder.path().join("v.sqlite"), &supercar, &premium).await;
    let requests: Vec<u8> = (0..31).flat_map(|n| http2::get(2 * n + 1, "/")).collect();
    let mut clients = vec![http2::connect(server.address).await];
    http2::looked_at(&mut clients[0]).await;
    let before = server.resident();
    for _ in 0..250 {
        let mut client = http2::connect_with(server.address, &NO_WINDOW).await;
        client.write_all(&requests).await.unwrap();
        http2::looked_at(&mut client).await;
        clients.push(client);
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 48_000, "{grown} KiB for 7,750 requests");
}

#[tokio::test]
async fn a_connection_over_http2_too_many_is_told_to_go_away_and_one_that_ends_makes_room() {
    let server = server_with(Limits { http2_connections: 5, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = http2::connect(server.address).await;
        http2::looked_at(&mut client).await;
        clients.push(client);
    }
    let mut refused = http2::connect(server.address).await;
    let told = http2::next_of(&mut refused, GOAWAY, 0).await.unwrap();
    assert_eq!(told.payload, [0, 0, 0, 0, 0, 0, 0, 0x0b]);
    assert!(http2::next(&mut refused).await.is_none());
    assert_eq!(server.traffic.refused_connections.get(), 1);
    assert_eq!(server.get("/").await.status, 200, "over HTTP/1.1 there is room");
    clients.pop();
    // Until the server has seen that one leave.
    loop {
        let mut client = http2::connect(server.address).await;
        client.write_all(&http2::get(1, "/")).await.unwrap();
        if http2::next_of(&mut client, DATA, 1).await.is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn large_heads_on_their_way_are_bounded_and_small_ones_are_not_concerned() {
    let server = server_with(Limits { large_heads: 5, ..Limits::default() }).await;
    let half = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(6_000));
    let mut clients = Vec::new();
    // Each is read before the next one comes: that one's answer is behind it.
    for _ in 0..5 {
        let mut client = server.client().await;
        client.send(&half).await;
        clients.push(client);
    }
    assert_eq!(server.get("/").await.status, 200);
    let mut refused = server.client().await;
    refused.send(&half).await;
    refused.closed().await;
    assert_eq!(server.traffic.refused_connections.get(), 1);
    clients[0].send("\r\n\r\n").await;
    assert_eq!(clients[0].answer().await.status, 200);
    assert_eq!(server.ask(&format!("{half}\r\n\r\n")).await.status, 200, "there is room again");
}

#[tokio::test]
async fn a_request_that_is_reset_while_it_waits_leaves_its_connection_at_rest() {
    let limits = Limits { header_timeout: SHORT, body_timeout: NEVER, ..Limits::default() };
    let server = server_with(limits).await;
    let mut client = http2::connect(server.address).await;
    client.write_all(&http2::put_without_its_body(1, &[])).await.unwrap();
    http2::looked_at(&mut client).await;
    client.write_all(&http2::frame(RST_STREAM, 0, 1, &CANCEL)).await.unwrap();
    assert!(http2::next_of(&mut client, GOAWAY, 0).await.is_some(), "it is told to go away");
    while http2::next_of(&mut client, GOAWAY, 0).await.is_some() {}
}

#[tokio::test]
async fn a_put_that_is_reset_while_a_provider_is_asked_is_seen_through() {
    let gate = Gate::closed();
    let quotes = gate.quotes(Ok(quote("20000", "25000.50")));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    let mut client = http2::connect(server.address).await;
    client.write_all(&http2::put_without_its_body(1, &[])).await.unwrap();
    let body = http2::frame(DATA, END_STREAM, 1, br#"{"mileage":1}"#);
    client.write_all(&body).await.unwrap();
    gate.until_asked(1).await;
    client.write_all(&http2::frame(RST_STREAM, 0, 1, &CANCEL)).await.unwrap();
    http2::looked_at(&mut client).await;
    gate.let_all();
    server.valuer.idle().await;
    assert_eq!(server.memory.committed_calls(), [1]);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_its_connection_though_requests_go_on() {
    let limits = Limits { write_timeout: SHORT, header_timeout: NEVER, ..Limits::default() };
    let server = server_with(limits).await;
    let mut client = http2::connect_with(server.address, &NO_WINDOW).await;
    client.write_all(&http2::get(1, "/")).await.unwrap();
    // An answer to HEAD needs no window.
    for number in (3..).step_by(2) {
        let head = http2::head("HEAD", "/", &[]);
        let head = http2::frame(HEADERS, http2::END_HEADERS | END_STREAM, number, &head);
        let sent = client.write_all(&head).await;
        if sent.is_err() || http2::next_of(&mut client, HEADERS, number).await.is_none() {
            break;
        }
    }
}

#[tokio::test]
async fn clients_that_say_nothing_hold_up_no_stop() {
    let limits = Limits {
        stop_grace: SHORT,
        header_timeout: NEVER,
        drain_timeout: NEVER,
        ..Limits::default()
    };
    let mut server = server_with(limits).await;
    let mut silent = Vec::new();
    let whole = http2::opening(&[]);
    let asked = [&whole[..], &http2::get(1, "/")].concat();
    let untaken = [&http2::opening(&NO_WINDOW)[..], &http2::get(1, "/")].concat();
    for opening in
        [b"".as_slice(), b"GET / HTTP/1.1\r\nHost:", &whole[..9], &whole, &asked, &untaken]
    {
        let mut client = server.client().await;
        client.send(opening).await;
        silent.push(client);
    }
    // By its answer the others have been read as well: they were sent before.
    assert_eq!(server.get("/").await.status, 200);
    server.stop();
    assert_eq!((&mut server.task).await.unwrap(), Stopped::Drained);
}

#[tokio::test]
async fn a_request_that_runs_is_answered_before_a_stop_though_its_client_answers_no_ping() {
    let gate = Gate::closed();
    let limits = Limits { stop_grace: SHORT, drain_timeout: NEVER, ..Limits::default() };
    let mut server =
        TestServer::start(Arc::default(), gate.quotes(Ok(quote("1", "2"))), limits).await;
    let mut client = http2::connect(server.address).await;
    let body = http2::frame(DATA, END_STREAM, 1, br#"{"mileage":1}"#);
    let request = [http2::put_without_its_body(1, &[]), body].concat();
    client.write_all(&request).await.unwrap();
    gate.until_asked(1).await;
    server.stop();
    loop {
        let came = http2::next(&mut client).await.unwrap();
        if came.kind == GOAWAY {
            break;
        }
    }
    gate.let_all();
    loop {
        let came = http2::next(&mut client).await.expect("it is answered");
        if came.kind == DATA {
            assert!(came.payload.starts_with(br#"{"vrm":"AB1""#));
            break;
        }
    }
    assert_eq!((&mut server.task).await.unwrap(), Stopped::Drained);
}
