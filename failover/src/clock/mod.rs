//! Clocks. The engine takes the time as an argument; only [`Monitor`](crate::monitor::Monitor) reads
//! a clock.

mod any;
mod manual;
mod system;
#[cfg(feature = "tokio")]
mod tokio;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use self::any::AnyClock;
pub use self::manual::ManualClock;
pub(crate) use self::system::wall_time;
pub use self::system::{CoarseClock, FineClock};
#[cfg(feature = "tokio")]
pub use self::tokio::TokioClock;

/// A point in time: nanoseconds since the origin of its clock. Moments of different clocks can't be
/// compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// A moment that many nanoseconds after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin. 64 bits last 584 years.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `time` later.
    pub(crate) fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// Nanoseconds since an earlier moment; 0 if it is not earlier.
    #[inline]
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// In nanoseconds; at most 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A monotonic clock: it never goes backwards and does not follow the wall clock.
///
/// If it goes backwards after all, the error is bounded: the window's time is the latest reading at
/// which any thread has counted a call, and counts go to the bucket of that time. After one reading
/// ahead of the others, the window's counts expire by that reading, and its bucket stays open until
/// the others have caught up. A failover's time begins when it is made and spans 292 years: a
/// reading later than that is taken for one before the beginning.
///
/// | clock | for | [sleeps](Self::sleep_until) |
/// |---|---|---|
/// | [`CoarseClock`] | everything; the default | with the feature `tokio`, on tokio's timer |
/// | [`FineClock`] | times of a few milliseconds | with the feature `tokio`, on tokio's timer |
/// | `TokioClock` (feature `tokio`) | tests in tokio's paused time | on tokio's timer |
/// | [`ManualClock`] | tests without a runtime | until the test moves it |
///
/// To skip time in a test of code that uses the default clock, no other clock is needed: see
/// [`FailoverHandle::advance`](crate::monitor::handle::FailoverHandle::advance).
///
/// # Waking calls that wait
/// A call that waits in `poll_ready` for a busy service wakes when that service is ready and at each
/// transition. A transition that is due by time (the revert, the end of a ramp or of a probe's lease,
/// a trip by stalled calls) is made by a call that reads the clock. If all calls wait and no new one
/// comes, a clock that can sleep wakes them in time. With any other clock they wait until their
/// service is ready or another call is made.
///
/// The crate has no timer of its own. With the feature `tokio` the clocks of the table sleep on
/// tokio's, in a runtime that has it enabled. For another runtime's timer, wrap a clock:
///
/// ```
/// use std::time::Duration;
/// use failover::{FailoverLayer, Policy};
/// use failover::clock::{Clock, FineClock, Moment, Sleep};
/// # // In the place of a runtime's crate.
/// # mod runtime {
/// #     pub async fn sleep(_: std::time::Duration) {}
/// # }
///
/// #[derive(Clone)]
/// struct WithTimer;
///
/// impl Clock for WithTimer {
///     fn now(&self) -> Moment {
///         FineClock.now()
///     }
///
///     fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
///         let left = moment.as_nanos().saturating_sub(self.now().as_nanos());
///         Some(Box::pin(runtime::sleep(Duration::from_nanos(left))))
///     }
/// }
/// # let fallback = ();
///
/// let layer = FailoverLayer::with_fallback(fallback, Policy::default()).clock(WithTimer);
/// ```
pub trait Clock: Clone + Send + Sync + 'static {
    /// The current moment.
    ///
    /// Destructors call it too: the future of a call that is dropped reads the clock, also while its
    /// thread unwinds or ends. If it panics there, that call is neither counted nor shown.
    fn now(&self) -> Moment;

    /// The current moment at the clock's best resolution, for the durations of
    /// [`on_call`](crate::service::on_call). By default [`now`](Self::now); the [`CoarseClock`] reads
    /// the [`FineClock`].
    fn now_precise(&self) -> Moment {
        self.now()
    }

    /// A future that ends when [`now`](Self::now) has reached `moment`, or a little later. `None`,
    /// the default, if the clock can't wake a task. Only a call that waits asks for one.
    ///
    /// If it ends before half of the time has passed by [`now`](Self::now), the timer and the clock
    /// disagree, as in tokio's paused time: that call does not sleep again before `now` has reached
    /// `moment`. A call may go on in another runtime than the one that it began to wait in: the future
    /// is then polled there.
    fn sleep_until(&self, _moment: Moment) -> Option<Sleep> {
        None
    }
}

/// The future of [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;
