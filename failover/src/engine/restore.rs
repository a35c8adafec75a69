//! Saving a state, and going on from one.
//!
//! Restoring holds the monitor still as a [swap](crate::engine::reconfigure) does, so that the counts that come
//! back are there before the first call of the new epoch. Other than a swap it is a transition:
//! what was under way before it is of another life, and counts for nothing.

use std::time::Duration;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Kind, Phase};
use crate::engine::reconfigure::Thawed;
use crate::engine::saved::{Saved, SavedPhase, SavedWindow};
use crate::engine::thread_id;
use crate::event::Cause;
use crate::route::Route;

impl Engine {
    pub(crate) fn save(&self, now: Moment) -> Saved {
        loop {
            let (phase, at, options) = (self.settled(), self.at(now), self.options());
            let left = phase.reverts_in(at).unwrap_or_default();
            let is_back = matches!(phase.kind(), Kind::Primary | Kind::Ramping);
            let counting = self.route(phase) == Route::Primary && !phase.is_due(at);
            let (window, run) = if counting {
                let window = self.windows.at(options.slot());
                let kept = window.kept(phase.epoch(), at, options.slow());
                let run = if options.consecutive() { self.streak.length(phase.epoch()) } else { 0 };
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
            if self.phase().with_armed(false) == phase.with_armed(false) {
                return saved;
            }
        }
    }

    /// Goes on from a saved state, `elapsed` after it was saved. For one caller at a time, and none
    /// that swaps the policy.
    pub(crate) fn restore(&self, saved: &Saved, elapsed: Duration, now: Moment) -> Thawed {
        let at = self.at(now);
        let (from, still) = self.freeze();
        let to = self.phase_of(saved, elapsed, still, at);
        let mut run = 0;
        if self.route(to) == Route::Primary {
            let kept = saved.window.kept(elapsed, at);
            thread_id::with(|thread| self.window().seed(thread, to.epoch(), at, &kept));
            if self.options().consecutive() {
                run = saved.run;
                self.streak.begin(to.epoch(), run);
            }
        }
        let interval = self.recovery.rules().interval;
        self.recovery.intervals.recall(&interval, saved.remembered, elapsed, at);
        // Nobody else changes a phase that is frozen.
        self.swap(still, to);
        Thawed { from, to, at, run, cause: Cause::Restored }
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
            SavedPhase::Ramping { left: before } if before > elapsed && !dry_run => {
                rules.ramp.map_or(still.next(Kind::Primary), |ramp| {
                    still.until(Kind::Ramping, at, left(before).min(ramp.over))
                })
            }
            SavedPhase::Ramping { .. } | SavedPhase::Primary => still.next(Kind::Primary),
        }
    }
}
