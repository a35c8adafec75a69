//! What a call that waits asks the algorithm: whether it is still to go where it was sent, and when to
//! ask again.

use std::task::Waker;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Epoch, Kind};
use crate::engine::recovery::{Place, ProbeLease};
use crate::engine::rules::nanos;
use crate::engine::waiters::Waiter;

impl Engine {
    /// Whether a call that waits, and was sent somewhere in that epoch, is still to go there, after a
    /// look at the time. While probing, only if asked: a place may have come free for a call that waits
    /// for the fallback.
    pub(crate) fn stands(&self, epoch: Epoch, while_probing: bool, now: Moment) -> bool {
        self.look(self.transitions.phase(), self.transitions.at(now));
        let phase = self.transitions.phase();
        phase.admits_in() == epoch && (while_probing || phase.kind() != Kind::Probing)
    }

    /// When a call that waits has to look at the time again: at the end of the phase, when another call
    /// may be found stalled, or at the end of a probe's lease, its own or another's.
    pub(crate) fn next_look(&self, lease: Option<ProbeLease>, now: Moment) -> Option<Moment> {
        let (at, phase) = (self.transitions.at(now), self.transitions.phase());
        let stalls =
            self.evidence.flights(self.transitions.options()).filter(|_| phase.is_evaluated());
        let is_probing = phase.kind() == Kind::Probing;
        let others = || self.transitions.recovery.probing().filter(|_| is_probing);
        let others = || others().map(|(rules, _)| at.saturating_add(nanos(rules.lease)));
        let looks = [
            phase.reverts_in(at).map(|left| at.saturating_add(nanos(left))),
            stalls.map(|flights| flights.next_bucket(at)),
            lease.map(ProbeLease::ends).or_else(others),
        ];
        looks.into_iter().flatten().min().map(|at| self.transitions.moment(at))
    }

    /// Waits for a change of what a call was told when it was admitted in that epoch. False if there is
    /// no need to: a change that came before this woke nobody.
    pub(crate) fn wait_in(
        &self,
        epoch: Epoch,
        place: Place,
        waiter: Option<Waiter>,
        waker: &Waker,
    ) -> (Waiter, bool) {
        // Phase and places are read after the entry, as they are written before the entries are woken:
        // of a wait and a change at the same time one sees the other.
        let waiter = self.transitions.waiters.wait(waiter, waker);
        let as_told = match place {
            Place::None => true,
            Place::Wanted => !self.has_place(),
            Place::Held(lease) => self.is_held(lease),
        };
        (waiter, as_told && self.transitions.phase().admits_in() == epoch)
    }

    /// Whether a call could be a probe, if it were admitted again.
    fn has_place(&self) -> bool {
        let probing = || self.transitions.recovery.probing();
        let is_free = || probing().is_some_and(|(rules, probes)| probes.has_free(&rules));
        self.transitions.phase().kind() == Kind::Probing && is_free()
    }

    /// Whether a probe that waits has its place still.
    pub(crate) fn is_held(&self, lease: ProbeLease) -> bool {
        self.transitions.recovery.probing().is_some_and(|(_, probes)| probes.is_held(lease))
    }
}
