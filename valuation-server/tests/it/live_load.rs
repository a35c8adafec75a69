//! Configurations that follow one another while requests run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;
use valuation_server::config::Setting;
use valuation_server::demo::simulator::{Pace, Simulator};
use valuation_server::domain::Provider;

use crate::app_harness::{TestApp, with_supercar};
use crate::http_harness::{Client, get, put};
use crate::store_support::until;

const CLIENTS: usize = 4;
const CHANGES: usize = 300;

/// Clients that value a new vehicle, find it, and so on. Each answer must be 200.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..CLIENTS).map(|number| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            async move {
                let mut client = Client::connect(address).await;
                let mut car = 0;
                while !over.load(Ordering::Relaxed) {
                    let path = format!("/valuations/C{number}{car}");
                    for request in [put(&path, "{\"mileage\": 10000}"), get(&path)] {
                        client.send(&request).await;
                        let answer = client.answer().await;
                        assert_eq!(answer.status, 200, "{answer:?}");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    car += 1;
                }
            }
        });
        let clients = clients.collect();
        Self { over, answered, clients }
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until some request that began after this call is answered.
    pub(crate) async fn goes_on(&self) {
        // One of each client may be under way.
        let before = self.answered();
        until("an answer", || self.answered() > before + CLIENTS).await;
    }

    /// Stops, and gives the number of answers.
    pub(crate) async fn stop(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.answered()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_configuration_changes_hundreds_of_times() {
    let app = TestApp::start().await;
    let other = Simulator::start(Provider::SuperCar, ([127, 0, 0, 1], 0).into(), Pace::INSTANT);
    let other = other.await.unwrap();
    let load = Load::start(app.address);
    for change in 0..CHANGES {
        let is_even = change % 2 == 0;
        let pick = |even: &'static str, odd: &'static str| if is_even { even } else { odd };
        let config = app.config(&[
            (Setting::MinCalls, pick("10", "20")),
            (Setting::ProviderTimeout, pick("5s", "4s")),
            (Setting::Rescue, pick("on", "off")),
            (Setting::ProviderHttp, "1.1"),
            (Setting::MaxPuts, pick("1000", "500")),
            (Setting::MaxConnections, pick("8000", "100")),
            (Setting::Cache, pick("off", "1MiB")),
            (Setting::AllowOrigin, pick("off", "https://cars.example")),
            (Setting::AnchorLog, pick("on", "off")),
            (Setting::Listen, pick("127.0.0.1:0", "127.0.0.1:1")),
        ]);
        let url = if is_even { other.base_url() } else { app.supercar.base_url() };
        let live = app.live.clone();
        let applied =
            tokio::task::spawn_blocking(move || live.apply(with_supercar(config, url)).unwrap());
        let applied = applied.await.unwrap();
        assert!(applied.changed.len() >= 8 || change == 0, "{applied:?}");
        assert_eq!(applied.waiting.contains(&Setting::Listen), !is_even);
        load.goes_on().await;
    }
    let puts = load.stop().await / 2;
    assert_eq!(app.calls().1, 0, "Premium was not needed");
    assert!(other.calls() > 0 && app.calls().0 > 0);
    assert_eq!(
        usize::try_from(other.calls() + app.calls().0).unwrap(),
        puts,
        "each vehicle was asked for once"
    );
}
