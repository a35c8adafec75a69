//! How soon a commit follows a commit.
//!
//! A commit costs an fdatasync, whole pages of the log however few rows changed on them, and a
//! change of threads. Where many wait at once, a commit that begins as soon as the last one has
//! ended finds few of them; one that begins a moment later finds most, and each pays less for
//! it. Where few wait, there is nothing to gather, and nobody is held up.

use std::time::{Duration, Instant};

/// From how many entries on a commit is one of many.
const MANY: usize = 16;

/// From the beginning of a commit of many to that of the next. It is below what a question to a
/// provider takes by far.
const PACE: Duration = Duration::from_millis(2);

/// When the next commit may begin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Set after a commit of many.
    next: Option<Instant>,
}

impl Pace {
    /// Notes a commit of so many entries that begins now.
    pub(super) fn begins(&mut self, entries: usize, now: Instant) {
        self.next = (entries >= MANY).then(|| now + PACE);
    }

    /// How long the next commit is to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_few_entries_the_next_commit_waits_for_nothing() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.begins(MANY, now);
        pace.begins(MANY - 1, now);
        assert_eq!(pace.wait(now), Duration::ZERO);
    }

    #[test]
    fn after_many_it_waits_for_the_rest_of_the_pace() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.begins(MANY, now);
        assert_eq!(pace.wait(now), PACE);
        assert_eq!(pace.wait(now + PACE / 4), PACE - PACE / 4);
        assert_eq!(pace.wait(now + PACE * 2), Duration::ZERO);
    }
}
