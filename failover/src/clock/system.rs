//! The system's clocks.

#[cfg(feature = "tokio")]
use std::time::Duration;
#[cfg(any(not(any(target_os = "linux", target_os = "android")), doc))]
use std::time::Instant;
use std::time::SystemTime;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use super::nanos;
use super::{Clock, Moment};
#[cfg(feature = "tokio")]
use super::{Sleep, tokio::sleep_for};

/// The kernel's coarse monotonic clock: a read costs a quarter of [`Instant::now`], and it ticks
/// every 1 to 10 ms (4 ms where the kernel runs at 250 Hz). The default.
///
/// Use [`FineClock`] if a window or a time is not far longer than a tick. On systems other than Linux
/// and Android this is the fine clock.
///
/// # Waking calls that wait
/// With the feature `tokio` it [sleeps](Clock::sleep_until) on the timer of the runtime in which the
/// call waits, and ends within 10 ms after the moment. If the call goes on in another runtime, the sleep
/// goes on there. Outside a runtime, and in one that shuts down or was built without `enable_time`, it
/// wakes no call.
///
/// # Panics
/// `now` never, except on `wasm32-unknown-unknown`, which has no clock.
///
/// With the feature `tokio`, a call that waits in a runtime that shuts down or was built without
/// `enable_time` causes a panic inside tokio, which has no way to ask for its timer. The clock catches
/// it, and the call waits without a timer. The panic hook reports it once per runtime; again if 16
/// other runtimes without a timer came between. In a program built with `panic = "abort"`, or whose
/// panic hook aborts, it ends the process.
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

    #[cfg(feature = "tokio")]
    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        let left = Duration::from_nanos(moment.nanos_since(self.now()));
        sleep_for(left.saturating_add(Self::LONGEST_TICK))
    }
}

impl CoarseClock {
    /// By how much it may be behind tokio's timer: a sleep without this would end too early.
    #[cfg(feature = "tokio")]
    const LONGEST_TICK: Duration = Duration::from_millis(10);
}

/// The system's monotonic clock at full resolution, the one behind [`Instant`]. Wakes calls that wait
/// as the [`CoarseClock`](CoarseClock#waking-calls-that-wait) does.
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
            Moment::from_nanos(nanos(now.duration_since(origin)))
        }
    }

    #[cfg(feature = "tokio")]
    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        sleep_for(Duration::from_nanos(moment.nanos_since(self.now())))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn system(id: rustix::time::ClockId) -> Moment {
    let time = rustix::time::clock_gettime(id);
    // The clock counts from the boot: neither part is negative, and the sum fits for 584 years.
    Moment::from_nanos(
        time.tv_sec
            .cast_unsigned()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(time.tv_nsec.cast_unsigned()),
    )
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
