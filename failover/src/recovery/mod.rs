//! Coming back: how long the fallback keeps the calls, and how they return to the primary.
//!
//! What is remembered for that beside the phase. `recover` makes the transitions.

mod admitted;
mod interval;
mod probes;
mod ramp;
mod rules;

use std::sync::OnceLock;

use crate::Policy;
use interval::Intervals;
use ramp::Dealer;
use rules::Board;

pub(crate) use admitted::{Admitted, Place};
pub(crate) use interval::{Growth, Hints, IntervalRules, Jitter, Remembered};
pub(crate) use probes::{Finding, ProbeLease, ProbeRules, Probes, Taken};
pub(crate) use ramp::Ramp;
pub(crate) use rules::RecoveryRules;

/// What a monitor keeps for coming back.
#[derive(Debug)]
pub(crate) struct Recovery {
    board: Board,
    pub(crate) intervals: Intervals,
    pub(crate) dealer: Dealer,
    /// Only where the policy probes.
    probes: OnceLock<Probes>,
    /// Only where a policy that was swapped in has more places than there was room for.
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

    /// Begins anew, for a policy that it [`fits`](Self::fits) or was made for.
    pub(crate) fn renew(&self, policy: &Policy) {
        self.adopt(policy);
        self.intervals.forget();
        self.dealer.forget();
    }

    /// Goes on by another policy, with all that is remembered.
    pub(crate) fn adopt(&self, policy: &Policy) {
        let rules = RecoveryRules::new(policy);
        if let Some(ProbeRules { places, .. }) = rules.probing
            && self.probes.get_or_init(|| Probes::new(places)).room() < places as usize
        {
            self.more_probes.get_or_init(|| Probes::new(Probes::MOST));
        }
        self.board.write(&rules);
    }

    pub(crate) fn rules(&self) -> RecoveryRules {
        self.board.read()
    }

    /// The rules of probing, if the policy probes, and the places of probes by those rules.
    pub(crate) fn probing(&self) -> Option<(ProbeRules, &Probes)> {
        let rules = self.board.read_probing()?;
        let probes = self.probes.get().filter(|probes| probes.room() >= rules.places as usize);
        Some((rules, probes.or_else(|| self.more_probes.get())?))
    }

    /// Whether it has the places that a policy needs, and not many more.
    pub(crate) fn fits(&self, policy: &Policy) -> bool {
        let needed = policy.probing().map_or(0, |probing| probing.places as usize);
        let room = self.probes.get().map_or(0, Probes::room);
        needed <= room && room <= needed.saturating_mul(2)
    }

    pub(crate) fn bytes(&self) -> usize {
        let room = |probes: &OnceLock<Probes>| probes.get().map_or(0, Probes::room);
        (room(&self.probes) + room(&self.more_probes)) * size_of::<u64>()
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::Probing;

    #[test]
    fn it_fits_policies_of_as_many_places_and_of_no_less_than_half() {
        let of = |places| Policy::builder().probing(Probing::new(places)).build().unwrap();
        let (recovery, none) = (Recovery::new(&of(4)), Recovery::new(&Policy::default()));
        assert_eq!(
            [1, 2, 3, 4, 5].map(|n| recovery.fits(&of(n))),
            [false, true, true, true, false]
        );
        assert!(!recovery.fits(&Policy::default()));
        assert!(none.fits(&Policy::default()) && !none.fits(&of(1)));
        assert_eq!((recovery.bytes(), none.bytes()), (4 * 8, 0));
        // What was made for fewer places than a policy has is given more once.
        recovery.adopt(&of(5));
        assert_eq!(recovery.bytes(), (4 + Probes::MOST as usize) * 8);
    }
}
