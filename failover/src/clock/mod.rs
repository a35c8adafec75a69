//! The one door for time.
//!
//! The algorithm takes the time as an argument; [`Monitor`](crate::monitor::Monitor) alone reads a clock.

mod manual;
#[cfg(feature = "tokio")]
mod tokio;

use std::future::Future;
use std::pin::Pin;
#[cfg(any(not(any(target_os = "linux", target_os = "android")), doc))]
use std::time::Instant;

pub use self::manual::ManualClock;
#[cfg(feature = "tokio")]
pub use self::tokio::{TokioClock, TokioTimer};

/// A point in time: nanoseconds since an origin that only its clock knows.
///
/// Moments of different clocks can't be compared.
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

    /// Nanoseconds since an earlier moment; 0 if it is not earlier.
    #[inline]
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A monotonic clock: it never goes back and does not follow the wall clock.
///
/// A clock that goes back all the same does no harm beyond its own error: the latest reading that any
/// thread has counted a call at is the time of the window, and counts go to the bucket that is open
/// then. If it reads ahead once, what the window held is as old as that reading says, and the bucket
/// stays open until the other readings have caught up.
///
/// # Waking calls that wait
/// A call that waits in `poll_ready` for a busy service is woken by that service, and by each change
/// of the route. But a change that is due with the time (the revert, the end of a ramp or
/// of a probe's lease, a trip by stalled calls) is made by the call that looks at the clock. Calls
/// that wait look when they are woken; if all calls wait and no new one comes, a clock that can
/// [sleep](Self::sleep_until) wakes them in time. With a clock that can't, they wait until their
/// service is ready or another call is made.
///
/// | clock | sleeps |
/// |---|---|
/// | [`CoarseClock`], [`FineClock`] | no: they know no runtime |
/// | `TokioClock`, `TokioTimer<CoarseClock>` (feature `tokio`) | by tokio, in a task of a runtime |
/// | [`ManualClock`] | until it is moved |
pub trait Clock: Clone + Send + Sync + 'static {
    /// The current moment.
    fn now(&self) -> Moment;

    /// A future that ends when [`now`](Self::now) has come to that moment, or a little later. `None`,
    /// the default, if the clock can wake nobody. Asked only for calls that wait.
    fn sleep_until(&self, _moment: Moment) -> Option<Sleep> {
        None
    }
}

/// The future of [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The kernel's coarse monotonic clock: a read costs a quarter of [`Instant::now`], and it ticks
/// every 1 to 10 ms (4 ms where the kernel runs at 250 Hz). The default.
///
/// Windows and times that are not far longer than its tick want [`FineClock`]. Where the system
/// has no such clock (anything but Linux and Android), it is the fine one.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseClock;

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> Moment {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return system(rustix::time::ClockId::MonotonicCoarse);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return FineClock.now();
    }
}

/// The system's monotonic clock at full resolution, the one behind [`Instant`].
#[derive(Clone, Copy, Debug, Default)]
pub struct FineClock;

impl Clock for FineClock {
    #[inline]
    fn now(&self) -> Moment {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return system(rustix::time::ClockId::Monotonic);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            let (now, origin) = (Instant::now(), *ORIGIN.get_or_init(Instant::now));
            Moment(u64::try_from(now.duration_since(origin).as_nanos()).unwrap_or(u64::MAX))
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn system(id: rustix::time::ClockId) -> Moment {
    let time = rustix::time::clock_gettime(id);
    // A monotonic clock counts from the boot: neither part is negative, and the sum fits for
    // 584 years of uptime.
    Moment(
        time.tv_sec
            .cast_unsigned()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(time.tv_nsec.cast_unsigned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_follows_the_fine_one_and_never_passes_it() {
        let coarse = CoarseClock.now();
        let fine = FineClock.now();
        assert!(coarse <= fine);
        // Both count from the boot.
        assert!(coarse > Moment::default());
        assert!(fine.nanos_since(coarse) < 1_000_000_000);
    }
}
