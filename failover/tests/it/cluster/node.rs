//! A node that hears what its bus delivers, without an algorithm.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use failover::cluster::bus::{Bus, Delivery, Port};
use tokio::task::JoinHandle;

/// Longer than the longest backoff, a few times.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    port: Port,
    heard: Arc<Mutex<Heard>>,
    bus: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) messages: Vec<Vec<u8>>,
    /// `Ok` at each `Up`, and the reason at each `Down`.
    pub(crate) states: Vec<Result<(), String>>,
    pub(crate) lagged: u64,
}

impl Node {
    /// Runs a bus in a task, for the cluster of that name.
    pub(crate) fn start(bus: impl Bus, cluster: &str) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let receiver = Arc::clone(&heard);
        let port = Port::new(cluster, move |delivery| {
            let mut heard = receiver.lock().unwrap();
            match delivery {
                Delivery::Message(message) => heard.messages.push(message.to_vec()),
                Delivery::Up => heard.states.push(Ok(())),
                Delivery::Down(reason) => heard.states.push(Err(reason.to_owned())),
                Delivery::Lagged(messages) => heard.lagged += messages,
                _ => unreachable!("no other delivery"),
            }
        });
        let running = bus.run(port.clone());
        let bus = tokio::spawn(async move {
            running.await;
        });
        Self { port, heard, bus }
    }

    pub(crate) fn publish(&self, key: u64, message: impl AsRef<[u8]>) {
        self.port.publish(key, message.as_ref().to_vec());
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    pub(crate) fn has_heard(&self, message: impl AsRef<[u8]>) -> bool {
        self.heard().messages.iter().any(|heard| heard == message.as_ref())
    }

    pub(crate) async fn hears(&self, message: impl AsRef<[u8]>) {
        let message = message.as_ref();
        let what = format!("hearing {:?}", String::from_utf8_lossy(message));
        self.until(&what, || self.has_heard(message)).await;
    }

    pub(crate) async fn is_up(&self) {
        self.until("up", || matches!(self.heard().states.last(), Some(Ok(())))).await;
    }

    /// Waits until the bus is down, and returns the reason.
    pub(crate) async fn is_down(&self) -> String {
        self.until("down", || matches!(self.heard().states.last(), Some(Err(_)))).await;
        self.heard().states.iter().rev().find_map(|state| state.clone().err()).unwrap()
    }

    pub(crate) async fn is_drained(&self) {
        self.until("drained", || self.port.is_drained()).await;
    }

    pub(crate) async fn stop(self) {
        self.bus.abort();
        assert!(self.bus.await.unwrap_err().is_cancelled());
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        until(is_so).await.unwrap_or_else(|()| panic!("not {what}: {:?}", self.heard()));
    }
}

/// Polls until it is so, or the deadline has passed.
pub(crate) async fn until(is_so: impl Fn() -> bool) -> Result<(), ()> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > DEADLINE {
            return Err(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
