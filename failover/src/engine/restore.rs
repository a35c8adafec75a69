//! Saves a state, and restores it.
//!
//! A restore freezes the monitor as a [swap](crate::engine::reconfigure) does, so that the counts
//! are there before the new epoch's first call. Unlike a swap it is a transition: calls admitted
//! before are not counted.

use std::time::Duration;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Kind, Phase};
use crate::engine::reconfigure::Thawed;
use crate::engine::saved::{Saved, SavedPhase, SavedWindow};
use crate::engine::time::{Elapsed, When};
use crate::event::Cause;
use crate::route::Route;

impl Engine {
    pub(crate) fn save(&self, now: Moment) -> Saved {
        let transitions = &self.transitions;
        loop {
            let (phase, at) = (transitions.settled(), transitions.at(now));
            let options = transitions.options();
            let left = phase.reverts_in(at).unwrap_or_default();
            let is_back = matches!(phase.kind(), Kind::Primary | Kind::Ramping);
            let counting = transitions.route(phase) == Route::Primary && !phase.is_due(at);
            let (window, streak) = if counting {
                let kept = self.evidence.window(options).kept(When { epoch: phase.epoch(), at });
                (SavedWindow::new(kept, at), self.evidence.streak(options, phase.epoch()))
            } else {
                (SavedWindow::EMPTY, 0)
            };
            let saved = Saved {
                phase: SavedPhase::of(phase.kind(), left),
                dry_run: options.dry_run(),
                window,
                streak,
                remembered: transitions.recovery.intervals.remembered(is_back, at),
            };
            // The counts belong to this phase only if it has not changed meanwhile.
            if transitions.phase().with_armed(false) == phase.with_armed(false) {
                return saved;
            }
        }
    }

    /// Continues from a saved state, `elapsed` after it was saved. For one caller at a time, and
    /// not during a swap of the policy.
    pub(crate) fn restore(&self, saved: &Saved, elapsed: Duration, now: Moment) -> Thawed {
        let (transitions, evidence) = (&self.transitions, &self.evidence);
        let at = transitions.at(now);
        let (from, frozen) = transitions.freeze();
        let to = self.phase_of(saved, elapsed, frozen, at);
        let mut streak = 0;
        if transitions.route(to) == Route::Primary {
            let (options, kept) = (transitions.options(), saved.window.kept(elapsed, at));
            evidence.seed(options, When { epoch: to.epoch(), at }, kept);
            if options.consecutive() {
                streak = saved.streak;
                evidence.streak.begin(to.epoch(), streak);
            }
        }
        let (rules, intervals) = (transitions.recovery.rules(), &transitions.recovery.intervals);
        intervals.recall(&rules.interval, saved.remembered, elapsed, at);
        transitions.thaw(frozen, to);
        Thawed { from, to, at, streak, cause: Cause::Restored }
    }

    /// The phase that continues a saved one under the policy in force.
    fn phase_of(&self, saved: &Saved, elapsed: Duration, frozen: Phase, at: Elapsed) -> Phase {
        let (rules, dry_run) =
            (self.transitions.recovery.rules(), self.transitions.options().dry_run());
        let left = |left: Duration| left.saturating_sub(elapsed);
        match saved.phase {
            SavedPhase::ForcedPrimary => frozen.next(Kind::ForcedPrimary),
            SavedPhase::ForcedFallback => frozen.next(Kind::ForcedFallback),
            // As with a swap, a dry run's trip diverts no calls afterwards.
            _ if saved.dry_run && !dry_run => frozen.next(Kind::Primary),
            SavedPhase::Fallback { left: before } if before > elapsed => {
                frozen.until(Kind::Fallback, at, left(before))
            }
            // The next admission begins the way back by the policy in force.
            SavedPhase::Fallback { .. } | SavedPhase::Probing => frozen.due(Kind::Fallback, at),
            SavedPhase::Ramping { left: before } if before > elapsed && !dry_run => {
                rules.ramp.map_or(frozen.next(Kind::Primary), |ramp| {
                    frozen.until(Kind::Ramping, at, left(before).min(ramp.over))
                })
            }
            SavedPhase::Ramping { .. } | SavedPhase::Primary => frozen.next(Kind::Primary),
        }
    }
}
