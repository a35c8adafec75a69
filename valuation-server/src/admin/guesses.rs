//! A budget of wrong tokens, of all senders together.
//!
//! It does not make a weak token safe, since the right token always passes: an attacker must not lock
//! operators out. It tells scanners to stop.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many wrong tokens are answered at once.
const BURST: u32 = 10;
/// The time after which another one is.
const EVERY: Duration = Duration::from_millis(250);

/// Counts wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// When the budget is full again. `None`: it never was touched.
    full_at: Mutex<Option<Instant>>,
}

impl Guesses {
    /// Takes one from the budget, if there is one.
    pub(super) fn admit(&self) -> bool {
        // A single value, so poison is ignored.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let after = full_at.map_or(now, |at| at.max(now)) + EVERY;
        let admitted = after <= now + EVERY * BURST;
        if admitted {
            *full_at = Some(after);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_are_admitted_at_once_then_four_a_second() {
        let guesses = Guesses::default();
        let admitted = || (0..100).filter(|_| guesses.admit()).count();
        assert_eq!(admitted(), 10);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(admitted(), 4);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(admitted(), 10);
    }
}
