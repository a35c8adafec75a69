//! Clients of the operators' side that are in the way.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app_harness::{TestApp, admin_get};
use crate::http_harness::Client;

#[tokio::test]
async fn clients_that_send_nothing_or_half_a_request_keep_no_operator_out() {
    let app = TestApp::start().await;
    let order = "POST /admin/failovers/valuations HTTP/1.1\r\nHost: localhost\r\n\
                 Content-Type: application/json\r\nContent-Length: 30\r\n\r\n{";
    for opening in ["", "GET /li", order] {
        let mut crowd = Vec::new();
        for _ in 0..200 {
            let mut client = Client::operator(app.admin).await;
            client.send(opening).await;
            crowd.push(client);
            if crowd.len() % 50 == 0 {
                assert_eq!(app.look("/livez").await.status, 200, "{opening:?}");
                assert_eq!(app.look("/metrics").await.status, 200, "{opening:?}");
            }
        }
    }
}

#[tokio::test]
async fn clients_that_read_nothing_keep_no_operator_out() {
    let app = TestApp::start().await;
    let requests = admin_get("/metrics").repeat(100);
    let mut crowd = Vec::new();
    for _ in 0..70 {
        let (client, requests) = (TcpStream::connect(app.admin).await.unwrap(), requests.clone());
        let (reading, mut writing) = client.into_split();
        let asking = async move { while writing.write_all(requests.as_bytes()).await.is_ok() {} };
        crowd.push((reading, tokio::spawn(asking)));
    }
    assert_eq!(app.look("/livez").await.status, 200);
    for (_, asking) in crowd {
        asking.abort();
    }
}

#[tokio::test]
async fn the_sixty_fifth_connection_ends_the_oldest_and_no_other() {
    let app = TestApp::start().await;
    let mut clients = Vec::new();
    for _ in 0..65 {
        let mut client = Client::operator(app.admin).await;
        client.send(admin_get("/livez")).await;
        assert_eq!(client.answer().await.status, 200);
        clients.push(client);
    }
    clients[0].closed().await;
    for client in &mut clients[1..] {
        client.send(admin_get("/livez")).await;
        assert_eq!(client.answer().await.status, 200);
    }
}

// No time passes but by the runtime's own clock, which runs ahead while everybody waits.
#[tokio::test(start_paused = true)]
async fn each_of_them_is_gone_after_its_deadline() {
    let app = TestApp::start().await;
    let started = tokio::time::Instant::now();
    let mut nothing = TcpStream::connect(app.admin).await.unwrap();
    assert_eq!(nothing.read(&mut [0]).await.unwrap(), 0, "a head was waited for without end");
    assert_eq!(started.elapsed().as_secs(), 10);
    let (_reading, mut writing) = TcpStream::connect(app.admin).await.unwrap().into_split();
    let requests = admin_get("/metrics").repeat(100);
    let started = tokio::time::Instant::now();
    while writing.write_all(requests.as_bytes()).await.is_ok() {}
    assert_eq!(started.elapsed().as_secs(), 10);
}

// As above: by the runtime's own clock.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408_and_a_connection_that_is_kept_busy_ends_in_the_end() {
    let app = TestApp::start().await;
    let started = tokio::time::Instant::now();
    let mut client = Client::operator(app.admin).await;
    let whole = crate::app_harness::admin_send("POST", "/admin/failovers/valuations", "{}");
    client.send(&whole[..whole.len() - 1]).await;
    assert_eq!(client.answer().await.status, 408);
    client.closed().await;
    assert_eq!(started.elapsed().as_secs(), 10);

    let mut busy = TcpStream::connect(app.admin).await.unwrap();
    let (started, mut answer) = (tokio::time::Instant::now(), [0; 1024]);
    while busy.write_all(admin_get("/livez").as_bytes()).await.is_ok()
        && busy.read(&mut answer).await.is_ok_and(|bytes| bytes > 0)
    {
        assert!(started.elapsed().as_secs() <= 305, "it is served without end");
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    }
    assert!(started.elapsed().as_secs() >= 300, "ended after {:?}", started.elapsed());
}
