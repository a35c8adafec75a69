//! What buses with a connection have in common: connecting again and again.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::future::Future;
use std::hash::BuildHasher;
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::{Clock, CoarseClock, nanos};
use crate::cluster::bus::Port;

/// For a connection, and for an answer on one.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An engine that is reached through a connection.
pub(super) trait Engine: Send {
    type Connection: Send;

    /// Connects once, and subscribes. Ends when the engine has confirmed that, or with what failed.
    fn connect(
        &mut self,
        port: &Port,
    ) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Carries messages until the connection is lost. The output says why it is.
    fn carry(connection: Self::Connection, port: &Port) -> impl Future<Output = String> + Send;
}

/// Connects, carries, and connects again after a growing and random pause. Nothing is taken from the port
/// meanwhile, so that it keeps the newest message of each key and no queue.
pub(super) async fn keep_connected(mut engine: impl Engine, port: Port) -> Infallible {
    let mut pause = FIRST_PAUSE;
    // While the bus is down: the reason that was reported.
    let mut reported = None;
    loop {
        let reason = match engine.connect(&port).await {
            Ok(connection) => {
                port.up();
                reported = None;
                let start = CoarseClock.now();
                let reason = carry_on(&engine, connection, &port).await;
                // An engine that accepts connections and closes them is not asked at a high rate.
                if CoarseClock.now().nanos_since(start) > nanos(LONGEST_PAUSE) {
                    pause = FIRST_PAUSE;
                }
                reason
            }
            Err(reason) => reason,
        };
        // Once per disconnection, and again if connecting fails for another reason.
        if reported.as_ref() != Some(&reason) {
            port.down(&reason);
            reported = Some(reason);
        }
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Infers the engine's type for a function without `self`.
fn carry_on<E: Engine>(
    _: &E,
    connection: E::Connection,
    port: &Port,
) -> impl Future<Output = String> + Send {
    E::carry(connection, port)
}

/// Between a half and all of a pause: nodes that lost one engine don't return at once.
fn jittered(pause: Duration) -> Duration {
    // A fresh state of the standard hash is random: no generator is needed for this.
    let random = RandomState::new().hash_one(0) >> 32;
    pause / 2
        + (pause / 2).mul_f64(f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(u32::MAX))
}

/// Ends a step of a connection that takes too long.
pub(super) async fn in_time<T>(
    what: &str,
    step: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let timed = tokio::time::timeout(TIMEOUT, step).await;
    timed.unwrap_or_else(|_| Err(format!("{what} took longer than {} s", TIMEOUT.as_secs())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::jittered;

    #[test]
    fn a_pause_is_between_its_half_and_itself_and_is_random() {
        let pause = Duration::from_secs(4);
        let pauses: Vec<_> = (0..32).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|it| *it >= pause / 2 && *it <= pause), "{pauses:?}");
        assert!(pauses.iter().any(|it| *it != pauses[0]));
    }
}
