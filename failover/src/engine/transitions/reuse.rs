//! The end of an engine's use, and the next one. No other thread uses a retired engine.

use super::Transitions;
use crate::clock::Moment;
use crate::engine::phase::Kind;
use crate::engine::rules::Options;
use crate::engine::sync::Ordering;
use crate::engine::time::Epoch;
use crate::policy::Policy;

impl Transitions {
    /// Ends the engine's use: no call in flight counts from here on, and no observer is notified.
    pub(crate) fn retire(&self) {
        loop {
            let phase = self.phase();
            if self.swap(phase, phase.next(Kind::Retired)) {
                break;
            }
        }
        self.observers.clear();
        self.waiters.wake_all();
    }

    /// Begins a new use of a retired engine.
    pub(crate) fn renew(&self, policy: &Policy, options: Options, origin: Moment) {
        self.set_options(options);
        self.carried.forget();
        self.recovery.renew(policy);
        self.origin.store(origin.as_nanos(), Ordering::Release);
        // No other thread changes a retired phase.
        let phase = self.phase().next(Kind::Primary);
        self.front.phase.store(phase.word(), Ordering::Release);
    }

    /// Whether the next use could reach an epoch number in which an idle thread has counted before.
    pub(crate) fn is_worn_out(&self) -> bool {
        self.came_round.load(Ordering::Relaxed) != 0
            || self.age(self.phase()) >= 1 << (Epoch::BITS - 1)
    }

    /// The counts of all epochs were erased.
    pub(crate) fn erased(&self) {
        self.recovery.erase();
        // Ordering: Relaxed: the pool's lock orders it before the next use.
        self.erased_in.store(self.phase().epoch().number().into(), Ordering::Relaxed);
        self.came_round.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::engine::phase::Phase;

    #[test]
    fn it_is_worn_out_after_half_of_all_epochs_or_when_they_came_round() {
        let engine = Engine::new(&Policy::default(), Moment::default(), 1);
        let transitions = &engine.transitions;
        let half = 1 << 19;
        for (epoch, worn) in
            [(1, false), (half - 1, false), (half, true), (2 * half - 1, true), (7, true)]
        {
            // Arming keeps the epoch, so it does not wrap.
            transitions.jump(transitions.phase().with_armed(true));
            transitions.jump(Phase::of_epoch(epoch));
            assert_eq!(transitions.is_worn_out(), worn, "{epoch}");
        }
        engine.erase();
        for (epoch, worn) in [(8, false), (half + 6, false), (half + 7, true), (6, true), (8, true)]
        {
            transitions.jump(Phase::of_epoch(epoch));
            assert_eq!(transitions.is_worn_out(), worn, "{epoch}");
        }
    }
}
