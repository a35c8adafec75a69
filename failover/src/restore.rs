//! Saving a state, and going on from one.
//!
//! Restoring holds the monitor still as a [swap](crate::swap) does, so that the counts that come
//! back are there before the first call of the new epoch. Other than a swap it is a transition:
//! what was under way before it is of another life, and counts for nothing.

use std::time::Duration;

use crate::clock::Moment;
use crate::event::Cause;
use crate::phase::{Kind, Phase};
use crate::saved::{Saved, SavedPhase, SavedWindow};
use crate::shared::Shared;
use crate::swap::Resumed;
use crate::{Route, slot};

impl Shared {
    pub(crate) fn save(&self, now: Moment) -> Saved {
        loop {
            let (phase, at, options) = (self.settled(), self.at(now), self.options());
            let left = phase.reverts_in(at).unwrap_or_default();
            let is_back = matches!(phase.kind(), Kind::Primary | Kind::Returning);
            let counting = self.route(phase) == Route::Primary && !phase.is_due(at);
            let (window, run) = if counting {
                let window = self.windows.at(options.place());
                let kept = window.kept(phase.epoch(), at, options.slow());
                let run = if options.consecutive() { self.run.length(phase.epoch()) } else { 0 };
                (SavedWindow::new(kept, at), run)
            } else {
                (SavedWindow::EMPTY, 0)
            };
            let saved = Saved {
                phase: SavedPhase::of(phase.kind(), left),
                dry_run: options.dry_run(),
                window,
                run,
                remembered: self.recovery.intervals.remembered(is_back, at),
            };
            // The counts belong to the phase only if it still is the same.
            if self.phase().with_unease(false) == phase.with_unease(false) {
                return saved;
            }
        }
    }

    /// Goes on from a saved state, `elapsed` after it was saved. For one caller at a time, and none
    /// that swaps the policy.
    pub(crate) fn restore(&self, saved: &Saved, elapsed: Duration, now: Moment) -> Resumed {
        let at = self.at(now);
        let (from, still) = self.hold_still();
        let to = self.phase_of(saved, elapsed, still, at);
        let mut run = 0;
        if self.route(to) == Route::Primary {
            let kept = saved.window.kept(elapsed, at);
            slot::with(|slot| self.window().seed(slot, to.epoch(), at, &kept));
            if self.options().consecutive() {
                run = saved.run;
                self.run.begin(to.epoch(), run);
            }
        }
        let interval = self.recovery.rules().interval;
        self.recovery.intervals.recall(&interval, saved.remembered, elapsed, at);
        // Nobody else changes a phase that is held still.
        self.swap(still, to);
        Resumed { from, to, at, run, cause: Cause::Restored }
    }

    /// What the policy in force makes of a saved phase.
    fn phase_of(&self, saved: &Saved, elapsed: Duration, still: Phase, at: u64) -> Phase {
        let (rules, dry_run) = (self.recovery.rules(), self.options().dry_run());
        let left = |left: Duration| left.saturating_sub(elapsed);
        match saved.phase {
            SavedPhase::ForcedPrimary => still.next(Kind::ForcedPrimary),
            SavedPhase::ForcedFallback => still.next(Kind::ForcedFallback),
            // As with a swap: what was rehearsed diverts nobody afterwards.
            _ if saved.dry_run && !dry_run => still.next(Kind::Primary),
            SavedPhase::Fallback { left: before } if before > elapsed => {
                still.until(Kind::Fallback, at, left(before))
            }
            // The next admission begins the way back by the policy in force.
            SavedPhase::Fallback { .. } | SavedPhase::Probing => still.due(Kind::Fallback, at),
            SavedPhase::Returning { left: before } if before > elapsed && !dry_run => {
                rules.ramp.map_or(still.next(Kind::Primary), |ramp| {
                    still.until(Kind::Returning, at, left(before).min(ramp.over))
                })
            }
            SavedPhase::Returning { .. } | SavedPhase::Primary => still.next(Kind::Primary),
        }
    }
}
