//! Probes off the request path.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use crate::monitor::handle::FailoverHandle;
use crate::state::State;

/// Probes the primary with its own requests while calls are on the fallback, and reverts early when
/// they succeed. Optional: calls pay nothing and are never used as probes.
///
/// Independent of the runtime: the caller passes a sleep function and the request.
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
/// let layer = FailoverLayer::with_fallback(fallback, Policy::default());
/// let prober = Prober::new(layer.handle(), Duration::from_secs(5)).successes(3);
/// tokio::spawn(prober.run(tokio::time::sleep, health_check));
/// # tokio::time::sleep(Duration::from_secs(60)).await;
/// # assert_eq!(layer.handle().snapshot().route, Route::Primary);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Prober {
    handle: FailoverHandle,
    every: Duration,
    successes: u32,
}

impl Prober {
    /// Probes once per `every` while calls are on the fallback. One success reverts, unless
    /// [`successes`](Self::successes) says otherwise.
    #[must_use]
    pub fn new(handle: FailoverHandle, every: Duration) -> Self {
        Self { handle, every, successes: 1 }
    }

    /// How many requests in a row must succeed. 0 means 1.
    #[must_use]
    pub fn successes(mut self, successes: u32) -> Self {
        self.successes = successes.max(1);
        self
    }

    /// Runs until dropped. `sleep` waits, like `tokio::time::sleep`; `probe` calls the primary and
    /// returns whether it is healthy. Give `probe` a time-out, since probes do not overlap.
    ///
    /// Does nothing while a route is forced, and ignores results that arrive after another
    /// transition.
    ///
    /// # Cancel safety
    /// Dropping it drops the request in flight, and changes nothing.
    pub async fn run<S, A, P, B>(self, mut sleep: S, mut probe: P) -> Infallible
    where
        S: FnMut(Duration) -> A,
        A: Future<Output = ()>,
        P: FnMut() -> B,
        B: Future<Output = bool>,
    {
        let mut done = 0;
        let mut epoch = self.handle.snapshot().epoch;
        loop {
            sleep(self.every).await;
            let snapshot = self.handle.snapshot();
            if epoch != snapshot.epoch {
                (epoch, done) = (snapshot.epoch, 0);
            }
            if matches!(snapshot.state, State::Fallback | State::Probing) {
                done = if probe().await { done + 1 } else { 0 };
                if done >= self.successes {
                    self.handle.revert_if(epoch);
                    done = 0;
                }
            }
        }
    }
}
