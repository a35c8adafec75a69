//! An unasked answer never becomes another vehicle's valuation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use valuation_server::domain::ErrorCode;

use crate::stub::{AMPLE, GOOD_JSON, Stub, ask, ask_supercar, response, send, supercar};

const CLIENTS: u32 = 16;
const CARS: u32 = 1_500;

/// A provider that answers each request with values derived from its VRM, and then sends
/// `unasked(the same answer)` in a write of its own, 0 to 3 ms later.
async fn talkative(unasked: fn(String) -> Option<String>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer_twice(stream, unasked));
        }
    });
    (address, tasks)
}

async fn answer_twice(mut stream: TcpStream, unasked: fn(String) -> Option<String>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let car: u32 = text.split(['/', '?']).nth(2).unwrap().parse().unwrap();
        let answer = answer(car);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(car % 4))).await;
        match unasked(answer) {
            Some(more) if stream.write_all(more.as_bytes()).await.is_err() => return,
            Some(_) => {}
            None => {
                let more = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(more.as_bytes()).await;
                return;
            }
        }
    }
}

fn answer(car: u32) -> String {
    let body = format!(r#"{{"valuation":{{"lowerValue":{car},"upperValue":{car}}}}}"#);
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// How many of the cars got their own values, others' values, and none.
async fn value_all(address: SocketAddr) -> (u32, u32, u32) {
    let service = supercar(&format!("http://{address}"), AMPLE);
    let next = Arc::new(AtomicU32::new(1));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (mut service, next) = (service.clone(), Arc::clone(&next));
        clients.spawn(async move {
            let (mut right, mut wrong, mut failed) = (0, 0, 0);
            // Ordering: Relaxed. Each car is handed out once; nothing else depends on the counter.
            while let car @ 1..=CARS = next.fetch_add(1, Ordering::Relaxed) {
                match ask(&mut service, &car.to_string()).await.0 {
                    Ok(quote) if quote.lowest().to_string() == car.to_string() => right += 1,
                    Ok(_) => wrong += 1,
                    Err(_) => failed += 1,
                }
            }
            (right, wrong, failed)
        });
    }
    clients.join_all().await.into_iter().fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_twice_gives_no_other_car_its_values() {
    let (address, _tasks) = talkative(Some).await;
    assert_eq!(value_all(address).await, (CARS, 0, 0), "right, wrong, failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_followed_by_408_and_a_close_fails_no_other_car() {
    let (address, _tasks) = talkative(|_| None).await;
    assert_eq!(value_all(address).await, (CARS, 0, 0), "right, wrong, failed");
}

#[tokio::test]
async fn an_answer_that_comes_before_its_request_is_a_failed_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        for _ in 0..20 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let early = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(early.as_bytes()).await;
        }
    });
    for _ in 0..20 {
        let (result, call) = ask_supercar(&url).await;
        assert!(result.unwrap_err().is_provider_failure());
        // Before the request was written, or after: that is a race.
        let code = call.error.unwrap().0;
        assert!(
            matches!(code, ErrorCode::Status | ErrorCode::Reset | ErrorCode::Protocol),
            "{code}"
        );
    }
    answering.await.unwrap();
}

#[tokio::test]
async fn what_follows_an_answer_is_not_read() {
    let other = r#"{"valuation":{"lowerValue":1,"upperValue":2}}"#;
    for more in [other.to_owned(), "x".repeat(100_000), "HTTP/1.1 400 Bad\r\n\r\n".to_owned()] {
        let stub = Stub::start(vec![response("200 OK", GOOD_JSON.as_bytes()), send(&more)]).await;
        for _ in 0..5 {
            assert_eq!(ask_supercar(&stub.url()).await.0.unwrap().lowest().to_string(), "22350");
        }
    }
}

#[tokio::test]
async fn a_provider_that_resets_used_connections_fails_no_call() {
    use crate::stub::Act;
    let stub = Stub::start(vec![response("200 OK", GOOD_JSON.as_bytes()), Act::Reset]).await;
    let mut service = supercar(&stub.url(), AMPLE);
    for _ in 0..50 {
        assert!(ask(&mut service, "AA99BCD").await.0.is_ok());
    }
}
