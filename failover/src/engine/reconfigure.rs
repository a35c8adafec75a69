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
use crate::engine::phase::{Kind, Phase};
use crate::engine::sync::{Ordering, fence};
use crate::engine::time::{Elapsed, When};
use crate::event::Cause;
use crate::policy::Policy;

/// The work left after a monitor is thawed, outside the lock.
#[derive(Debug)]
#[must_use = "the window has to be evaluated"]
pub(crate) struct Thawed {
    pub(crate) from: Phase,
    pub(crate) to: Phase,
    pub(crate) at: Elapsed,
    pub(crate) streak: u64,
    pub(crate) cause: Cause,
}

impl Engine {
    /// Replaces the policy. For one caller at a time.
    pub(crate) fn swap_policy(&self, policy: &Policy, now: Moment) -> Thawed {
        let (transitions, evidence) = (&self.transitions, &self.evidence);
        let at = transitions.at(now);
        let (from, frozen) = transitions.freeze();
        let (old, new) = (transitions.options(), evidence.options(policy));
        let kept = evidence.window(old).kept(When { epoch: from.epoch(), at });
        // Ordering: a thread that sees any number of the new policy also sees that the old epoch is
        // over.
        fence(Ordering::Release);
        evidence.adopt(policy, new);
        self.dropped.adopt(policy);
        transitions.adopt(policy, new);

        let to = self.phase_after(from, frozen, at, old.dry_run());
        evidence.seed(new, When { epoch: to.epoch(), at }, kept);
        let streak = if old.consecutive() && new.consecutive() {
            evidence.streak.carry(from.epoch(), to.epoch())
        } else {
            0
        };
        transitions.carry_over(from.epoch(), to.epoch());
        transitions.thaw(frozen, to);
        Thawed { from, to, at, streak, cause: Cause::PolicySwapped }
    }

    /// Announces the change made while the monitor was frozen, and evaluates the window.
    pub(crate) fn thawed(&self, Thawed { from, to, at, streak, cause }: Thawed) {
        self.transitions.announce(from, to, cause);
        self.evaluate(When { epoch: to.epoch(), at }, streak);
    }

    /// The phase after a swap: the same as before, if the new policy has it.
    fn phase_after(&self, from: Phase, frozen: Phase, at: Elapsed, was_dry_run: bool) -> Phase {
        let dry_run = self.transitions.options().dry_run();
        let ramps = self.transitions.recovery.rules().ramp.is_some() && !dry_run;
        match from.kind() {
            // A dry run's trip must not begin to divert calls: the window is evaluated instead.
            Kind::Fallback if was_dry_run && !dry_run => frozen.next(Kind::Primary),
            // Probes in flight belong to the old policy: the next admission begins the way back by
            // the new one.
            Kind::Probing => frozen.due(Kind::Fallback, at),
            Kind::Ramping if !ramps => frozen.next(Kind::Primary),
            _ => frozen.thaw(from),
        }
    }
}
