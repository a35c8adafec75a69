//! Recovery: how long calls stay on the fallback, and how they return to the primary.
//!
//! The state for that in addition to the phase; `transitions` makes the transitions.

mod interval;
mod probes;
mod ramp;
mod rules;

use std::sync::OnceLock;

use crate::policy::Policy;
use interval::Intervals;
use ramp::Dealer;
use rules::Board;

pub(crate) use interval::{IntervalRules, Remembered};
pub(crate) use probes::{Finding, ProbeLease, ProbeRules, Probes, Taken};
pub(crate) use ramp::Ramp;
pub(crate) use rules::RecoveryRules;

/// A monitor's state for its recovery.
#[derive(Debug)]
pub(crate) struct Recovery {
    board: Board,
    pub(crate) intervals: Intervals,
    pub(crate) dealer: Dealer,
    /// Empty unless a policy probes.
    probes: OnceLock<Probes>,
    /// Empty unless a new policy has more permits than `probes`.
    more_probes: OnceLock<Probes>,
}

impl Recovery {
    pub(crate) fn new(policy: &Policy) -> Self {
        let recovery = Self {
            board: Board::default(),
            intervals: Intervals::default(),
            dealer: Dealer::default(),
            probes: OnceLock::new(),
            more_probes: OnceLock::new(),
        };
        recovery.renew(policy);
        recovery
    }

    /// Resets the state, for a policy with as many permits as it was made for.
    pub(crate) fn renew(&self, policy: &Policy) {
        self.adopt(policy);
        self.intervals.forget();
        self.dealer.forget();
    }

    /// Continues by another policy, with the state unchanged.
    pub(crate) fn adopt(&self, policy: &Policy) {
        let rules = RecoveryRules::new(policy);
        if let Some(ProbeRules { permits, .. }) = rules.probing
            && self.probes.get_or_init(|| Probes::new(permits)).room() < permits as usize
        {
            self.more_probes.get_or_init(|| Probes::new(Probes::MOST));
        }
        self.board.write(&rules);
    }

    pub(crate) fn rules(&self) -> RecoveryRules {
        self.board.read()
    }

    /// The rules of probing and its permits, if the policy probes.
    pub(crate) fn probing(&self) -> Option<(ProbeRules, &Probes)> {
        let rules = self.board.read_probing()?;
        let probes = self.probes.get().filter(|probes| probes.room() >= rules.permits as usize);
        Some((rules, probes.or_else(|| self.more_probes.get())?))
    }

    /// Erases what was counted in any epoch.
    pub(crate) fn erase(&self) {
        self.intervals.forget();
        self.probes.get().into_iter().chain(self.more_probes.get()).for_each(Probes::erase);
    }

    pub(crate) fn bytes(&self) -> usize {
        let room = |probes: &OnceLock<Probes>| probes.get().map_or(0, Probes::room);
        (room(&self.probes) + room(&self.more_probes)) * size_of::<u64>()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::policy::Probing;

    #[test]
    fn its_memory_is_that_of_its_permits_and_of_more_once_a_policy_asks_for_more() {
        let of = |permits| Policy::builder().probing(Probing::new(permits)).build().unwrap();
        let (recovery, none) = (Recovery::new(&of(4)), Recovery::new(&Policy::default()));
        assert_eq!((recovery.bytes(), none.bytes()), (4 * 8, 0));
        // Permits for a larger policy are added once.
        recovery.adopt(&of(5));
        assert_eq!(recovery.bytes(), (4 + Probes::MOST as usize) * 8);
    }
}
