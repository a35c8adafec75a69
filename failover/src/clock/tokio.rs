//! Feature `tokio`: a clock that follows tokio's, and tokio's timer for any clock.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::{Clock, CoarseClock, Moment, Sleep, nanos};

/// tokio's clock, which stops while tokio's time is paused. For tests on paused time.
///
/// It is finer and more expensive than the default [`CoarseClock`](crate::clock::CoarseClock): 42 to
/// 88 ns per read instead of 4 ns. tokio reads the system's fine clock, and with its feature
/// `test-util` looks up the runtime's. Each call to the primary reads the clock once.
///
/// Outside a runtime it reads the system's clock, so a thread without a runtime does not see paused
/// time. Moments of clones can be compared; those of separate clocks can't.
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
        // A paused clock may be before an origin that was read outside its runtime: that is 0.
        Moment::from_nanos(nanos(Instant::now().saturating_duration_since(self.origin)))
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

/// Reads another clock and sleeps by tokio's timer, so that waiting calls wake when a change is due:
/// see [`Clock`]. A call costs the same as with the other clock.
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
    /// Reads `clock`, which must run as fast as tokio's. If it is paused, sleeps end early and
    /// waiting calls wake in vain.
    pub fn new(clock: C) -> Self {
        Self(clock)
    }
}

impl<C: Clock> Clock for TokioTimer<C> {
    #[inline]
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn now_precise(&self) -> Moment {
        self.0.now_precise()
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
