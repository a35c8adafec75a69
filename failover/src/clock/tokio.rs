//! Feature `tokio`: a clock that follows tokio's.

use tokio::time::Instant;

use crate::clock::{Clock, Moment};

/// tokio's clock: where tokio's time is paused it stands still, and moves when tokio's does. For
/// tests that run on paused time, and for whoever wants one time for everything.
///
/// It is finer than the default [`CoarseClock`](crate::CoarseClock) and dearer: tokio reads the
/// system's fine clock, and looks for the running runtime's where its feature `test-util` is on. A
/// read cost 10 to 20 times as much as the coarse one where it was measured (42 to 88 ns against
/// 4), and each call to the primary reads the clock once.
///
/// Outside a runtime it reads the system's clock, so that a thread without a runtime does not see
/// paused time. Clones agree with each other; two clocks made apart do not, since each counts from
/// its own making.
///
/// ```
/// use std::time::Duration;
/// use failover::{FailoverLayer, Monitor, Policy, Route, TokioClock};
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// #[tokio::main(flavor = "current_thread", start_paused = true)]
/// async fn main() {
///     let primary = service_fn(|_: ()| async { Err::<&str, _>("down") });
///     let fallback = service_fn(|_: ()| async { Ok::<_, &str>("from the fallback") });
///     let monitor = Monitor::with_clock(Policy::default(), TokioClock::new());
///     let layer = FailoverLayer::with_monitor(fallback, monitor);
///     let (mut service, handle) = (layer.layer(primary), layer.handle());
///
///     for _ in 0..10 {
///         let _ = service.ready().await.unwrap().call(()).await;
///     }
///     assert_eq!(handle.snapshot().route, Route::Fallback);
///
///     // Five minutes pass at once.
///     tokio::time::sleep(Duration::from_secs(5 * 60)).await;
///     assert_eq!(handle.snapshot().route, Route::Primary);
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// A clock that counts from now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    #[inline]
    fn now(&self) -> Moment {
        // A paused clock may stand before an origin that was read outside its runtime: that is 0.
        let since = Instant::now().saturating_duration_since(self.origin);
        Moment::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}
