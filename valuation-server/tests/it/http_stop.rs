//! An orderly stop, for clients that are in the middle of something.

use std::sync::Arc;
use std::time::Duration;

use valuation_server::http::{Limits, Stopped};

use crate::http_harness::{Client, TestServer, get, put};
use crate::valuer_stubs::{Gate, quote};

const JSON: &str = r#"{"mileage":1}"#;
const NEVER: Duration = Duration::from_secs(3600);

async fn server_with(limits: Limits) -> TestServer {
    let quotes = Gate::open().quotes(Ok(quote("1", "2")));
    TestServer::start(Arc::default(), quotes, limits).await
}

#[tokio::test]
async fn a_request_that_comes_on_an_idle_connection_after_the_order_is_answered_as_the_last_one() {
    let mut server = server_with(Limits { stop_grace: NEVER, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.client().await;
        client.send(get("/")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
        clients.push(client);
    }
    server.stop();
    // The listener is closed when the order has been taken.
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {}
    for client in &mut clients {
        client.send(put("/valuations/AB1", JSON)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        client.closed().await;
    }
    assert_eq!((&mut server.task).await.unwrap(), Stopped::Drained);
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_at_the_order_are_served() {
    let mut server = server_with(Limits::default()).await;
    // The runtime has one thread, and the server has not run since: the kernel alone knows them.
    let mut clients = Vec::new();
    for _ in 0..20 {
        let stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.set_nonblocking(true).unwrap();
        clients.push(Client::of(tokio::net::TcpStream::from_std(stream).unwrap()));
    }
    server.stop();
    for client in &mut clients {
        client.send(get("/")).await;
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!((&mut server.task).await.unwrap(), Stopped::Drained);
}

#[tokio::test]
async fn a_body_that_has_not_come_soon_after_the_order_is_given_up_and_no_provider_is_asked() {
    let limits = Limits {
        stop_grace: Duration::from_millis(50),
        body_timeout: NEVER,
        drain_timeout: NEVER,
        ..Limits::default()
    };
    let mut server = server_with(limits).await;
    let mut client = server.client().await;
    let request = put("/valuations/AB1", JSON);
    let (before, after) = request.split_at(request.len() - 1);
    client.send(get("/").as_str().to_owned() + before).await;
    assert_eq!(client.answer().await.status, 200, "the second request has begun as well");
    server.stop();
    let answer = client.answer().await;
    let message = answer.problem(503, "Service Unavailable");
    assert!(message.starts_with("The server is stopping"), "{message}");
    assert_eq!(answer.header("connection"), Some("close"));
    drop((client, after));
    assert_eq!((&mut server.task).await.unwrap(), Stopped::Drained);
    assert_eq!(server.memory.committed_calls(), [] as [usize; 0]);
}
