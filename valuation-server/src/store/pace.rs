//! The pause between two commits.
//!
//! A commit costs an fdatasync, whole pages of the log however few rows they have, and a thread switch.
//! If many entries are under way, a commit right after the previous one finds few of them; a moment
//! later it finds more, and each costs less. With few entries a pause would gather little, and answers
//! would come in bursts.

use std::time::{Duration, Instant};

/// The number of entries from which commits pause: those of the last commit, within [`PACE`], and those
/// under way.
const MANY: usize = 96;

/// The time from the start of a commit to the next with many entries. It is far below the duration of a
/// provider call.
const PACE: Duration = Duration::from_millis(2);

/// When the next commit may begin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The start of the last commit, and its number of entries.
    last: Option<(Instant, usize)>,
    /// Set while there are many entries.
    next: Option<Instant>,
}

impl Pace {
    /// Records the start of a commit of `entries`, with `reserved` permits for others.
    ///
    /// The previous commit's entries count if this one did not wait. So with some tens of clients, each
    /// of which waits for its answer, every other commit pauses, and no client is slowed down to one
    /// request per pause.
    pub(super) fn begins(&mut self, entries: usize, reserved: usize, now: Instant) {
        let just_before = self.last.filter(|(at, _)| now.saturating_duration_since(*at) <= PACE);
        let before = just_before.map_or(0, |(_, entries)| entries);
        self.last = Some((now, entries));
        self.next = (before + entries + reserved >= MANY).then(|| now + PACE);
    }

    /// How long the next commit has to wait.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_few_under_way_the_next_commit_waits_for_nothing() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.begins(1, MANY - 1, now);
        assert_eq!(pace.wait(now), PACE);
        pace.begins(1, MANY - 2 - 1, now);
        assert_eq!(pace.wait(now), Duration::ZERO);
    }

    #[test]
    fn with_many_it_waits_for_the_rest_of_the_pace() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.begins(MANY, 0, now);
        assert_eq!(pace.wait(now), PACE);
        assert_eq!(pace.wait(now + PACE / 4), PACE - PACE / 4);
        assert_eq!(pace.wait(now + PACE * 2), Duration::ZERO);
    }

    #[test]
    fn many_that_came_in_two_commits_soon_after_each_other_are_many() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.begins(MANY / 2, 0, now);
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.begins(MANY / 2, 0, now + PACE / 2);
        assert_eq!(pace.wait(now + PACE / 2), PACE);
        let late = now + PACE * 2;
        pace.begins(MANY / 2, 0, late);
        assert_eq!(pace.wait(late), Duration::ZERO);
    }
}
