//! HTTP/2 to the providers: connections are kept, for a while.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use valuation_server::audit::Audit;
use valuation_server::providers::{HttpVersion, ProviderClient, Transport};

use crate::store_support::until;
use crate::stub::{AMPLE, ask, supercar_over};

/// A provider that speaks HTTP/2 without TLS and gives each car values derived from its VRM.
struct Http2Stub {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// An answer about car 999 waits for this.
    release: Arc<Notify>,
    asked: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Http2Stub {
    /// Sends GOAWAY after this many answers on a connection.
    async fn start(most: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, asked) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let release = Arc::<Notify>::default();
        let (made, released, seen) =
            (Arc::clone(&connections), Arc::clone(&release), Arc::clone(&asked));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::SeqCst);
                let (released, seen) = (Arc::clone(&released), Arc::clone(&seen));
                let (answered, enough) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
                let ends = Arc::clone(&enough);
                tasks.spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        seen.fetch_add(1, Ordering::SeqCst);
                        if answered.fetch_add(1, Ordering::SeqCst) + 1 == most {
                            enough.notify_one();
                        }
                        answer(request, Arc::clone(&released))
                    });
                    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service);
                    let mut connection = std::pin::pin!(connection);
                    tokio::select! {
                        _ = &mut connection => return,
                        () = ends.notified() => connection.as_mut().graceful_shutdown(),
                    }
                    let _ = connection.await;
                });
            }
        });
        Self { address, connections, release, asked, _accepting: accepting }
    }

    fn supercar(&self) -> Audit<ProviderClient> {
        let transport = Transport { http: HttpVersion::Http2, ..Transport::default() };
        supercar_over(&format!("http://{}", self.address), AMPLE, &transport)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn answer(
    request: Request<Incoming>,
    release: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert!(!request.headers().contains_key("connection"));
    let car = request.uri().path().rsplit('/').next().unwrap().to_owned();
    if car == "999" {
        release.notified().await;
    }
    let body = format!(r#"{{"valuation":{{"lowerValue":{car},"upperValue":{car}}}}}"#);
    Ok(Response::new(Full::new(Bytes::from(body))))
}

async fn value(service: &mut Audit<ProviderClient>, car: &str) {
    let (result, call) = ask(service, car).await;
    assert_eq!(result.unwrap_or_else(|e| panic!("{car}: {e} {call:?}")).lowest().to_string(), car);
}

#[tokio::test]
async fn many_clients_share_a_connection_and_each_gets_its_own_values() {
    let stub = Http2Stub::start(usize::MAX).await;
    let service = stub.supercar();
    value(&mut service.clone(), "1").await;
    let mut clients = JoinSet::new();
    for client in 1..=16 {
        let mut service = service.clone();
        clients.spawn(async move {
            for car in 1..=50 {
                value(&mut service, &format!("{client}{car:02}")).await;
            }
        });
    }
    clients.join_all().await;
    assert_eq!(stub.connections(), 1);
}

/// Moves tokio's clock without waiting.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn within_a_minute_a_new_connection_is_made_and_what_runs_on_the_old_one_is_finished() {
    let stub = Http2Stub::start(usize::MAX).await;
    let mut service = stub.supercar();
    value(&mut service, "1").await;
    let mut running = service.clone();
    let running = tokio::spawn(async move { value(&mut running, "999").await });
    until("two requests", || stub.asked.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(stub.connections(), 1);
    // Each is asked while the connection is never idle.
    for _ in 0..5 {
        later(Duration::from_secs(10)).await;
        value(&mut service, "1").await;
    }
    assert_eq!(stub.connections(), 2);
    stub.release.notify_one();
    running.await.unwrap();
}

#[tokio::test]
async fn a_provider_that_says_goaway_fails_no_call() {
    let stub = Http2Stub::start(3).await;
    let service = stub.supercar();
    let mut clients = JoinSet::new();
    for client in 1..=8 {
        let mut service = service.clone();
        clients.spawn(async move {
            for car in 1..=30 {
                value(&mut service, &format!("{client}{car:02}")).await;
            }
        });
    }
    clients.join_all().await;
    assert!(stub.connections() > 8, "{}", stub.connections());
}
