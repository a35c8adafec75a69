//! Evaluating what was counted, and tripping.
//!
//! # Why no trip is missed
//! A call counts first and is evaluated afterwards; between the two stands a `SeqCst` fence. Of two
//! calls that are evaluated at the same time at least one therefore sees the other's count.
//!
//! Not every call needs to be evaluated. A fast success can raise neither the failure rate nor the
//! share of slow calls; it can only make up the minimum of calls in a window that has more failures
//! than the minimum may have. Such a window is marked armed in the phase, which every call reads
//! anyway, and while it is, every call is evaluated. A call that opens a bucket is evaluated too, since the
//! window slid and may have lost successes. So it costs a healthy window nothing, and:
//!
//! - if the window at rest exceeds a threshold and holds its minimum, the route is the fallback,
//!   or the phase is armed and the very next call trips;
//! - arming is set and taken away by whoever evaluated, and evaluated once more afterwards: two calls
//!   that evaluated differently can't leave the wrong mark behind.
//!
//! # Why few failures are evaluated
//! Whoever evaluates a window far below its threshold knows how many more failures can change nothing,
//! whatever successes come, and grants a part of them to its own thread: *allowance*, in its shard.
//! Failures that it covers are counted like successes, without a fence or a look at other threads'
//! counts. A primary that begins to fail after a million successes is evaluated some dozens of times
//! until it trips, and just before that each time.
//!
//! Whoever evaluates takes all that is granted for spent: `failures + allowance` is the most that the window
//! can hold before somebody evaluates again, and where that is too many, the window is armed and its
//! threads give back what they have. Allowance is evaluated once more after it was taken, behind another
//! fence, and given back if others took too much at the same time; of all that took some, the last
//! has seen the others'. It ends with the bucket that it was granted in, as the next one has to be
//! evaluated when it is opened; until that bucket leaves the window it is taken for spent all the same.
//!
//! Consecutive failures need none of this: one word counts them, so that exactly one failure makes up
//! the number, and the call that ended with it trips, whatever ends after it.
//!
//! Calls that hang end nothing. They are looked for by admissions: by the first of each thread in
//! each bucket, as they can only become more when a bucket begins.

use crate::engine::Engine;
use crate::engine::phase::Phase;
use crate::engine::rules::Verdict;
use crate::engine::sync::{Ordering, fence};
use crate::engine::thread_id;
use crate::engine::time::{Elapsed, Epoch, When};
use crate::engine::window::Flights;
use crate::tally::Tally;

/// Less allowance than this is not worth the second look that it takes.
const LEAST_ALLOWANCE: u64 = if cfg!(failover_loom) { 2 } else { 4 };

impl Engine {
    /// Evaluates what the calls that ended say. `streak`: how many failures in a row the call that is
    /// evaluated has made up.
    #[cold]
    pub(crate) fn evaluate(&self, when: When, streak: u64) {
        let (epoch, options) = (when.epoch, self.transitions.options());
        if !options.rates() && !self.evidence.rules.is_too_long(streak) {
            return;
        }
        let mut may_grant = true;
        loop {
            // Ordering: SeqCst. Of two threads that counted, each followed by this fence, at least
            // one sees the other's count; likewise a count and a change of arming or of allowance.
            fence(Ordering::SeqCst);
            let phase = self.transitions.phase();
            if phase.epoch() != epoch || !phase.is_evaluated() {
                return;
            }
            let reading = self.window().latest(when);
            let verdict = match self.evidence.rules.evaluate(&reading.tally, streak) {
                Verdict::Trip(_) => match self.trip(phase, when.at, streak, reading.tally) {
                    Some(true) => return,
                    Some(false) => continue,
                    // Calls are being counted meanwhile: the next one is evaluated in any case.
                    None => Verdict::Armed,
                },
                verdict => verdict,
            };
            let headroom = match verdict {
                Verdict::Calm { headroom } => headroom.checked_sub(reading.allowance),
                _ => None,
            };
            if self.change_allowance(epoch, headroom, reading.threads, may_grant) {
                may_grant = false;
                continue;
            }
            let armed = headroom.is_none();
            if phase.is_armed() == armed {
                return;
            }
            self.transitions.arm(phase, armed);
        }
    }

    /// Trips if the counts are confirmed. `None` if they are not; false if the phase has changed.
    #[cold]
    fn trip(&self, phase: Phase, at: Elapsed, streak: u64, tally: Tally) -> Option<bool> {
        let tally = self.window().confirm(phase.epoch(), tally);
        match self.evidence.rules.evaluate(&tally, streak) {
            Verdict::Trip(condition) => Some(self.transitions.trip(phase, at, condition, tally)),
            _ => None,
        }
    }

    /// Grants this thread a part of the failures that the window can headroom, or takes back what it has
    /// where none can be spared. True if that changed anything.
    fn change_allowance(
        &self,
        epoch: Epoch,
        headroom: Option<u64>,
        threads: u64,
        may_grant: bool,
    ) -> bool {
        // A thread that is ending counts for one call under a number that is another's next.
        let Some(thread) = thread_id::number() else { return false };
        let window = self.window();
        let Some(has) = window.own_allowance(thread, epoch) else { return false };
        let allowance = match headroom {
            None if has > 0 => 0,
            // Each thread may want as much, and there may be one that has not counted yet.
            Some(headroom) if may_grant && has == 0 => match headroom / (threads + 1) {
                0..LEAST_ALLOWANCE => return false,
                allowance => allowance,
            },
            _ => return false,
        };
        window.grant(thread, epoch, allowance);
        true
    }

    /// Trips if too many calls hang, unless this thread has looked in the running bucket already.
    pub(crate) fn look_for_stalled(&self, phase: Phase, at: Elapsed) {
        let Some(flights) = self.evidence.flights(self.transitions.options()) else { return };
        let when = When { epoch: phase.epoch(), at };
        if phase.is_evaluated() && thread_id::with(|thread| flights.tick(thread, when)) {
            self.evaluate_stalled(flights, when);
        }
    }

    #[cold]
    fn evaluate_stalled(&self, flights: &Flights, when: When) {
        let (transitions, evidence) = (&self.transitions, &self.evidence);
        loop {
            let phase = transitions.phase();
            if phase.epoch() != when.epoch {
                return;
            }
            let stalled = flights.stalled(when);
            let Some(condition) = evidence.rules.evaluate_stalled(stalled) else { return };
            let tally = self.window().tally(when);
            if transitions.trip(phase, when.at, condition, tally) {
                return;
            }
        }
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::engine::time::Began;
    use crate::engine::window::Sample;
    use crate::policy::Policy;

    fn engine(minimum: u64) -> Engine {
        let policy = Policy::builder().minimum_calls(minimum).build().expect("a sound policy");
        Engine::new(&policy, Moment::default(), 4)
    }

    fn fail(engine: &Engine) {
        engine.count(engine.transitions.phase().epoch(), Moment::default(), Began::UNKNOWN, true);
    }

    #[test]
    fn a_thread_is_lent_its_part_of_what_can_be_spared_and_gives_it_back_where_none_can() {
        let engine = engine(100);
        let epoch = engine.transitions.phase().epoch();
        let when = When { epoch, at: Elapsed::default() };
        let allowance = || thread_id::with(|thread| engine.window().own_allowance(thread, epoch));
        fail(&engine);
        // Of the 50 failures that the minimum may have, 49 are left, and there may be one thread more.
        assert_eq!((allowance(), engine.transitions.phase().is_armed()), (Some(24), false));
        engine.evaluate(when, 0);
        assert_eq!(allowance(), Some(24));
        // Another thread uses the rest up, without evaluating.
        let another = thread_id::with(|thread| if thread == 0 { 1 } else { 0 });
        for _ in 0..26 {
            let failure = Sample { failed: true, slow: false };
            engine.window().count(another, when, failure, |_| true);
        }
        engine.evaluate(when, 0);
        assert_eq!((allowance(), engine.transitions.phase().is_armed()), (Some(0), false));
    }

    #[test]
    fn what_is_evaluated_of_an_epoch_that_is_over_changes_nothing() {
        let engine = engine(10);
        let over = engine.transitions.phase().epoch();
        (0..9).for_each(|_| fail(&engine));
        assert!(engine.transitions.phase().is_armed());
        engine.transitions.force(crate::route::Route::Primary);
        engine.transitions.release(Moment::default());
        let phase = engine.transitions.phase();
        engine.evaluate(When { epoch: over, at: Elapsed::default() }, 0);
        assert_eq!(engine.transitions.phase(), phase);
    }
}
