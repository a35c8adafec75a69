//! Making the way back to the primary, by the admissions and the probes that meet it.
//!
//! ```text
//!              time over                 enough successes
//!   Fallback ────────────► Probing ─────────────────────────► Returning ──────► Primary
//!      ▲  │                   │      (or Primary at once)         │   time over
//!      │  │ no probing        │ too many failures                │
//!      │  └───────────────────┼──────────────► Returning          │
//!      │                      │         (or Primary at once)      │
//!      └──────────────────────┴───────────────────────────────────┘ trip
//! ```

use crate::clock::Moment;
use crate::event::Cause;
use crate::phase::{Epoch, Kind, Phase};
use crate::recovery::{Admitted, Finding, ProbeLease, RecoveryRules};
use crate::shared::Shared;
use crate::{Outcome, Route};

impl Shared {
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
        let (at, mut phase) = (self.at(now), self.phase());
        loop {
            match phase.kind() {
                Kind::Fallback | Kind::Returning if phase.is_due(at) => {
                    self.end_of_time(phase, at);
                }
                Kind::Fallback => return Admitted::to(self.route(phase), phase),
                Kind::Still => return Admitted::to(phase.route(), phase),
                Kind::Probing => {
                    if let Some(admitted) = self.admit_probe(phase, at) {
                        return admitted;
                    }
                }
                kind => {
                    if self.options().stalls() {
                        self.look_for_stalled(phase, at);
                    }
                    if self.phase().epoch() == phase.epoch() {
                        let to_primary = kind != Kind::Returning || self.deal(phase, at);
                        let route = if to_primary { phase.route() } else { Route::Fallback };
                        return Admitted::to(route, phase);
                    }
                }
            }
            phase = self.phase();
        }
    }

    /// `None` if a transition came first.
    fn admit_probe(&self, phase: Phase, at: u64) -> Option<Admitted> {
        let lease = self.recovery.rules().probing.and_then(|rules| {
            self.recovery.probes(&rules).and_then(|probes| probes.take(&rules, phase.epoch(), at))
        });
        let Some(lease) = lease else { return Some(Admitted::to(Route::Fallback, phase)) };
        if self.phase().epoch() == phase.epoch() {
            return Some(Admitted { probe: Some(lease), ..Admitted::to(Route::Primary, phase) });
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
            Some(ramp) if phase.kind() != Kind::Returning => {
                let cause = early.unwrap_or(Cause::Returning { over: ramp.over });
                (phase.until(Kind::Returning, at, ramp.over), cause)
            }
            _ => (phase.next(Kind::Primary), early.unwrap_or(Cause::Reverted)),
        };
        let swapped = self.swap(phase, next);
        if swapped {
            if phase.kind() != Kind::Returning {
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
        let rules = self.recovery.rules();
        let Some(probes) = rules.probing.and_then(|rules| self.recovery.probes(&rules)) else {
            return;
        };
        // One that lost its place to another is not heard.
        if !probes.give_back(lease) || outcome == Outcome::Ignored {
            return;
        }
        let (at, phase) = (self.at(now), self.phase());
        let Some(probing) = rules.probing.filter(|_| phase.epoch() == epoch) else { return };
        if let Outcome::FailureWithHint { retry_after } = outcome
            && rules.interval.hints.is_some()
        {
            self.recovery.intervals.hinted(epoch, at, retry_after);
        }
        // Nothing but a transition changes the phase while it is probing: who loses a swap below
        // has come too late.
        match probes.count(&probing, epoch, outcome.is_failure()) {
            Finding::Open => {}
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

    /// A probe's place comes free, without a word about the primary.
    pub(crate) fn give_back(&self, lease: ProbeLease) {
        let rules = self.recovery.rules().probing;
        if let Some(probes) = rules.and_then(|rules| self.recovery.probes(&rules)) {
            probes.give_back(lease);
        }
    }
}
