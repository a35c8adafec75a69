//! The one door for time.
//!
//! The algorithm takes the time as an argument; [`Monitor`](crate::Monitor) alone reads a clock.

#[cfg(feature = "tokio")]
mod tokio;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[cfg(any(not(any(target_os = "linux", target_os = "android")), doc))]
use std::time::Instant;

#[cfg(feature = "tokio")]
pub use self::tokio::TokioClock;

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
pub trait Clock: Clone + Send + Sync + 'static {
    /// The current moment.
    fn now(&self) -> Moment;
}

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

/// A clock that moves only when it is told to, for tests: ours and yours. Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use failover::{Monitor, Outcome, Policy, Route, ManualClock};
///
/// let clock = ManualClock::new();
/// let monitor = Monitor::with_clock(Policy::default(), clock.clone());
/// for _ in 0..10 {
///     let Some(ticket) = monitor.admit().ticket() else { unreachable!("not tripped yet") };
///     monitor.record(ticket, Outcome::Failure);
/// }
/// assert_eq!(monitor.route(), Route::Fallback);
/// clock.advance(Duration::from_secs(5 * 60));
/// assert_eq!(monitor.route(), Route::Primary);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock at its origin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the time on. It stops at the end of time, after 584 years.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // Ordering: what a thread did before it moved the time is seen by who reads the new time.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| Some(now.saturating_add(by)));
    }

    /// Sets the time, also backwards, as no monotonic clock should.
    pub fn set(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::Release);
    }
}

impl Clock for ManualClock {
    #[inline]
    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Acquire))
    }
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

    #[test]
    fn the_manual_clock_is_shared_by_its_clones_and_stops_at_the_end() {
        let clock = ManualClock::new();
        let other = clock.clone();
        clock.advance(Duration::from_nanos(7));
        assert_eq!(other.now(), Moment::from_nanos(7));
        clock.advance(Duration::MAX);
        assert_eq!(other.now(), Moment::from_nanos(u64::MAX));
    }
}
