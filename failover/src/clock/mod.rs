//! Clocks. The engine takes the time as an argument; only [`Monitor`](crate::monitor::Monitor) reads
//! a clock.

mod any;
mod manual;
#[cfg(feature = "tokio")]
mod tokio;

use std::future::Future;
use std::pin::Pin;
#[cfg(any(not(any(target_os = "linux", target_os = "android")), doc))]
use std::time::Instant;
use std::time::{Duration, SystemTime};

pub(crate) use self::any::AnyClock;
pub use self::manual::ManualClock;
#[cfg(feature = "tokio")]
pub use self::tokio::{TokioClock, TokioTimer};

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

/// The wall clock, for the text of events: nothing is decided by it.
pub(crate) fn wall_time() -> SystemTime {
    // There `SystemTime::now` panics.
    if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        SystemTime::UNIX_EPOCH
    } else {
        SystemTime::now()
    }
}

/// A monotonic clock: it never goes backwards and does not follow the wall clock.
///
/// If it goes backwards after all, the error is bounded: the window's time is the latest reading at
/// which any thread has counted a call, and counts go to the bucket of that time. After one reading
/// ahead of the others, the window's counts expire by that reading, and its bucket stays open until
/// the others have caught up.
///
/// # Waking calls that wait
/// A call that waits in `poll_ready` for a busy service wakes when that service is ready and at each
/// transition. A transition that is due by time (the revert, the end of a ramp or of a probe's lease,
/// a trip by stalled calls) is made by a call that reads the clock. If all calls wait and no new one
/// comes, a clock that can [sleep](Self::sleep_until) wakes them in time. With any other clock they
/// wait until their service is ready or another call is made.
///
/// | clock | sleeps |
/// |---|---|
/// | [`CoarseClock`], [`FineClock`] | no: they are independent of any runtime |
/// | `TokioClock`, `TokioTimer<CoarseClock>` (feature `tokio`) | on tokio's timer, in a runtime |
/// | [`ManualClock`] | until the test moves it |
pub trait Clock: Clone + Send + Sync + 'static {
    /// The current moment.
    fn now(&self) -> Moment;

    /// The current moment at the clock's best resolution, for the durations of
    /// [`on_call`](crate::service::on_call). By default [`now`](Self::now); the [`CoarseClock`] reads
    /// the [`FineClock`].
    fn now_precise(&self) -> Moment {
        self.now()
    }

    /// A future that ends when [`now`](Self::now) has reached `moment`, or a little later. `None`,
    /// the default, if the clock can't wake a task. Only waiting calls use it.
    fn sleep_until(&self, _moment: Moment) -> Option<Sleep> {
        None
    }
}

/// The future of [`Clock::sleep_until`].
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The kernel's coarse monotonic clock: a read costs a quarter of [`Instant::now`], and it ticks
/// every 1 to 10 ms (4 ms where the kernel runs at 250 Hz). The default.
///
/// Use [`FineClock`] if a window or a time is not far longer than a tick. On systems other than Linux
/// and Android this is the fine clock.
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

    fn now_precise(&self) -> Moment {
        FineClock.now()
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
            #[expect(clippy::disallowed_methods, reason = "the only use")]
            let (now, origin) = (Instant::now(), *ORIGIN.get_or_init(Instant::now));
            Moment(nanos(now.duration_since(origin)))
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn system(id: rustix::time::ClockId) -> Moment {
    let time = rustix::time::clock_gettime(id);
    // The clock counts from the boot: neither part is negative, and the sum fits for 584 years.
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
