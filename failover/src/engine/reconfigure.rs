//! Replaces the policy while calls are in flight.
//!
//! A swap freezes the monitor while it writes the new numbers: calls keep their route and are not
//! counted. It begins two epochs, before the first write and after the last.
//!
//! # Why nothing is evaluated by two policies
//! A thread that reads numbers of both holds the old phase, so its compare-and-swap fails.
//!
//! # Why nothing is counted twice
//! One thread reads the window after its epoch is over, and writes the counts to its own shard
//! before the next one begins. A call counted at that moment is either read or lost with the old
//! epoch.
//!
//! # Calls in flight
//! Calls in flight during a swap end in a later epoch. Unlike after a transition they still count:
//! a swap says nothing about the primary's health. A result is counted in the current epoch if only
//! swaps lie between; a call whose epoch is current does not pay for this.
//!
//! # Why no trip is missed
//! The swapping thread evaluates by the new policy at the end.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Epoch, Kind, Phase};
use crate::engine::rules::Options;
use crate::engine::sync::{Ordering, fence};
use crate::engine::thread_id;
use crate::event::Cause;
use crate::policy::Policy;
use crate::route::Route;

/// The work left after a monitor is thawed, outside the lock.
#[derive(Debug)]
#[must_use = "the window has to be evaluated"]
pub(crate) struct Thawed {
    pub(crate) from: Phase,
    pub(crate) to: Phase,
    pub(crate) at: u64,
    pub(crate) run: u64,
    pub(crate) cause: Cause,
}

impl Engine {
    /// The current epoch, if `epoch` still counts in it and it counts calls to the primary.
    #[cold]
    pub(crate) fn carry(&self, epoch: Epoch) -> Option<Epoch> {
        let phase = self.phase();
        let counts = self.route(phase) == Route::Primary && phase.kind() != Kind::Frozen;
        (counts && self.carried.counts_in(epoch, phase.epoch())).then(|| phase.epoch())
    }

    /// Replaces the policy. For one caller at a time.
    pub(crate) fn swap_policy(&self, policy: &Policy, now: Moment) -> Thawed {
        let at = self.at(now);
        let (from, frozen) = self.freeze();
        let old = self.options();
        let new = Options::new(policy, self.windows.slot(policy));
        let kept = self.window().kept(from.epoch(), at, old.slow() && new.slow());
        // Ordering: a thread that sees any number of the new policy also sees that the old epoch is
        // over.
        fence(Ordering::Release);
        self.windows.adopt(new.slot(), policy);
        self.watch_flights(policy);
        self.recovery.adopt(policy);
        self.rules.set(policy);
        self.set_options(new);

        let to = self.phase_after(from, frozen, at, old.dry_run());
        thread_id::with(|thread| self.window().seed(thread, to.epoch(), at, &kept));
        let run = if old.consecutive() && new.consecutive() {
            self.streak.carry(from.epoch(), to.epoch())
        } else {
            0
        };
        self.recovery.intervals.carry_retry_after(from.epoch(), to.epoch());
        self.carried.extend(from.epoch(), to.epoch());
        // No other thread changes a frozen phase.
        self.swap(frozen, to);
        Thawed { from, to, at, run, cause: Cause::PolicySwapped }
    }

    /// Announces the change made while the monitor was frozen, and evaluates the window.
    pub(crate) fn thawed(&self, Thawed { from, to, at, run, cause }: Thawed) {
        self.announce(from, to, cause);
        self.evaluate(to.epoch(), at, run);
    }

    /// Freezes the monitor. Returns the phase before, and the frozen one.
    pub(crate) fn freeze(&self) -> (Phase, Phase) {
        loop {
            let phase = self.phase();
            // During a ramp the primary must not get all calls at once.
            let returning = phase.kind() == Kind::Ramping;
            let route = if returning { Route::Fallback } else { self.route(phase) };
            let frozen = phase.frozen(route);
            if self.swap(phase, frozen) {
                return (phase, frozen);
            }
        }
    }

    /// The phase after a swap: the same as before, if the new policy has it.
    fn phase_after(&self, from: Phase, frozen: Phase, at: u64, was_dry_run: bool) -> Phase {
        let returns = self.recovery.rules().ramp.is_some() && !self.options().dry_run();
        match from.kind() {
            // A dry run's trip must not begin to divert calls: the window is evaluated instead.
            Kind::Fallback if was_dry_run && !self.options().dry_run() => {
                frozen.next(Kind::Primary)
            }
            // Probes in flight belong to the old policy: the next admission begins the way back by
            // the new one.
            Kind::Probing => frozen.due(Kind::Fallback, at),
            Kind::Ramping if !returns => frozen.next(Kind::Primary),
            _ => frozen.thaw(from),
        }
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::ratio::Ratio;
    use std::time::Duration;

    #[test]
    fn a_rehearsed_trip_diverts_no_call_while_the_monitor_is_frozen() {
        for (dry_run, route) in [(true, Route::Primary), (false, Route::Fallback)] {
            let builder = Policy::builder();
            let builder = if dry_run { builder.dry_run() } else { builder };
            let engine = Engine::new(&builder.build().unwrap(), Moment::default(), 1);
            let phase = engine.phase();
            assert!(engine.swap(phase, phase.until(Kind::Fallback, 0, Duration::from_secs(60))));
            engine.freeze();
            let admitted = engine.admit_by_time(Moment::default());
            assert_eq!(admitted.route, route);
        }
    }

    #[test]
    fn a_frozen_ramp_sends_calls_to_the_fallback() {
        let builder = Policy::builder().ramp_up(Ratio::HALF, Duration::from_secs(60));
        let engine = Engine::new(&builder.build().unwrap(), Moment::default(), 1);
        for (kind, route) in [(Kind::Ramping, Route::Fallback), (Kind::Primary, Route::Primary)] {
            let phase = engine.phase();
            let before = phase.until(kind, 0, Duration::from_secs(60));
            assert!(engine.swap(phase, before));
            let (from, frozen) = engine.freeze();
            assert_eq!((from, frozen.kind(), frozen.route()), (before, Kind::Frozen, route));
        }
    }
}
