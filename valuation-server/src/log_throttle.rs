//! A limit of one log line a second for events that repeat.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// Admits one line a second, so that a flood of errors does not fill the disk.
#[derive(Debug)]
pub(crate) struct LogThrottle {
    start: Instant,
    /// The earliest time of the next line, in milliseconds from `start`.
    next: AtomicU64,
    withheld: AtomicU64,
}

impl LogThrottle {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(0), withheld: AtomicU64::new(0) }
    }

    /// The number of lines withheld since the last one, if this line is admitted.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.admit_after(self.start.elapsed())
    }

    fn admit_after(&self, elapsed: Duration) -> Option<u64> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = millis(elapsed);
        // Ordering: Relaxed. Neither number publishes other data.
        let next = self.next.load(Ordering::Relaxed);
        let after = now.saturating_add(millis(PAUSE));
        let turn = now >= next
            && self
                .next
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if turn {
            return Some(self.withheld.swap(0, Ordering::Relaxed));
        }
        self.withheld.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_the_first_line_then_one_a_second_with_the_count_withheld() {
        let throttle = LogThrottle::new();
        let at = |millis| throttle.admit_after(Duration::from_millis(millis));
        assert_eq!(at(5), Some(0));
        assert_eq!([at(5), at(6), at(1_004)], [None; 3]);
        assert_eq!(at(1_005), Some(3));
        assert_eq!(at(9_000), Some(0));
    }
}
