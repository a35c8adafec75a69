//! Too many of them: connections, questions, resets, and clients that take nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use valuation_server::http::{Limits, Options, Stopped, serve};
use valuation_server::valuer::{Bounds, Valuer};

use crate::http_harness::{Client, TestServer, get, put};
use crate::http2;
use crate::valuer_stubs::{Gate, Memory, quote};

const SHORT: Duration = Duration::from_millis(50);
const JSON: &str = r#"{"mileage":1}"#;

async fn server_with(limits: Limits) -> TestServer {
    let quotes = Gate::open().quotes(Ok(quote("1", "2")));
    TestServer::start(Arc::default(), quotes, limits).await
}

#[tokio::test]
async fn above_the_limit_connections_are_told_503_and_a_place_that_comes_free_is_taken() {
    let server = server_with(Limits { max_connections: 2, ..Limits::default() }).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = server.client().await;
        client.send(get("/")).await;
        assert_eq!(client.answer().await.status, 200);
        kept.push(client);
    }
    for request in ["", &get("/"), &put("/valuations/AB1", JSON)] {
        let mut refused = server.client().await;
        refused.send(request).await;
        let answer = refused.answer().await;
        answer.problem(503, "Service Unavailable");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(answer.header("retry-after").is_some());
        refused.closed().await;
    }
    assert_eq!(
        (server.traffic.connections.get(), server.traffic.refused_connections.get()),
        (2, 3)
    );
    kept[1].send(get("/")).await;
    assert_eq!(kept[1].answer().await.status, 200, "who is connected is served");
    kept.pop();
    // Until the server has seen that one leave, others are still refused.
    loop {
        let mut client = server.client().await;
        client.send(get("/")).await;
        if client.answer().await.status == 200 {
            break;
        }
    }
}

#[tokio::test]
async fn a_put_too_many_is_503_at_once_while_stored_ones_and_gets_go_on() {
    let gate = Gate::closed();
    let memory = Arc::new(Memory::default());
    let bounds = Bounds { flights: 2, cache: None };
    let quotes = gate.quotes(Ok(quote("1", "2")));
    let valuer = Valuer::within(bounds, memory.clone(), quotes);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let task = tokio::spawn(serve(listener, valuer.clone(), Options::default(), shutdown));

    let mut waiting = Vec::new();
    for vrm in ["A", "B", "A"] {
        let mut client = Client::connect(address).await;
        client.send(put(&format!("/valuations/{vrm}"), JSON)).await;
        waiting.push(client);
    }
    gate.until_asked(2).await;
    let mut client = Client::connect(address).await;
    for vrm in ["C", "D"] {
        client.send(put(&format!("/valuations/{vrm}"), JSON)).await;
        let answer = client.answer().await;
        let message = answer.problem(503, "Service Unavailable");
        assert_eq!(message, "Too many valuations are under way; try again later");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!((gate.asked(), valuer.rejected()), (2, 2));
    client.send(get("/valuations/A")).await;
    assert_eq!(client.answer().await.status, 404);

    gate.let_all();
    for client in &mut waiting {
        assert_eq!(client.answer().await.status, 200);
    }
    client.send(put("/valuations/C", JSON)).await;
    assert_eq!(client.answer().await.status, 200, "there is room again");
    drop((stop, client, waiting));
    assert_eq!(task.await.unwrap(), Stopped::Drained);
}

#[tokio::test]
async fn a_client_that_takes_no_answers_loses_its_connection() {
    let server = server_with(Limits { write_timeout: SHORT, ..Limits::default() }).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (_reading, mut writing) = stream.into_split();
    // More answers than the kernel keeps for a client; it ends with the connection.
    let requests = get("/").repeat(1_000);
    while writing.write_all(requests.as_bytes()).await.is_ok() {}
}

#[tokio::test]
async fn a_large_body_too_many_is_503_while_small_ones_are_read() {
    let server = server_with(Limits { large_bodies: 1, ..Limits::default() }).await;
    let large = put("/valuations/AB1", &format!("{JSON}{}", " ".repeat(2_000)));
    let mut first = server.client().await;
    let (most, last) = large.split_at(large.len() - 1);
    first.send(most).await;
    // Until the first one has come so far, others find its place.
    let refused = loop {
        let answer = server.ask(&large).await;
        if answer.status != 200 {
            break answer;
        }
    };
    refused.problem(503, "Service Unavailable");
    assert_eq!(server.put("/valuations/AB2", JSON).await.status, 200);
    first.send(last).await;
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(server.ask(&large).await.status, 200, "its place is free again");
}

#[tokio::test]
async fn a_flood_of_streams_that_are_reset_at_once_ends_their_connection() {
    let server = TestServer::ready().await;
    let mut stream = http2::connect(server.address).await;
    // `:method: GET`, `:scheme: http`, `:path: /`, `:authority:` of one letter, then RST_STREAM.
    let head = [0x82, 0x86, 0x84, 0x01, 0x01, b'x'];
    let flood: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| {
            let stream = 2 * n + 1;
            [http2::frame(1, 0x5, stream, &head), http2::frame(3, 0, stream, &[0, 0, 0, 8])]
                .concat()
        })
        .collect();
    let (mut reading, mut writing) = stream.split();
    let sending = async { drop(writing.write_all(&flood).await) };
    let mut answers = Vec::new();
    // An error, a reset, is an end as well.
    let (_, _ended) = tokio::join!(sending, reading.read_to_end(&mut answers));
    assert!(answers.len() < flood.len() / 10, "{} bytes of answers", answers.len());
    assert_eq!(server.get("/").await.status, 200);
}

#[tokio::test]
async fn an_http2_connection_at_rest_is_closed_in_time() {
    let server = server_with(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut stream = http2::connect(server.address).await;
    let mut ended = false;
    let mut seen = Vec::new();
    while !ended {
        // Answers every ping, so that it is alive.
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Ok(_) => {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let mut payload = vec![0; length];
                stream.read_exact(&mut payload).await.unwrap();
                if (head[3], head[4]) == (6, 0) {
                    let _ = stream.write_all(&http2::frame(6, 1, 0, &payload)).await;
                }
                seen.push(head[3]);
            }
            Err(_) => ended = true,
        }
    }
    assert!(seen.contains(&7), "it was told to go away: {seen:?}");
}
