//! Making the way back to the primary, by the admissions and the probes that meet it.
//!
//! ```text
//!              time over                 enough successes
//!   Fallback ────────────► Probing ─────────────────────────► Ramping ──────► Primary
//!      ▲  │                   │      (or Primary at once)         │   time over
//!      │  │ no probing        │ too many failures                │
//!      │  └───────────────────┼──────────────► Ramping          │
//!      │                      │         (or Primary at once)      │
//!      └──────────────────────┴───────────────────────────────────┘ trip
//! ```

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Epoch, Kind, Phase};
use crate::engine::recovery::{Admitted, Finding, ProbeLease, RecoveryRules, Taken};
use crate::event::Cause;
use crate::outcome::Outcome;
use crate::route::Route;

impl Engine {
    /// The epoch of a call that goes to the fallback, as long as the time there lasts. None where it
    /// takes more to decide.
    #[inline]
    pub(crate) fn stays_on_fallback(&self, now: Moment) -> Option<Epoch> {
        let (at, phase) = (self.at(now), self.phase());
        let stays = phase.kind() == Kind::Fallback && !phase.is_due(at);
        (stays && !self.options().dry_run()).then(|| phase.epoch())
    }

    /// The route of a call that starts now. Makes the transition if the time of a phase is over,
    /// and looks for stalled calls.
    #[inline(never)]
    pub(crate) fn admit_by_time(&self, now: Moment) -> Admitted {
        let at = self.at(now);
        loop {
            let phase = self.phase();
            if !self.look(phase, at) {
                continue;
            }
            let route = match phase.kind() {
                Kind::Probing => match self.admit_probe(phase, at) {
                    Some(admitted) => return admitted,
                    None => continue,
                },
                Kind::Ramping if !self.deal(phase, at) => Route::Fallback,
                _ => self.route(phase),
            };
            return Admitted::to(route, phase);
        }
    }

    /// What the time has brought about by now: the end of a phase, or a trip by stalled calls. False
    /// if the epoch is over.
    pub(crate) fn look(&self, phase: Phase, at: u64) -> bool {
        if phase.is_due(at) {
            self.end_of_time(phase, at);
            return false;
        }
        if self.options().stalls() {
            self.look_for_stalled(phase, at);
        }
        self.phase().epoch() == phase.epoch()
    }

    /// `None` if a transition came first.
    fn admit_probe(&self, phase: Phase, at: u64) -> Option<Admitted> {
        let probing = self.recovery.probing();
        let taken = probing.and_then(|(rules, probes)| probes.take(&rules, phase.epoch(), at));
        let Some(Taken { lease, from_another }) = taken else {
            return Some(Admitted::to(Route::Fallback, phase));
        };
        if from_another {
            // It may be a probe that waits for the primary, and is to wait no more.
            self.waiters.wake_all();
        }
        if self.phase().epoch() == phase.epoch() {
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
        let (rules, probes) = self.recovery.probing()?;
        let lease = probes.renew(&rules, lease, epoch, self.at(now))?;
        if self.counts(epoch) {
            return Some(lease);
        }
        self.give_back(lease);
        None
    }

    fn deal(&self, phase: Phase, at: u64) -> bool {
        self.recovery.rules().ramp.is_none_or(|ramp| {
            let left = phase.reverts_in(at).unwrap_or_default();
            self.recovery.dealer.deal(&ramp, ramp.over.saturating_sub(left))
        })
    }

    /// The time of a phase is over: the first who sees it makes the transition.
    fn end_of_time(&self, phase: Phase, at: u64) {
        let rules = self.recovery.rules();
        let probes = rules.probing.is_some() && !self.options().dry_run();
        if phase.kind() == Kind::Fallback && probes {
            let next = phase.next(Kind::Probing);
            if self.swap(phase, next) {
                self.announce(phase, next, Cause::Probing);
            }
        } else {
            self.come_back(&rules, phase, at, None);
        }
    }

    /// Calls go to the primary again: gradually, unless that is what ends here. In a dry run none
    /// has left it. `early` is the cause if it is not that the time is over.
    fn come_back(
        &self,
        rules: &RecoveryRules,
        phase: Phase,
        at: u64,
        early: Option<Cause>,
    ) -> bool {
        let (next, cause) = match rules.ramp {
            _ if self.options().dry_run() => (phase.next(Kind::Primary), Cause::WouldRevert),
            Some(ramp) if phase.kind() != Kind::Ramping => {
                let cause = early.unwrap_or(Cause::Ramping { over: ramp.over });
                (phase.until(Kind::Ramping, at, ramp.over), cause)
            }
            _ => (phase.next(Kind::Primary), early.unwrap_or(Cause::Reverted)),
        };
        let swapped = self.swap(phase, next);
        if swapped {
            if phase.kind() != Kind::Ramping {
                self.recovery.intervals.reverted(at);
            }
            self.announce(phase, next, cause);
        }
        swapped
    }

    /// Ends the time on the fallback before its deadline, if the phase still is that of the epoch
    /// with this number, or of any where there is none. True if it did. Without a `cause` observers
    /// are told that it reverted.
    pub(crate) fn revert_now(&self, epoch: Option<u32>, cause: Option<Cause>, now: Moment) -> bool {
        loop {
            let phase = self.settled();
            let is_meant = epoch.is_none_or(|number| phase.epoch().number() == number);
            if !is_meant || !matches!(phase.kind(), Kind::Fallback | Kind::Probing) {
                return false;
            }
            if self.come_back(&self.recovery.rules(), phase, self.at(now), cause) {
                return true;
            }
        }
    }

    /// A probe of that epoch ended.
    pub(crate) fn record_probe(
        &self,
        epoch: Epoch,
        lease: ProbeLease,
        outcome: Outcome,
        now: Moment,
    ) {
        let Some((probing, probes)) = self.recovery.probing() else { return };
        // One that lost its permit to another is not heard.
        if !probes.give_back(lease) {
            return;
        }
        if outcome == Outcome::Ignored {
            return self.waiters.wake_all();
        }
        let (at, phase) = (self.at(now), self.phase());
        if phase.epoch() != epoch {
            return;
        }
        let rules = self.recovery.rules();
        if let Outcome::RetryAfter(retry_after) = outcome
            && rules.interval.retry_after.is_some()
        {
            self.recovery.intervals.note_retry_after(epoch, at, retry_after);
        }
        // Nothing but a transition changes the phase while it is probing: who loses a swap below
        // has come too late.
        match probes.count(&probing, epoch, outcome.is_failure()) {
            Finding::Open => self.waiters.wake_all(),
            Finding::Recovered => {
                self.come_back(&rules, phase, at, None);
            }
            Finding::StillFailing => {
                let interval = &rules.interval;
                let revert_after = self.recovery.intervals.next(interval, epoch, at, false);
                let tripped = phase.until(Kind::Fallback, at, revert_after);
                if self.swap(phase, tripped) {
                    self.recovery.intervals.tripped(interval, at, false);
                    self.announce(phase, tripped, Cause::ProbesFailed { revert_after });
                }
            }
        }
    }

    /// A probe's permit comes free, without a word about the primary. A call that waits for a busy
    /// fallback may take it.
    pub(crate) fn give_back(&self, lease: ProbeLease) {
        if let Some((_, probes)) = self.recovery.probing()
            && probes.give_back(lease)
        {
            self.waiters.wake_all();
        }
    }
}
