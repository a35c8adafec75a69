//! A node's life on a bus.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::cluster::bus::{Bus, Port};
use crate::cluster::hub::Cluster;
use crate::cluster::race::race;

/// How many beats a stopping node waits until the others can have heard so.
const LAST_BEATS: u32 = 2;

impl Cluster {
    /// Connects the node by a bus, until `stop` ends: then it tells the others that it leaves. `sleep` waits,
    /// like `tokio::time::sleep`. Independent of the runtime, unless the bus is not.
    ///
    /// A bus that can't be reached is no error: the failovers go on by themselves, and the bus reconnects.
    ///
    /// # Cancel safety
    /// Dropping it disconnects the node without a word: the others forget it after five beats.
    pub async fn run<B, S, A>(&self, bus: B, mut sleep: S, stop: impl Future<Output = ()>)
    where
        B: Bus,
        S: FnMut(Duration) -> A,
        A: Future<Output = ()>,
    {
        let port = self.port();
        let carries = bus.run(port.clone());
        let beats = async {
            let mut stop = pin!(stop);
            loop {
                self.beat();
                let wait = race(sleep(self.0.settings.beat), self.0.wake.woken());
                let goes_on = async {
                    wait.await;
                    true
                };
                let stops = async {
                    stop.as_mut().await;
                    false
                };
                if !race(goes_on, stops).await {
                    break;
                }
            }
            self.leave();
            self.drain(&port, sleep).await;
        };
        race(async { match carries.await {} }, beats).await;
    }

    async fn drain<S, A>(&self, port: &Port, mut sleep: S)
    where
        S: FnMut(Duration) -> A,
        A: Future<Output = ()>,
    {
        // A bus takes a message some time before the others have it.
        let step = self.0.settings.beat / 4;
        for _ in 0..4 * LAST_BEATS {
            sleep(step).await;
            if port.is_drained() {
                return sleep(step).await;
            }
        }
    }
}
