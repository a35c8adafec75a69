//! Another policy while calls are under way.
//!
//! A swap holds the monitor still for as long as it takes to write the new numbers down: in a phase
//! of its own, in which calls go where they went before and count for nothing. So it begins two
//! epochs, one before the first number changes and one after the last.
//!
//! # Why nothing is evaluated by two policies
//! Who reads numbers of both holds a phase from before, and its compare-and-swap fails.
//!
//! # Why nothing is counted twice
//! What the window holds is read when its epoch is over, and put into the next one before that
//! begins, by one thread, in that thread's own shard. A call that is being counted at that very
//! moment is read, or it is lost with the epoch.
//!
//! # Calls under way
//! They were admitted by an epoch that is over when they end. Other than after a transition they
//! are no late results: a swap is no word about the primary. So a result looks for its epoch among
//! those that only swaps have ended since, and counts in the one that runs. This happens off the
//! way of a call whose epoch still runs.
//!
//! # Why no trip is missed
//! Whoever swapped evaluates by the new numbers at the end, as whoever counted does.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::phase::{Epoch, Kind, Phase};
use crate::engine::rules::Options;
use crate::engine::sync::{AtomicU64, Ordering, fence};
use crate::engine::thread_id;
use crate::event::Cause;
use crate::policy::Policy;
use crate::route::Route;

/// What is left to do when a monitor that was frozen goes on, and nothing is locked any more.
#[derive(Debug)]
#[must_use = "the window has to be evaluated"]
pub(crate) struct Thawed {
    pub(crate) from: Phase,
    pub(crate) to: Phase,
    pub(crate) at: u64,
    pub(crate) run: u64,
    pub(crate) cause: Cause,
}

/// The epochs that live on in a running one, since only swaps lie between: from the lowest bit, 20
/// bits of the first and 20 of the one that runs. None lives on where the two are the same.
#[derive(Debug, Default)]
pub(crate) struct Carried(AtomicU64);

impl Carried {
    fn bounds(&self) -> (Epoch, Epoch) {
        // Ordering: Acquire pairs with `extend`; whoever sees the last epoch in the phase sees it
        // here, as the phase is written later.
        let word = self.0.load(Ordering::Acquire);
        (Epoch::from_number(word), Epoch::from_number(word >> Epoch::BITS))
    }

    /// Lets `from`, and what lives on in it, live on in `to`, which has not begun.
    fn extend(&self, from: Epoch, to: Epoch) {
        let (first, last) = self.bounds();
        let first = if last == from { first } else { from };
        let word = u64::from(first.number()) | u64::from(to.number()) << Epoch::BITS;
        self.0.store(word, Ordering::Release);
    }

    /// Lets none live on.
    pub(crate) fn forget(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Whether that epoch lives on in the other.
    fn lives_on(&self, epoch: Epoch, running: Epoch) -> bool {
        let (first, last) = self.bounds();
        last == running && epoch.epochs_after(first) < last.epochs_after(first)
    }
}

impl Engine {
    /// The running epoch, if that one lives on in it and it counts calls to the primary.
    #[cold]
    pub(crate) fn carry(&self, epoch: Epoch) -> Option<Epoch> {
        let phase = self.phase();
        let counts = self.route(phase) == Route::Primary && phase.kind() != Kind::Frozen;
        (counts && self.carried.lives_on(epoch, phase.epoch())).then(|| phase.epoch())
    }

    /// Puts another policy in force. For one caller at a time.
    pub(crate) fn swap_policy(&self, policy: &Policy, now: Moment) -> Thawed {
        let at = self.at(now);
        let (from, still) = self.freeze();
        let old = self.options();
        let new = Options::new(policy, self.windows.slot(policy));
        let kept = self.window().kept(from.epoch(), at, old.slow() && new.slow());
        // Ordering: who sees anything of the new policy also sees that the old epoch is over.
        fence(Ordering::Release);
        self.windows.adopt(new.slot(), policy);
        self.watch_flights(policy);
        self.recovery.adopt(policy);
        self.rules.set(policy);
        self.set_options(new);

        let to = self.phase_after(from, still, at, old.dry_run());
        thread_id::with(|thread| self.window().seed(thread, to.epoch(), at, &kept));
        let run = if old.consecutive() && new.consecutive() {
            self.streak.carry(from.epoch(), to.epoch())
        } else {
            0
        };
        self.recovery.intervals.carry_hint(from.epoch(), to.epoch());
        self.carried.extend(from.epoch(), to.epoch());
        // Nobody else changes a phase that is frozen.
        self.swap(still, to);
        Thawed { from, to, at, run, cause: Cause::PolicySwapped }
    }

    /// Tells of what was done while the monitor was frozen, and evaluates what the window holds.
    pub(crate) fn thawed(&self, Thawed { from, to, at, run, cause }: Thawed) {
        self.announce(from, to, cause);
        self.evaluate(to.epoch(), at, run);
    }

    /// The phase that was, and the one that stands still.
    pub(crate) fn freeze(&self) -> (Phase, Phase) {
        loop {
            let phase = self.phase();
            // While calls return, the primary must not get all of them at once.
            let returning = phase.kind() == Kind::Ramping;
            let route = if returning { Route::Fallback } else { self.route(phase) };
            let still = phase.frozen(route);
            if self.swap(phase, still) {
                return (phase, still);
            }
        }
    }

    /// What the policy that is in force now makes of a phase: the same, where it knows it.
    fn phase_after(&self, from: Phase, still: Phase, at: u64, rehearsed: bool) -> Phase {
        let returns = self.recovery.rules().ramp.is_some() && !self.options().dry_run();
        match from.kind() {
            // A rehearsed time on the fallback diverts nobody, and does not begin to now: what the
            // window holds is evaluated instead.
            Kind::Fallback if rehearsed && !self.options().dry_run() => still.next(Kind::Primary),
            // The probes that are out belong to the old policy: the next admission begins the way
            // back by the new one.
            Kind::Probing => still.due(Kind::Fallback, at),
            Kind::Ramping if !returns => still.next(Kind::Primary),
            _ => still.thaw(from),
        }
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::ratio::Ratio;
    use std::time::Duration;

    #[test]
    fn what_lives_on_does_so_until_it_is_forgotten() {
        let epoch = Epoch::from_number;
        let carried = Carried::default();
        assert!(!carried.lives_on(epoch(0), epoch(0)));
        carried.extend(epoch(5), epoch(7));
        carried.extend(epoch(7), epoch(9));
        let lives_on = |number| carried.lives_on(epoch(number), epoch(9));
        assert_eq!([4, 5, 7, 9].map(lives_on), [false, true, true, false]);
        assert!(!carried.lives_on(epoch(5), epoch(7)));
        carried.forget();
        assert!(!carried.lives_on(epoch(5), epoch(9)));
    }

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
    fn calls_that_return_go_to_the_fallback_while_the_monitor_is_frozen() {
        let builder = Policy::builder().ramp_up(Ratio::HALF, Duration::from_secs(60));
        let engine = Engine::new(&builder.build().unwrap(), Moment::default(), 1);
        for (kind, route) in [(Kind::Ramping, Route::Fallback), (Kind::Primary, Route::Primary)] {
            let phase = engine.phase();
            let before = phase.until(kind, 0, Duration::from_secs(60));
            assert!(engine.swap(phase, before));
            let (from, still) = engine.freeze();
            assert_eq!((from, still.kind(), still.route()), (before, Kind::Frozen, route));
        }
    }
}
