//! How soon a commit follows a commit.
//!
//! A commit costs an fdatasync, whole pages of the log however few rows changed on them, and a
//! change of threads. Where many questions are under way, a commit that begins as soon as the last
//! one has ended finds few of them; one that begins a moment later finds more, and each pays less
//! for it. Where few are, there is little to gather, and a pause would only make the answers come in
//! bursts.

use std::time::{Duration, Instant};

/// From how many entries on there are many: those that were committed last, within [`PACE`], and
/// those that are under way.
const MANY: usize = 96;

/// From the beginning of a commit to that of the next, where there are many. It is far below what a
/// question to a provider takes.
const PACE: Duration = Duration::from_millis(2);

/// When the next commit may begin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the last commit began, and how many entries it took.
    last: Option<(Instant, usize)>,
    /// Set while there are many.
    next: Option<Instant>,
}

impl Pace {
    /// Notes a commit of so many entries that begins now, with so many places for others reserved.
    ///
    /// What the last one took counts where this one did not wait for the pace: so some tens of clients
    /// that each wait for their answer have every other commit wait, and are not slowed down to one
    /// question each in every pace.
    pub(super) fn begins(&mut self, entries: usize, reserved: usize, now: Instant) {
        let just_before = self.last.filter(|(at, _)| now.saturating_duration_since(*at) <= PACE);
        let before = just_before.map_or(0, |(_, entries)| entries);
        self.last = Some((now, entries));
        self.next = (before + entries + reserved >= MANY).then(|| now + PACE);
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
