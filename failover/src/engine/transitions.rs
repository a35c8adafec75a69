//! The phase, and every compare-and-swap of it.
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
//!
//! # Why no transition is made twice
//! A transition is a compare-and-swap from the phase that was read to one of the next epoch. One
//! thread wins it, and notifies the waiting tasks and the observers.

pub(crate) mod advanced;
mod commands;
#[cfg(feature = "cluster")]
mod fleet;
mod reuse;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, wall_time};
use crate::engine::carried::Carried;
use crate::engine::observers::Observers;
use crate::engine::phase::{Kind, Phase};
use crate::engine::recovery::Recovery;
use crate::engine::rules::Options;
use crate::engine::sync::{AtomicU64, Ordering, Setting, yield_now};
use crate::engine::time::{Elapsed, Epoch, When};
use crate::engine::waiters::Waiters;
use crate::event::{Cause, Condition, Event};
use crate::policy::Policy;
use crate::route::Route;
use crate::tally::Tally;

/// What every call reads, on a cache line that is rarely written.
#[derive(Debug)]
#[repr(align(64))]
struct Front {
    phase: AtomicU64,
    options: Setting,
}

/// The phase and all that a change of it changes.
#[derive(Debug)]
pub(crate) struct Transitions {
    front: Front,
    /// The moment that `at` counts from, in the clock's nanoseconds modulo 2^64: it may be before the
    /// clock's zero.
    origin: Setting,
    carried: Carried,
    /// The epoch of the last `erased`.
    erased_in: Setting,
    /// 1 if the epochs have wrapped around to that one since.
    came_round: Setting,
    pub(super) recovery: Recovery,
    pub(crate) waiters: Waiters,
    pub(crate) observers: Observers,
}

impl Transitions {
    pub(super) fn new(policy: &Policy, options: Options, origin: Moment) -> Self {
        Self {
            front: Front {
                phase: AtomicU64::new(Phase::FIRST.word()),
                options: Setting::new(options.word()),
            },
            origin: Setting::new(origin.as_nanos()),
            carried: Carried::default(),
            erased_in: Setting::new(0),
            came_round: Setting::new(0),
            recovery: Recovery::new(policy),
            waiters: Waiters::new(),
            observers: Observers::default(),
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        // Ordering: Acquire. A thread that sees an epoch sees what was set up before it began.
        Phase::from_word(self.front.phase.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn options(&self) -> Options {
        // Ordering: Acquire pairs with `set_options`.
        Options::from_word(self.front.options.load(Ordering::Acquire))
    }

    fn set_options(&self, options: Options) {
        // Ordering: Release. A thread that sees the new options sees that the old epoch is over.
        self.front.options.store(options.word(), Ordering::Release);
    }

    /// The time from the monitor's origin to `now`; zero before the origin.
    #[inline]
    pub(crate) fn at(&self, now: Moment) -> Elapsed {
        // Ordering: Relaxed: set before the epoch began that the caller has seen. After an
        // [advance](Self::advance), a thread that reads the old origin reads the time before it.
        Elapsed::between(self.origin.load(Ordering::Relaxed), now)
    }

    /// The phase, after any policy swap or restore in progress. For operators, not for calls.
    pub(super) fn settled(&self) -> Phase {
        loop {
            let phase = self.phase();
            if phase.kind() != Kind::Frozen {
                return phase;
            }
            yield_now();
        }
    }

    /// The route of a call in a phase before its deadline.
    pub(crate) fn route(&self, phase: Phase) -> Route {
        let rehearsed = phase.kind() == Kind::Fallback && self.options().dry_run();
        if rehearsed { Route::Primary } else { phase.route() }
    }

    /// Whether `epoch` is the current one. Only calls to the primary ask, so the phase of a current
    /// epoch counts them.
    #[inline]
    pub(crate) fn counts(&self, epoch: Epoch) -> bool {
        self.phase().epoch() == epoch
    }

    /// The epoch in which the result of a call admitted in `epoch` counts: `epoch` while it is the
    /// current one; the current one if only swaps of the policy lie between.
    #[inline]
    pub(crate) fn counting(&self, epoch: Epoch) -> Option<Epoch> {
        if self.counts(epoch) { Some(epoch) } else { self.counting_slow(epoch) }
    }

    #[cold]
    fn counting_slow(&self, epoch: Epoch) -> Option<Epoch> {
        let phase = self.phase();
        let counts = self.route(phase) == Route::Primary && phase.kind() != Kind::Frozen;
        (counts && self.carried.counts_in(epoch, phase.epoch())).then(|| phase.epoch())
    }

    fn swap(&self, from: Phase, to: Phase) -> bool {
        let (before, after) = (from.word(), to.word());
        let phase = &self.front.phase;
        // Ordering: AcqRel. What was read before a transition is not read after it, and a thread
        // that sees the transition sees what was set up for it.
        let swapped = phase.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed);
        if self.age(to) < self.age(from) && swapped.is_ok() {
            // Ordering: Relaxed: read when no other thread uses the engine.
            self.came_round.store(1, Ordering::Relaxed);
        }
        swapped.is_ok()
    }

    /// Wakes the waiting tasks and notifies the observers of a transition.
    pub(super) fn announce(&self, from: Phase, phase: Phase, cause: Cause) {
        self.announce_in(None, from, phase, cause);
    }

    fn announce_in(&self, scope: Option<Arc<str>>, from: Phase, phase: Phase, cause: Cause) {
        if cause != Cause::PolicySwapped {
            // No earlier epoch counts in one that a transition began.
            self.carried.forget();
        }
        self.waiters.wake_all();
        let (from, to) = (from.kind().state(), phase.kind().state());
        let epoch = phase.epoch().number();
        let (name, route) = (self.observers.name(), self.route(phase));
        let time = wall_time();
        self.observers.notify(&Event { name, time, epoch, from, to, route, cause, scope });
    }

    /// Arms or disarms. The caller evaluates again, whether the exchange succeeded or not.
    pub(super) fn arm(&self, phase: Phase, armed: bool) {
        self.swap(phase, phase.with_armed(armed));
    }

    /// Sends calls to the fallback; in a dry run, only announces it. False if the phase has changed.
    #[cold]
    pub(super) fn trip(
        &self,
        phase: Phase,
        at: Elapsed,
        condition: Condition,
        tally: Tally,
    ) -> bool {
        // Before the exchange, which fails if the policy was swapped since.
        let dry_run = self.options().dry_run();
        self.leave(phase, at, |revert_after| {
            if dry_run {
                Cause::WouldTrip { condition, tally, revert_after }
            } else {
                Cause::Tripped { condition, tally, revert_after }
            }
        })
    }

    /// Too many probes failed.
    pub(super) fn fail_probes(&self, phase: Phase, at: Elapsed) -> bool {
        self.leave(phase, at, |revert_after| Cause::ProbesFailed { revert_after })
    }

    fn leave(&self, phase: Phase, at: Elapsed, cause: impl Fn(Duration) -> Cause) -> bool {
        let was_back = phase.kind() != Kind::Probing;
        let (intervals, rules) = (&self.recovery.intervals, self.recovery.rules().interval);
        let revert_after = intervals.next(&rules, When { epoch: phase.epoch(), at }, was_back);
        let tripped = phase.until(Kind::Fallback, at, revert_after);
        let swapped = self.swap(phase, tripped);
        if swapped {
            intervals.tripped(&rules, at, was_back);
            self.announce(phase, tripped, cause(revert_after));
        }
        swapped
    }

    /// The deadline of a phase has passed. The first thread that sees it makes the transition.
    #[cold]
    pub(super) fn end_of_time(&self, phase: Phase, at: Elapsed) {
        let probes = self.recovery.probing().is_some() && !self.options().dry_run();
        if phase.kind() == Kind::Fallback && probes {
            self.step(phase, phase.next(Kind::Probing), Cause::Probing);
        } else {
            self.come_back(phase, at, None);
        }
    }

    /// Returns calls to the primary: by a ramp, unless it is a ramp that ends; in a dry run at once,
    /// since no call has left the primary. `early`: the cause, if it is not the deadline.
    pub(super) fn come_back(&self, phase: Phase, at: Elapsed, early: Option<Cause>) -> bool {
        let (next, cause) = match self.recovery.rules().ramp {
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

    fn step(&self, from: Phase, to: Phase, cause: Cause) -> bool {
        let swapped = self.swap(from, to);
        if swapped {
            self.announce(from, to, cause);
        }
        swapped
    }

    /// A call of `epoch` failed with a retry-after.
    #[inline(never)]
    pub(crate) fn note_retry_after(&self, epoch: Epoch, now: Moment, retry_after: Duration) {
        // From its response on: a zero that only the trip raised would be over by then.
        let bounds = self.recovery.rules().interval.retry_after;
        let raised = bounds.map_or(retry_after, |bounds| retry_after.max(bounds.min));
        self.recovery.intervals.note_retry_after(When { epoch, at: self.at(now) }, raised);
    }

    /// Freezes the monitor. Returns the phase before, and the frozen one.
    pub(super) fn freeze(&self) -> (Phase, Phase) {
        loop {
            let phase = self.phase();
            // During a ramp the primary must not get all calls at once.
            let ramping = phase.kind() == Kind::Ramping;
            let route = if ramping { Route::Fallback } else { self.route(phase) };
            let frozen = phase.frozen(route);
            if self.swap(phase, frozen) {
                return (phase, frozen);
            }
        }
    }

    /// Lets `from` and the epochs that count in it count in `to`, which has not begun.
    pub(super) fn carry_over(&self, from: Epoch, to: Epoch) {
        self.recovery.intervals.carry_retry_after(from, to);
        self.carried.extend(from, to);
    }

    /// Ends a freeze.
    pub(super) fn thaw(&self, frozen: Phase, to: Phase) {
        // No other thread changes a frozen phase.
        self.swap(frozen, to);
    }

    /// Continues by another policy. The monitor is frozen.
    pub(super) fn adopt(&self, policy: &Policy, options: Options) {
        self.recovery.adopt(policy);
        self.set_options(options);
    }

    /// How many epochs have begun since the last `erased`, modulo 2^20.
    fn age(&self, phase: Phase) -> u32 {
        let erased_in = Epoch::from_number(self.erased_in.load(Ordering::Relaxed));
        phase.epoch().epochs_after(erased_in)
    }

    /// Makes `to` the phase.
    #[cfg(all(test, not(failover_loom)))]
    pub(super) fn jump(&self, to: Phase) {
        assert!(self.swap(self.phase(), to));
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::ratio::Ratio;

    #[test]
    fn a_rehearsed_trip_diverts_no_call_while_the_monitor_is_frozen() {
        for (dry_run, route) in [(true, Route::Primary), (false, Route::Fallback)] {
            let builder = Policy::builder();
            let builder = if dry_run { builder.dry_run() } else { builder };
            let engine = Engine::new(&builder.build().unwrap(), Moment::default(), 1);
            let phase = engine.transitions.phase();
            engine.transitions.jump(phase.until(
                Kind::Fallback,
                Elapsed::default(),
                Duration::from_secs(60),
            ));
            engine.transitions.freeze();
            let admitted = engine.admit(Moment::default);
            assert_eq!(admitted.is_ok(), route == Route::Primary);
        }
    }

    #[test]
    fn a_frozen_ramp_sends_calls_to_the_fallback() {
        let builder = Policy::builder().ramp_up(Ratio::HALF, Duration::from_secs(60));
        let engine = Engine::new(&builder.build().unwrap(), Moment::default(), 1);
        for (kind, route) in [(Kind::Ramping, Route::Fallback), (Kind::Primary, Route::Primary)] {
            let before =
                engine.transitions.phase().until(kind, Elapsed::default(), Duration::from_secs(60));
            engine.transitions.jump(before);
            let (from, frozen) = engine.transitions.freeze();
            assert_eq!((from, frozen.kind(), frozen.route()), (before, Kind::Frozen, route));
        }
    }
}
