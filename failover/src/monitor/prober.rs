//! Probes off the request path.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use crate::clock::{Clock, CoarseClock};
use crate::monitor::handle::FailoverHandle;
use crate::state::State;

/// Asks the primary by requests of its own while calls are on the fallback, and brings them back
/// before their time is over when it answers. Optional, and off the request path: calls pay nothing
/// for it, and none of them is risked.
///
/// It needs no runtime: whoever runs it brings the way to sleep, and the request.
///
/// ```
/// use std::time::Duration;
/// use failover::{FailoverLayer, Policy, Route};
/// use failover::monitor::Prober;
/// # use tower::service_fn;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
/// # async fn health_check() -> bool { true }
///
/// let layer = FailoverLayer::new(fallback, Policy::default());
/// let prober = Prober::new(layer.handle(), Duration::from_secs(5)).successes(3);
/// tokio::spawn(prober.run(tokio::time::sleep, health_check));
/// # tokio::time::sleep(Duration::from_secs(60)).await;
/// # assert_eq!(layer.handle().snapshot().route, Route::Primary);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Prober<Clk = CoarseClock> {
    handle: FailoverHandle<Clk>,
    every: Duration,
    successes: u32,
}

impl<Clk: Clock> Prober<Clk> {
    /// Looks once in every so often, and asks if calls are on the fallback. One success brings them
    /// back, unless [`successes`](Self::successes) says otherwise.
    #[must_use]
    pub fn new(handle: FailoverHandle<Clk>, every: Duration) -> Self {
        Self { handle, every, successes: 1 }
    }

    /// How many requests in a row must succeed. 0 is taken for 1.
    #[must_use]
    pub fn successes(mut self, successes: u32) -> Self {
        self.successes = successes.max(1);
        self
    }

    /// Runs until it is dropped. `sleep` waits, as `tokio::time::sleep` does; `probe` asks the
    /// primary and says whether it did well. Put a time-out into it: while one request hangs no
    /// other is made.
    ///
    /// A route that an operator forced is left alone, and an answer that comes after another
    /// transition changes nothing.
    ///
    /// # Cancel safety
    /// Dropping it drops the request that is under way, and changes nothing.
    pub async fn run<S, A, P, B>(self, mut sleep: S, mut probe: P) -> Infallible
    where
        S: FnMut(Duration) -> A,
        A: Future<Output = ()>,
        P: FnMut() -> B,
        B: Future<Output = bool>,
    {
        let mut done = 0;
        let mut epoch = None;
        loop {
            sleep(self.every).await;
            let snapshot = self.handle.snapshot();
            if epoch != Some(snapshot.epoch) {
                (epoch, done) = (Some(snapshot.epoch), 0);
            }
            if matches!(snapshot.state, State::Fallback | State::Probing) {
                done = if probe().await { done + 1 } else { 0 };
                if done >= self.successes {
                    self.handle.revert(epoch);
                    done = 0;
                }
            }
        }
    }
}
