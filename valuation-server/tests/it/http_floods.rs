//! Clients that send what costs them little, without end: each has its connection ended, and nobody
//! else notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use valuation_server::http::Limits;

use crate::http_harness::TestServer;
use crate::http2::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, frame,
};
use crate::valuer_stubs::{Gate, quote};

const SHORT: Duration = Duration::from_millis(50);
const CHUNKED: &str = "PUT /valuations/AB1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                       Transfer-Encoding: chunked\r\n\r\n";

async fn server() -> TestServer {
    let quotes = Gate::open().quotes(Ok(quote("1", "2")));
    let limits = Limits { write_timeout: SHORT, header_timeout: SHORT, ..Limits::default() };
    TestServer::start(Arc::default(), quotes, limits).await
}

/// Sends this again and again, until the server has ended the connection.
async fn flood(address: SocketAddr, opening: Vec<u8>, flood: Vec<u8>) {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&opening).await.unwrap();
    let flood = flood.repeat(1 + 10_000 / flood.len());
    while client.write_all(&flood).await.is_ok() {}
}

/// All of these at a time, each with what it begins with.
async fn floods(server: &TestServer, floods: Vec<(&str, Vec<u8>, Vec<u8>)>) {
    let mut going_on = JoinSet::new();
    for (what, opening, flooded) in floods {
        let (what, address) = (what.to_owned(), server.address);
        going_on.spawn(async move {
            flood(address, opening, flooded).await;
            what
        });
    }
    assert_eq!(server.get("/").await.status, 200);
    while let Some(ended) = going_on.join_next().await {
        println!("ended: {}", ended.unwrap());
    }
    assert_eq!(server.get("/").await.status, 200);
}

#[tokio::test]
async fn of_http2() {
    let server = server().await;
    let opening = http2::opening(&[]);
    let put = http2::put_without_its_body(1, &[]);
    let unended = frame(HEADERS, 0, 1, &http2::head("GET", "/", &[]));
    let setting = [0, 4, 0, 1, 0, 0];
    let after = |more: &[u8]| [&opening, more].concat();
    let all = vec![
        ("pings", after(b""), frame(PING, 0, 0, b"8 octets")),
        ("settings", after(b""), frame(SETTINGS, 0, 0, &setting)),
        ("continuations", after(&unended), frame(CONTINUATION, 0, 1, &[0; 64])),
        ("empty continuations", after(&unended), frame(CONTINUATION, 0, 1, b"")),
        ("empty data", after(&put), frame(DATA, 0, 1, b"")),
        ("data of one byte", after(&put), frame(DATA, 0, 1, b" ")),
        ("padding", after(&put), frame(DATA, 8, 1, &[255; 256])),
        ("data for a stream that is closed", after(b""), frame(DATA, 0, 1, b" ")),
        ("resets of a stream that was never open", after(b""), frame(RST_STREAM, 0, 1, &[0; 4])),
        ("frames of an unknown kind", after(b""), frame(99, 0, 0, &[0; 64])),
    ];
    floods(&server, all).await;
}

#[tokio::test]
async fn of_heads_over_http2_that_one_of_them_makes_large() {
    let server = server().await;
    // One entry of the table, named a thousand times in a head (RFC 7541, section 6.1).
    let entry = [&[0x40, 1, b'a', 127, 0x81, 0x1e][..], &[b'x'; 4000]].concat();
    let bomb = [&http2::head("GET", "/", &[])[..], &entry, &[0xbe; 10_000]].concat();
    let mut client = http2::connect(server.address).await;
    for number in (1..200).step_by(2) {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, number, &bomb);
        if client.write_all(&head).await.is_err() {
            break;
        }
    }
    while http2::next(&mut client).await.is_some() {}
    assert_eq!(server.get("/").await.status, 200);
}

#[tokio::test]
async fn of_http1() {
    let server = server().await;
    let all = [
        ("empty lines", "", "\r\n"),
        ("a target", "GET /", "x"),
        ("a header", "GET / HTTP/1.1\r\nHost: x\r\nX: ", "x"),
        ("headers", "GET / HTTP/1.1\r\nHost: x\r\n", "x: x\r\n"),
        ("a chunk's size", CHUNKED, "0"),
        ("a chunk's extension", &format!("{CHUNKED}1;"), "x"),
        ("chunks of one byte", CHUNKED, "1\r\n \r\n"),
        ("trailers", &format!("{CHUNKED}0\r\n"), "x: x\r\n"),
        ("requests whose answers are not read", "", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    let all = all.map(|(what, opening, flooded)| (what, opening.into(), flooded.into()));
    floods(&server, all.into()).await;
}

#[tokio::test]
async fn a_head_over_http2_that_never_ends_is_given_up_in_time() {
    let server = server().await;
    let mut client = http2::connect(server.address).await;
    client.write_all(&frame(HEADERS, 0, 1, &http2::head("GET", "/", &[]))).await.unwrap();
    while http2::next(&mut client).await.is_some() {}
}
