//! Lines of the log that would come many times a second, and say the same each time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// From one line to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Lets a line through now and then. A full disk must not be filled by what says so.
#[derive(Debug)]
pub(crate) struct Sparing {
    start: Instant,
    /// When the next line may come, in milliseconds from the start.
    next: AtomicU64,
    withheld: AtomicU64,
}

impl Sparing {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(0), withheld: AtomicU64::new(0) }
    }

    /// How many lines were withheld since the last one, if this one may come.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.admit_after(self.start.elapsed())
    }

    fn admit_after(&self, elapsed: Duration) -> Option<u64> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = millis(elapsed);
        // Ordering: Relaxed. Neither number stands for anything but itself.
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
    fn the_first_comes_and_then_one_a_second_with_the_number_of_the_others() {
        let sparing = Sparing::new();
        let at = |millis| sparing.admit_after(Duration::from_millis(millis));
        assert_eq!(at(5), Some(0));
        assert_eq!([at(5), at(6), at(1_004)], [None; 3]);
        assert_eq!(at(1_005), Some(3));
        assert_eq!(at(9_000), Some(0));
    }
}
