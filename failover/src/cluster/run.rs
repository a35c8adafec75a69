//! A node's life on a bus.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Clock;
use crate::cluster::bus::{Bus, Port};
use crate::cluster::hub::Cluster;

/// How many beats a stopping node waits until the others can have heard so.
const LAST_BEATS: u32 = 2;

impl<Clk: Clock> Cluster<Clk> {
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
                let wait = first(sleep(self.0.settings.beat), self.0.wake.woken());
                if let Either::Second = first_of(wait, stop.as_mut()).await {
                    break;
                }
            }
            self.leave();
            self.drain(&port, sleep).await;
        };
        first(async { match carries.await {} }, beats).await;
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

enum Either {
    First,
    Second,
}

async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    first_of(one, other).await;
}

/// Waits for one of two futures.
async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) -> Either {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| {
        if one.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Either::First);
        }
        other.as_mut().poll(cx).map(|()| Either::Second)
    })
    .await
}
