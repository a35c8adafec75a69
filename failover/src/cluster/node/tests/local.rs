//! A failover of a few lines, on its own node's clock in microseconds.

use crate::cluster::decision::sum;
use crate::cluster::node::{Change, Own};
use crate::cluster::wire::{Bucket, Command, Suspicion};
use crate::ratio::Ratio;
use crate::route::Route;
use crate::state::State;
use crate::tally::Tally;

/// In milliseconds.
pub(super) const WINDOW: u64 = 10_000;
/// The width of a bucket, in microseconds.
const WIDTH: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Primary,
    Fallback { until: u64 },
    Probing,
    Forced(Route),
}

#[derive(Debug)]
pub(super) struct Local {
    kind: Kind,
    /// When each began, the oldest first.
    buckets: Vec<(u64, Tally)>,
    revert_after: u64,
    probes: bool,
}

impl Local {
    pub(super) fn new(revert_after: u64, probes: bool) -> Self {
        Self { kind: Kind::Primary, buckets: Vec::new(), revert_after, probes }
    }

    /// Reverts if it is time.
    fn settle(&mut self, now: u64) {
        if let Kind::Fallback { until } = self.kind
            && now >= until
        {
            self.buckets.clear();
            self.kind = if self.probes { Kind::Probing } else { Kind::Primary };
        }
        self.buckets.retain(|(begin, _)| now - begin <= WINDOW * 1_000);
    }

    fn fall_back(&mut self, left: u64, now: u64) {
        // As the engine rounds.
        let until = (now + left * 1_000).next_multiple_of(1_000);
        self.kind = Kind::Fallback { until };
        self.buckets.clear();
    }

    fn tally(&self) -> Tally {
        sum(self.buckets.iter().map(|(_, tally)| *tally))
    }

    /// A call. The counts, if it trips.
    pub(super) fn call(&mut self, fails: bool, now: u64) -> Option<Tally> {
        self.settle(now);
        match self.kind {
            Kind::Probing if fails => self.fall_back(self.revert_after, now),
            Kind::Probing => self.kind = Kind::Primary,
            Kind::Primary | Kind::Forced(Route::Primary) => {
                let begin = now / WIDTH * WIDTH;
                if self.buckets.last().is_none_or(|(last, _)| *last != begin) {
                    self.buckets.push((begin, Tally::default()));
                }
                let failures = u64::from(fails);
                let one = Tally { successes: 1 - failures, failures, ..Tally::default() };
                self.buckets.last_mut().unwrap().1.add(&one);
                let tally = self.tally();
                let trips = tally.calls() >= 10 && tally.exceeds(Ratio::HALF);
                if self.kind == Kind::Primary && trips {
                    self.fall_back(self.revert_after, now);
                    return Some(tally);
                }
            }
            Kind::Fallback { .. } | Kind::Forced(Route::Fallback) => {}
        }
        None
    }

    pub(super) fn own(&mut self, now: u64, suspicion: Option<Suspicion>) -> Own {
        self.settle(now);
        let (state, left) = match self.kind {
            Kind::Primary => (State::Primary, 0),
            Kind::Fallback { until } => (State::Fallback, (until - now) / 1_000),
            Kind::Probing => (State::Probing, 0),
            Kind::Forced(Route::Primary) => (State::ForcedPrimary, 0),
            Kind::Forced(Route::Fallback) => (State::ForcedFallback, 0),
        };
        let buckets = self.buckets.iter().map(|(begin, tally)| Bucket {
            age: (now - begin) / 1_000,
            calls: tally.calls(),
            failures: tally.failures,
        });
        let revert_after = self.revert_after;
        Own { state, left, revert_after, buckets: buckets.collect(), suspicion }
    }

    pub(super) fn apply(&mut self, change: &Change, now: u64) {
        self.settle(now);
        match (change, self.kind) {
            (_, Kind::Forced(_)) => {}
            (Change::Enter { left, .. }, _)
            | (Change::Deadline { left }, Kind::Fallback { .. }) => {
                self.fall_back(*left, now);
            }
            (Change::Deadline { .. }, _) => {}
            (Change::Return, _) => self.revert(),
        }
    }

    /// An operator's revert.
    pub(super) fn revert(&mut self) {
        self.buckets.clear();
        self.kind = Kind::Primary;
    }

    pub(super) fn command(&mut self, command: &Command, now: u64) {
        self.settle(now);
        match command {
            Command::Force { route, .. } => self.kind = Kind::Forced(*route),
            Command::Release => self.revert(),
            Command::Policy(_) => {}
        }
    }

    pub(super) fn is_away(&self, now: u64) -> bool {
        match self.kind {
            Kind::Fallback { until } => now < until,
            kind => kind == Kind::Forced(Route::Fallback),
        }
    }
}
