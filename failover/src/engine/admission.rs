//! Admissions: the route of a call, and the probes among the calls.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Kind, Phase};
use crate::engine::recovery::{Finding, ProbeLease, Taken};
use crate::engine::ticket::Admitted;
use crate::engine::time::{Elapsed, Epoch, When};
use crate::outcome::Outcome;
use crate::route::Route;

impl Engine {
    /// Decides the route of a call that starts now. `Err` sends it to the fallback, with the epoch in
    /// which that was decided. Reads the clock only if the route depends on the time.
    #[inline]
    pub(crate) fn admit(&self, now: impl FnOnce() -> Moment) -> Result<Admitted, Epoch> {
        match self.admit_at_once() {
            Some(epoch) => Ok(Admitted::plain(epoch)),
            None => self.admit_by_time(now()),
        }
    }

    /// The first half of [`admit`](Self::admit): the epoch, if the call goes to the primary at any
    /// time.
    #[inline]
    pub(crate) fn admit_at_once(&self) -> Option<Epoch> {
        let phase = self.transitions.phase();
        let at_once = phase.is_timeless_primary() && !self.transitions.options().stalls();
        at_once.then(|| phase.epoch())
    }

    /// The second half.
    #[inline]
    pub(crate) fn admit_by_time(&self, now: Moment) -> Result<Admitted, Epoch> {
        let (at, phase) = (self.transitions.at(now), self.transitions.phase());
        let stays = phase.kind() == Kind::Fallback && !phase.is_due(at);
        if stays && !self.transitions.options().dry_run() {
            return Err(phase.epoch());
        }
        self.admit_slow(at)
    }

    /// Makes the transition if the time of a phase is over, and looks for stalled calls.
    #[inline(never)]
    fn admit_slow(&self, at: Elapsed) -> Result<Admitted, Epoch> {
        loop {
            let phase = self.transitions.phase();
            if !self.look(phase, at) {
                continue;
            }
            let epoch = phase.admits_in();
            let route = match phase.kind() {
                Kind::Probing => match self.admit_probe(phase, at) {
                    Some(admitted) => return admitted,
                    None => continue,
                },
                Kind::Ramping if !self.deal(phase, at) => Route::Fallback,
                _ => self.transitions.route(phase),
            };
            return match route {
                Route::Primary => Ok(Admitted::plain(epoch)),
                Route::Fallback => Err(epoch),
            };
        }
    }

    /// Makes the transitions that are due: the end of a phase, or a trip by stalled calls. False if the
    /// epoch is over.
    pub(crate) fn look(&self, phase: Phase, at: Elapsed) -> bool {
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
    fn admit_probe(&self, phase: Phase, at: Elapsed) -> Option<Result<Admitted, Epoch>> {
        let (probing, epoch) = (self.transitions.recovery.probing(), phase.epoch());
        let taken = probing.and_then(|(rules, probes)| probes.take(&rules, When { epoch, at }));
        let Some(Taken { lease, from_another }) = taken else { return Some(Err(epoch)) };
        if from_another {
            // The other probe may be waiting for the primary.
            self.transitions.waiters.wake_all();
        }
        if self.transitions.counts(epoch) {
            return Some(Ok(Admitted { probe: Some(lease), ..Admitted::plain(epoch) }));
        }
        self.give_back(lease);
        None
    }

    /// Begins a probe's lease anew. `None` if the probe has lost its permit, or its epoch is over.
    pub(crate) fn renew_lease(
        &self,
        epoch: Epoch,
        lease: ProbeLease,
        now: Moment,
    ) -> Option<ProbeLease> {
        let (rules, probes) = self.transitions.recovery.probing()?;
        let lease = probes.renew(&rules, lease, When { epoch, at: self.transitions.at(now) })?;
        if self.transitions.counts(epoch) {
            return Some(lease);
        }
        self.give_back(lease);
        None
    }

    fn deal(&self, phase: Phase, at: Elapsed) -> bool {
        self.transitions.recovery.rules().ramp.is_none_or(|ramp| {
            let left = phase.reverts_in(at).unwrap_or_default();
            self.transitions.recovery.dealer.deal(&ramp, ramp.over.saturating_sub(left))
        })
    }

    /// A probe of `epoch` ended.
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
        // While probing only a transition changes the phase: if one below fails, another came first.
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

    /// Frees a probe's permit without an outcome. A call that waits for a busy fallback may take it.
    pub(crate) fn give_back(&self, lease: ProbeLease) {
        if let Some((_, probes)) = self.transitions.recovery.probing()
            && probes.give_back(lease)
        {
            self.transitions.waiters.wake_all();
        }
    }
}
