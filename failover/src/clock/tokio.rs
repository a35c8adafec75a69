//! Feature `tokio`: a clock that follows tokio's, and sleeps on tokio's timer.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::{Clock, Moment, Sleep, nanos};

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
/// use failover::{FailoverLayer, Policy, Route};
/// use failover::clock::TokioClock;
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// #[tokio::main(flavor = "current_thread", start_paused = true)]
/// async fn main() {
///     let primary = service_fn(|_: ()| async { Err::<&str, _>("down") });
///     let fallback = service_fn(|_: ()| async { Ok::<_, &str>("from the fallback") });
///     let layer = FailoverLayer::with_fallback(fallback, Policy::default())
///         .clock(TokioClock::new());
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

    /// As that of [`CoarseClock`](crate::clock::CoarseClock#waking-calls-that-wait).
    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        let deadline = self.origin.checked_add(Duration::from_nanos(moment.as_nanos()))?;
        on_timer(|| sleep_until(deadline))
    }
}

/// A sleep on the timer of the current runtime. `None` outside a runtime, or if its timer is off.
///
/// # Panics
/// If its timer is off and panics abort, or the panic hook aborts.
pub(super) fn sleep_for(time: Duration) -> Option<Sleep> {
    on_timer(|| sleep(time))
}

fn on_timer(make: impl FnOnce() -> tokio::time::Sleep) -> Option<Sleep> {
    let runtime = current()?;
    let sleep = unless_without_timer(runtime, make)?;
    Some(Box::pin(OfRuntime { deadline: sleep.deadline(), sleep: Some(sleep), runtime }))
}

fn current() -> Option<Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

/// The last runtimes without a timer, so that each one's panic is reported once.
struct WithoutTimer {
    runtimes: [Option<Id>; 16],
    next: usize,
}

static WITHOUT_TIMER: Mutex<WithoutTimer> =
    Mutex::new(WithoutTimer { runtimes: [None; 16], next: 0 });

/// `None` if the runtime is known to have no timer, or `use_timer` panics: tokio has no other way to
/// ask whether the timer is on.
fn unless_without_timer<T>(runtime: Id, use_timer: impl FnOnce() -> T) -> Option<T> {
    let known = || WITHOUT_TIMER.lock().unwrap_or_else(PoisonError::into_inner);
    if known().runtimes.contains(&Some(runtime)) {
        return None;
    }
    let used = catch_unwind(AssertUnwindSafe(use_timer)).ok();
    if used.is_none() {
        let mut known = known();
        let next = known.next;
        known.runtimes[next] = Some(runtime);
        known.next = (next + 1) % known.runtimes.len();
    }
    used
}

pin_project! {
    #[project = OfRuntimeProjection]
    /// Sleeps on the timer of the runtime that polls it, until the same deadline in each. Without a
    /// runtime or its timer it wakes no task, and ends in none.
    struct OfRuntime {
        deadline: Instant,
        // `None` if the runtime's timer is off, or has shut down.
        #[pin]
        sleep: Option<tokio::time::Sleep>,
        runtime: Id,
    }
}

impl Future for OfRuntime {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let OfRuntimeProjection { deadline, mut sleep, runtime } = self.project();
        let Some(current) = current() else { return Poll::Pending };
        if current != *runtime {
            *runtime = current;
            sleep.set(unless_without_timer(current, || sleep_until(*deadline)));
        }
        let Some(timer) = sleep.as_mut().as_pin_mut() else { return Poll::Pending };
        // tokio's sleep panics while its runtime shuts down, and afterwards.
        let polled = unless_without_timer(current, || timer.poll(context));
        polled.unwrap_or_else(|| {
            sleep.set(None);
            Poll::Pending
        })
    }
}
