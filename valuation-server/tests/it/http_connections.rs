//! Connections: what they may carry, how long they may take, and how they end.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use valuation_server::http::{Limits, Stopped};

use crate::http_harness::{Client, TestServer, get, put, put_as};
use crate::stub::alone;
use crate::valuer_stubs::{Gate, quote};

const PUT: &str = "PUT /valuations/AB1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
const SHORT: Duration = Duration::from_millis(50);

async fn server_with(limits: Limits) -> TestServer {
    let quotes = Gate::open().quotes(Ok(quote("20000", "25000.50")));
    TestServer::start(Arc::default(), quotes, limits).await
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    let requests = [
        put("/valuations/A", r#"{"mileage":1}"#),
        get("/valuations/A"),
        get("/nowhere"),
        put("/valuations/A", "not json"),
        get("/valuations/ABCDEFGH"),
        get("/"),
    ];
    client.send(requests.concat()).await;
    for status in [200, 200, 404, 400, 400, 200] {
        assert_eq!(client.answer().await.status, status);
    }
}

#[tokio::test]
async fn a_body_that_nobody_read_is_not_taken_for_the_next_request() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    let hidden = get("/valuations/HIDDEN");
    client.send(put_as("/nowhere", "", &hidden)).await;
    client.answer().await.problem(404, "Not Found");
    client.send(put_as("/valuations/AB1", "Content-Type: text/plain\r\n", &hidden)).await;
    client.answer().await.problem(415, "Unsupported Media Type");
    client.send(get("/")).await;
    assert_eq!(client.answer().await.body, r#"{"hello":"world"}"#);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let server = TestServer::ready().await;
    let json = r#"{"mileage":1}"#;
    let body = format!("{json}{}", " ".repeat(64 * 1024 - json.len()));
    assert_eq!(server.put("/valuations/AB1", &body).await.status, 200);
    let answer = server.put("/valuations/AB1", &format!("{body} ")).await;
    let message = answer.problem(413, "Payload Too Large");
    assert_eq!(message, "the body must not exceed 65536 bytes");
}

#[tokio::test]
async fn an_announced_length_above_the_limit_is_413_before_a_byte_of_it_was_sent() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    client.send(format!("{PUT}Content-Length: 65537\r\n\r\n")).await;
    let answer = client.answer().await;
    answer.problem(413, "Payload Too Large");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_length_that_hyper_cannot_count_is_431_from_hyper_and_any_other_413() {
    let server = TestServer::ready().await;
    for length in [u64::MAX, u64::MAX - 1, u64::MAX - 2, u64::MAX - 3] {
        let mut client = server.client().await;
        client.send(format!("{PUT}Content-Length: {length}\r\n\r\n")).await;
        let answer = client.answer().await;
        if length > u64::MAX - 2 {
            assert!(answer.status == 431 && answer.is_hypers_own(), "{answer:?}");
        } else {
            answer.problem(413, "Payload Too Large");
        }
        client.closed().await;
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_spared_a_body_that_is_too_large() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    client.send(format!("{PUT}Expect: 100-continue\r\nContent-Length: 65537\r\n\r\n")).await;
    assert_eq!(client.answer().await.status, 413);
    let mut client = server.client().await;
    client.send(format!("{PUT}Expect: 100-continue\r\nContent-Length: 13\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 100);
    client.send(r#"{"mileage":1}"#).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_chunked_body_above_the_limit_is_413() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    client.send(format!("{PUT}Transfer-Encoding: chunked\r\n\r\n")).await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    client.send(chunk.repeat(17)).await;
    client.answer().await.problem(413, "Payload Too Large");
    client.closed().await;
}

#[tokio::test]
async fn a_chunked_body_in_single_bytes_is_read() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    client.send(format!("{PUT}Transfer-Encoding: chunked\r\n\r\n")).await;
    for byte in br#"{"mileage":1}"# {
        client.send([b"1\r\n", &[*byte][..], b"\r\n"].concat()).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_on_sending_after_it_was_refused_still_reads_the_answer() {
    let server = TestServer::ready().await;
    const LENGTH: usize = 4 << 20;
    let too_large = format!("{PUT}Content-Length: {LENGTH}\r\n\r\n");
    for (start, status) in [(too_large.as_str(), "413"), ("GET / HTTP/1.1\r\nX: ", "431")] {
        for _ in 0..10 {
            let stream = TcpStream::connect(server.address).await.unwrap();
            let (mut reading, mut writing) = stream.into_split();
            let sending = async {
                writing.write_all(start.as_bytes()).await?;
                for _ in 0..LENGTH / 4096 {
                    writing.write_all(&[b'x'; 4096]).await?;
                }
                writing.shutdown().await
            };
            let mut answer = Vec::new();
            let (sent, read) = tokio::join!(sending, reading.read_to_end(&mut answer));
            sent.unwrap();
            read.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
    }
}

#[tokio::test]
async fn an_endless_body_after_a_rejection_is_not_swallowed() {
    let server = TestServer::ready().await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(format!("{PUT}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0;
    while client.write_all(chunk.as_bytes()).await.is_ok() {
        sent += chunk.len();
    }
    // What the server drops, and what the kernel buffers on both sides.
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408_and_the_connection_ends() {
    let server = server_with(Limits { body_timeout: SHORT, ..Limits::default() }).await;
    let mut client = server.client().await;
    client.send(format!("{PUT}Content-Length: 13\r\n\r\n{{\"mil")).await;
    let answer = client.answer().await;
    answer.problem(408, "Request Timeout");
    assert_eq!(answer.header("connection"), Some("close"));
    client.closed().await;
}

#[tokio::test]
async fn a_body_that_is_no_valid_chunk_is_400() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    client.send(format!("{PUT}Transfer-Encoding: chunked\r\n\r\nzz\r\n")).await;
    client.answer().await.problem(400, "Bad Request");
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_head_is_turned_away_in_time() {
    let server = server_with(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    for opening in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = server.client().await;
        client.send(opening).await;
        // Over HTTP/2 a few frames come before the end.
        let mut rest = Vec::new();
        let read = client.stream.read_to_end(&mut rest).await;
        assert!(read.is_ok(), "{opening:?}: {read:?}");
        assert_eq!(rest.is_empty(), opening.len() < 24, "{opening:?}");
    }
    let mut client = server.client().await;
    client.send("GET / HTTP/1.1\r\nHost:").await;
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("200"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let server = server_with(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut client = server.client().await;
    client.send(get("/")).await;
    assert_eq!(client.answer().await.status, 200);
    client.closed().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_and_no_http_is_400() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    client.send(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000))).await;
    let answer = client.answer().await;
    assert!(answer.status == 431 && answer.is_hypers_own(), "{answer:?}");
    let mut client = server.client().await;
    client.send("this is not HTTP\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(answer.status == 400 && answer.is_hypers_own(), "{answer:?}");
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_still_gets_its_answers() {
    let gate = Gate::closed();
    let quotes = gate.quotes(Ok(quote("1", "2")));
    let server = TestServer::start(Arc::default(), quotes, Limits::default()).await;
    let mut client = server.client().await;
    client.send(put("/valuations/A", r#"{"mileage":1}"#) + &get("/")).await;
    client.stream.shutdown().await.unwrap();
    gate.until_asked(1).await;
    gate.let_all();
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.answer().await.status, 200);
    client.closed().await;
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_served_on_the_same_port() {
    let server = TestServer::ready().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let ask = |method, path: &str, body: &'static str| {
        Request::builder()
            .method(method)
            .uri(format!("http://x{path}"))
            .header("content-type", "application/json")
            .body(Full::new(body.as_bytes()))
            .unwrap()
    };
    for (method, path, body, status, shown) in [
        (Method::PUT, "/valuations/AB1", r#"{"mileage":1}"#, 200, r#"{"vrm":"AB1""#),
        (Method::GET, "/valuations/AB1", "", 200, r#"{"vrm":"AB1""#),
        (Method::HEAD, "/valuations/AB1", "", 200, ""),
        (Method::GET, "/nowhere", "", 404, r#"{"statusCode":404"#),
        (Method::PUT, "/valuations/NEW", "[]", 400, r#"{"statusCode":400"#),
    ] {
        let answer = sender.send_request(ask(method, path, body)).await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(answer.headers().contains_key("content-length"), "{path}");
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(text.starts_with(shown.as_bytes()), "{text:?}");
        assert_eq!(text.is_empty(), shown.is_empty());
    }
}

#[tokio::test]
async fn a_stop_finishes_running_requests_and_refuses_new_connections() {
    let gate = Gate::closed();
    let quotes = gate.quotes(Ok(quote("1", "2")));
    let limits = Limits::default();
    let mut server = TestServer::start_at(alone(4), Arc::default(), quotes, limits).await;
    let mut idle = server.client().await;
    idle.send(get("/")).await;
    idle.answer().await;
    let mut busy = server.client().await;
    busy.send(put("/valuations/A", r#"{"mileage":1}"#)).await;
    gate.until_asked(1).await;
    server.stop();
    // An idle connection is closed, while the busy one is waited for.
    idle.closed().await;
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(!server.task.is_finished());
    gate.let_all();
    let answer = busy.answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    busy.closed().await;
    assert_eq!((&mut server.task).await.unwrap(), Stopped::Drained);
}

#[tokio::test]
async fn a_stop_cuts_off_what_is_left_at_the_deadline_and_the_valuation_is_finished_all_the_same() {
    let gate = Gate::closed();
    let quotes = gate.quotes(Ok(quote("1", "2")));
    let limits = Limits { drain_timeout: SHORT, ..Limits::default() };
    let mut server = TestServer::start(Arc::default(), quotes, limits).await;
    let mut client = server.client().await;
    client.send(put("/valuations/A", r#"{"mileage":1}"#)).await;
    gate.until_asked(1).await;
    server.stop();
    assert_eq!((&mut server.task).await.unwrap(), Stopped::CutOff(1));
    client.closed().await;
    gate.let_all();
    server.valuer.idle().await;
    assert_eq!(server.memory.committed_calls(), [1]);
}

#[tokio::test]
async fn many_connections_at_once_are_served() {
    let server = TestServer::ready().await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(Client::connect(server.address).await);
    }
    for client in &mut clients {
        client.send(get("/")).await;
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
}
