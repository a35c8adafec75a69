//! The demo's clients: new cars at an even rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How many cars are valued per second.
pub(super) const RATE: u32 = 100;

/// The clients' answers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    answers: AtomicU64,
    errors: AtomicU64,
}

impl Seen {
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}

/// Values cars at an even rate, at each server in turn, until it is aborted. If a server can't be
/// reached, the next one is asked, as a load balancer would.
pub(super) fn start(servers: Vec<SocketAddr>, seen: Arc<Seen>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let mut beat = interval(Duration::from_secs(1) / RATE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for car in 0_usize.. {
            beat.tick().await;
            let mut servers = servers.clone();
            let turns = car % servers.len().max(1);
            servers.rotate_left(turns);
            let (client, seen) = (client.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let counter = match is_answered(&client, &servers, car).await {
                    true => &seen.answers,
                    false => &seen.errors,
                };
                counter.fetch_add(1, Ordering::Relaxed);
            });
        }
    })
}

async fn is_answered(
    client: &Client<HttpConnector, Full<Bytes>>,
    servers: &[SocketAddr],
    car: usize,
) -> bool {
    for server in servers {
        let put = Request::put(format!("http://{server}/valuations/{car:07}"))
            .header("content-type", "application/json")
            .body(Full::from("{\"mileage\": 10000}"))
            .expect("an address and digits make a URL");
        if let Ok(answer) = client.request(put).await {
            return answer.status() == StatusCode::OK;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    // The runtime's paused clock advances while all tasks wait.
    #[tokio::test(start_paused = true)]
    async fn a_hundred_new_cars_a_second_are_asked_for_at_an_even_rate() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Each connection is closed at once, so that each request is an error.
        let server = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let seen = Arc::new(Seen::default());
        let clients = start(vec![address], Arc::clone(&seen));
        let mut before = 0;
        for second in 1..=3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let asked = seen.errors() - before;
            before += asked;
            assert!((98..=102).contains(&asked), "{asked} in second {second}");
        }
        clients.abort();
        server.abort();
    }
}
