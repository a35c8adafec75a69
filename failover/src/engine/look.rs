//! What a waiting call asks the engine: whether its route still stands, and when to ask again.

use std::task::Waker;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::Kind;
use crate::engine::recovery::ProbeLease;
use crate::engine::time::{Epoch, When};
use crate::engine::waiters::Waiter;

/// The permit of a probe, for a waiting call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// The call takes none.
    None,
    /// The call would take one that becomes free.
    Wanted,
    /// The call holds one, with this lease.
    Held(ProbeLease),
}

impl Engine {
    /// Whether a waiting call that was admitted in `epoch` keeps its route, after a look at the time.
    /// `while_probing`: also while probing; otherwise a permit may be free for the call.
    pub(crate) fn stands(&self, epoch: Epoch, while_probing: bool, now: Moment) -> bool {
        self.look(self.transitions.phase(), self.transitions.at(now));
        let phase = self.transitions.phase();
        phase.admits_in() == epoch && (while_probing || phase.kind() != Kind::Probing)
    }

    /// When a waiting call has to look at the time again, `now` if that is over: at the end of the
    /// phase, when another call may have stalled, or at the end of a probe's lease, its own or
    /// another's.
    pub(crate) fn next_look(&self, lease: Option<ProbeLease>, now: Moment) -> Option<Moment> {
        let (at, phase) = (self.transitions.at(now), self.transitions.phase());
        let stalls =
            self.evidence.flights(self.transitions.options()).filter(|_| phase.is_evaluated());
        let is_probing = phase.kind() == Kind::Probing;
        let others = || self.transitions.recovery.probing().filter(|_| is_probing);
        let others = || others().map(|(rules, _)| at.plus(rules.lease));
        let looks = [
            phase.reverts_in(at).map(|left| at.plus(left)),
            stalls.map(|flights| flights.next_look(When { epoch: phase.epoch(), at })),
            lease.map(ProbeLease::ends).or_else(others),
        ];
        let next = looks.into_iter().flatten().min()?;
        Some(now.plus(next.since(at)))
    }

    /// Registers a waiting call that was admitted in `epoch`. False if its decision no longer stands:
    /// a change before this call woke no task.
    pub(crate) fn wait_in(
        &self,
        epoch: Epoch,
        permit: Permit,
        waiter: Option<Waiter>,
        waker: &Waker,
    ) -> (Waiter, bool) {
        // The entry first, then the phase and the permits, which are written before the waiters are
        // woken: of a wait and a change at the same time one sees the other.
        let waiter = self.transitions.waiters.wait(waiter, waker);
        let stands = match permit {
            Permit::None => true,
            Permit::Wanted => !self.has_permit(),
            Permit::Held(lease) => self.is_held(lease),
        };
        (waiter, stands && self.transitions.phase().admits_in() == epoch)
    }

    /// Whether a call that is admitted now could be a probe.
    fn has_permit(&self) -> bool {
        let probing = || self.transitions.recovery.probing();
        let is_free = || probing().is_some_and(|(rules, probes)| probes.has_free(&rules));
        self.transitions.phase().kind() == Kind::Probing && is_free()
    }

    /// Whether a waiting probe still holds its permit, and its lease is not over.
    pub(crate) fn holds(&self, lease: ProbeLease, now: Moment) -> bool {
        self.is_held(lease) && self.transitions.at(now) < lease.ends()
    }

    fn is_held(&self, lease: ProbeLease) -> bool {
        self.transitions.recovery.probing().is_some_and(|(_, probes)| probes.is_held(lease))
    }
}
