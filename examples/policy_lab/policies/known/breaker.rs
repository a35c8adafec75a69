//! The common part: a state, its deadline, and an epoch.

use super::super::Pass;
use crate::world::Millis;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum State {
    #[default]
    Primary,
    Fallback {
        until: Millis,
    },
    /// `max_in_flight` more probes may begin.
    Probing {
        max_in_flight: u32,
    },
}

#[derive(Default)]
pub(super) struct Breaker {
    pub(super) state: State,
    epoch: u64,
    pub(super) trips: u64,
}

impl Breaker {
    pub(super) fn change(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }

    pub(super) fn trip(&mut self, until: Millis) {
        self.trips += 1;
        self.change(State::Fallback { until });
    }

    /// Whether the time on the fallback is over.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        matches!(self.state, State::Fallback { until } if now >= until)
    }

    /// A pass if calls go to the primary, or if a probe's permit is free.
    pub(super) fn pass(&mut self) -> Option<Pass> {
        match &mut self.state {
            State::Primary => {}
            State::Probing { max_in_flight } if *max_in_flight > 0 => *max_in_flight -= 1,
            State::Probing { .. } | State::Fallback { .. } => return None,
        }
        Some(Pass::Theirs(self.epoch))
    }

    /// Whether the call was admitted since the last transition.
    pub(super) fn is_current(&self, pass: &Pass) -> bool {
        matches!(pass, Pass::Theirs(epoch) if *epoch == self.epoch)
    }

    pub(super) fn diverts(&self) -> bool {
        self.state != State::Primary
    }
}

/// The two methods that are the same for all.
macro_rules! told_by_the_breaker {
    () => {
        fn diverts(&self) -> bool {
            self.breaker.diverts()
        }

        fn trips(&self) -> u64 {
            self.breaker.trips
        }
    };
}

pub(super) use told_by_the_breaker;
