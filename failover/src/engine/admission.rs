//! Admissions: where a call goes, and the probes among them.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Epoch, Kind, Phase};
use crate::engine::recovery::{Admitted, Finding, ProbeLease, Taken};
use crate::outcome::Outcome;
use crate::route::Route;

impl Engine {
    /// The epoch of a call that starts now, if it goes to the primary whatever the time is.
    #[inline]
    pub(crate) fn admit_at_once(&self) -> Option<Epoch> {
        let phase = self.transitions.phase();
        let at_once = phase.is_timeless_primary() && !self.transitions.options().stalls();
        at_once.then(|| phase.epoch())
    }

    /// The epoch of a call that goes to the fallback, as long as the time there lasts. None where it
    /// takes more to decide.
    #[inline]
    pub(crate) fn stays_on_fallback(&self, now: Moment) -> Option<Epoch> {
        let (at, phase) = (self.transitions.at(now), self.transitions.phase());
        let stays = phase.kind() == Kind::Fallback && !phase.is_due(at);
        (stays && !self.transitions.options().dry_run()).then(|| phase.epoch())
    }

    /// The route of a call that starts now. Makes the transition if the time of a phase is over,
    /// and looks for stalled calls.
    #[inline(never)]
    pub(crate) fn admit_by_time(&self, now: Moment) -> Admitted {
        let at = self.transitions.at(now);
        loop {
            let phase = self.transitions.phase();
            if !self.look(phase, at) {
                continue;
            }
            let route = match phase.kind() {
                Kind::Probing => match self.admit_probe(phase, at) {
                    Some(admitted) => return admitted,
                    None => continue,
                },
                Kind::Ramping if !self.deal(phase, at) => Route::Fallback,
                _ => self.transitions.route(phase),
            };
            return Admitted::to(route, phase);
        }
    }

    /// What the time has brought about by now: the end of a phase, or a trip by stalled calls. False
    /// if the epoch is over.
    pub(crate) fn look(&self, phase: Phase, at: u64) -> bool {
        if phase.is_due(at) {
            self.transitions.end_of_time(phase, at);
            return false;
        }
        if self.transitions.options().stalls() {
            self.look_for_stalled(phase, at);
        }
        self.transitions.phase().epoch() == phase.epoch()
    }

    /// `None` if a transition came first.
    fn admit_probe(&self, phase: Phase, at: u64) -> Option<Admitted> {
        let probing = self.transitions.recovery.probing();
        let taken = probing.and_then(|(rules, probes)| probes.take(&rules, phase.epoch(), at));
        let Some(Taken { lease, from_another }) = taken else {
            return Some(Admitted::to(Route::Fallback, phase));
        };
        if from_another {
            // It may be a probe that waits for the primary, and is to wait no more.
            self.transitions.waiters.wake_all();
        }
        if self.transitions.phase().epoch() == phase.epoch() {
            return Some(Admitted { probe: Some(lease), ..Admitted::to(Route::Primary, phase) });
        }
        self.give_back(lease);
        None
    }

    /// Lets a probe's lease begin now. None if it has lost its permit, or its epoch is over.
    pub(crate) fn renew_lease(
        &self,
        epoch: Epoch,
        lease: ProbeLease,
        now: Moment,
    ) -> Option<ProbeLease> {
        let (rules, probes) = self.transitions.recovery.probing()?;
        let lease = probes.renew(&rules, lease, epoch, self.transitions.at(now))?;
        if self.transitions.counts(epoch) {
            return Some(lease);
        }
        self.give_back(lease);
        None
    }

    fn deal(&self, phase: Phase, at: u64) -> bool {
        self.transitions.recovery.rules().ramp.is_none_or(|ramp| {
            let left = phase.reverts_in(at).unwrap_or_default();
            self.transitions.recovery.dealer.deal(&ramp, ramp.over.saturating_sub(left))
        })
    }

    /// A probe of that epoch ended.
    pub(crate) fn record_probe(
        &self,
        epoch: Epoch,
        lease: ProbeLease,
        outcome: Outcome,
        now: Moment,
    ) {
        let transitions = &self.transitions;
        let Some((probing, probes)) = transitions.recovery.probing() else { return };
        // A probe that lost its permit is not counted.
        if !probes.give_back(lease) {
            return;
        }
        if outcome == Outcome::Ignored {
            return transitions.waiters.wake_all();
        }
        let (at, phase) = (transitions.at(now), transitions.phase());
        if phase.epoch() != epoch {
            return;
        }
        if let Outcome::RetryAfter(retry_after) = outcome
            && transitions.options().follows_retry_after()
        {
            transitions.note_retry_after(epoch, now, retry_after);
        }
        // Only a transition changes the phase while probing: one that fails below came too late.
        match probes.count(&probing, epoch, outcome.is_failure()) {
            Finding::Open => transitions.waiters.wake_all(),
            Finding::Recovered => {
                transitions.come_back(phase, at, None);
            }
            Finding::StillFailing => {
                transitions.fail_probes(phase, at);
            }
        }
    }

    /// A probe's permit comes free, without a word about the primary. A call that waits for a busy
    /// fallback may take it.
    pub(crate) fn give_back(&self, lease: ProbeLease) {
        if let Some((_, probes)) = self.transitions.recovery.probing()
            && probes.give_back(lease)
        {
            self.transitions.waiters.wake_all();
        }
    }
}
