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
use tokio::time::{Instant, sleep_until};

/// How many cars are valued per second.
pub(super) const RATE: u32 = 100;

/// The clients' answers, and how many cars they value.
#[derive(Debug)]
pub(super) struct Traffic {
    answers: AtomicU64,
    errors: AtomicU64,
    /// The time between two cars, in milliseconds.
    pause: AtomicU64,
}

impl Default for Traffic {
    /// [`RATE`].
    fn default() -> Self {
        let pause = 1_000 / u64::from(RATE);
        Self { answers: AtomicU64::new(0), errors: AtomicU64::new(0), pause: pause.into() }
    }
}

impl Traffic {
    /// Values a car this often from now on, to the millisecond.
    pub(super) fn set_pause(&self, pause: Duration) {
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.pause.store(millis.max(1), Ordering::Relaxed);
    }

    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}

/// Values cars at an even rate, at each server in turn, until it is aborted. If a server can't be
/// reached, the next one is asked, as a load balancer would.
pub(super) fn start(servers: Vec<SocketAddr>, traffic: Arc<Traffic>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let mut next = Instant::now();
        for car in 0_usize.. {
            sleep_until(next).await;
            let pause = Duration::from_millis(traffic.pause.load(Ordering::Relaxed));
            // After a delay the cars that were missed are not valued in a burst.
            next = (next + pause).max(Instant::now());
            let mut servers = servers.clone();
            let turns = car % servers.len().max(1);
            servers.rotate_left(turns);
            let (client, traffic) = (client.clone(), Arc::clone(&traffic));
            tokio::spawn(async move {
                let counter = match is_answered(&client, &servers, car).await {
                    true => &traffic.answers,
                    false => &traffic.errors,
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
        let traffic = Arc::new(Traffic::default());
        let clients = start(vec![address], Arc::clone(&traffic));
        let mut before = 0;
        for second in 1..=3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let asked = traffic.errors() - before;
            before += asked;
            assert!((98..=102).contains(&asked), "{asked} in second {second}");
        }
        clients.abort();
        server.abort();
    }
}
