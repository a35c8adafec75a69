//! Feature `tokio`: a clock that follows tokio's, and tokio's timer for any clock.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::{Clock, CoarseClock, Moment, Sleep};

/// tokio's clock: where tokio's time is paused it stands still, and moves when tokio's does. For
/// tests that run on paused time, and for whoever wants one time for everything.
///
/// It is finer than the default [`CoarseClock`](crate::clock::CoarseClock) and dearer: tokio reads the
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
/// use failover::{FailoverLayer, Monitor, Policy, Route};
/// use failover::clock::TokioClock;
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

    /// `None` outside a runtime.
    ///
    /// # Panics
    /// In a runtime without tokio's timer.
    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        let deadline = self.origin.checked_add(Duration::from_nanos(moment.as_nanos()))?;
        Handle::try_current().ok()?;
        Some(Box::pin(sleep_until(deadline)))
    }
}

/// Reads another clock, and sleeps by tokio's timer, so that calls that wait are woken when the time
/// says so: see [`Clock`]. A call costs what it costs with the other clock.
///
/// ```
/// use failover::{FailoverLayer, Monitor, Policy};
/// use failover::clock::{CoarseClock, TokioTimer};
/// # let fallback = ();
///
/// let monitor = Monitor::with_clock(Policy::default(), TokioTimer::new(CoarseClock));
/// let layer = FailoverLayer::with_monitor(fallback, monitor);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer<C = CoarseClock>(C);

impl<C: Clock> TokioTimer<C> {
    /// Reads that clock. It has to go as fast as tokio's: a paused one ends its sleeps early, and
    /// calls that wait then look at the clock in vain.
    pub fn new(clock: C) -> Self {
        Self(clock)
    }
}

impl<C: Clock> Clock for TokioTimer<C> {
    #[inline]
    fn now(&self) -> Moment {
        self.0.now()
    }

    /// `None` outside a runtime.
    ///
    /// # Panics
    /// In a runtime without tokio's timer.
    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        Handle::try_current().ok()?;
        Some(Box::pin(sleep(Duration::from_nanos(moment.nanos_since(self.now())))))
    }
}
