//! Evaluation of the counts, and the trip.
//!
//! # Why no trip is missed
//! A call counts first and evaluates afterwards, with a `SeqCst` fence in between. So of two calls
//! that evaluate at the same time at least one sees the other's count.
//!
//! Most successes need no evaluation. A fast success raises neither the failure rate nor the share of
//! slow calls. It can only complete the minimum of calls in a window that already has too many
//! failures. Such a window is *armed*, a bit of the phase, which every call reads anyway; while it is
//! armed, every call evaluates. A call that opens a bucket evaluates too, since the window slid and
//! may have lost successes. Therefore:
//!
//! - if a window at rest exceeds a threshold and has its minimum, the route is the fallback, or the
//!   window is armed and the next call trips;
//! - a thread that arms or disarms evaluates again afterwards, so two threads that disagree cannot
//!   leave the wrong bit behind.
//!
//! # Why few failures evaluate
//! Far below its threshold, a window has *headroom*: so many more failures change nothing, whatever
//! successes come. The evaluating thread grants a part of it to its own shard as *allowance*. Failures
//! within the allowance are counted like successes, without a fence and without reading other shards.
//! A primary that begins to fail after a million successes is evaluated some dozens of times until it
//! trips, and at the end with each failure.
//!
//! The evaluation assumes that every grant is spent, so `failures + allowance` bounds the window. If
//! that exceeds the headroom, the window is armed, and each evaluating thread returns its allowance.
//! After taking a grant a thread fences and evaluates again: of all threads that took one, the last
//! sees all the others. A grant ends with its bucket, but counts as spent until the bucket leaves the
//! window.
//!
//! Consecutive failures need none of this: they are counted in one word, so exactly one failure
//! completes the number, and its thread trips.
//!
//! Stalled calls end nothing. Admissions look for them: the first of each thread in each bucket,
//! since only a new bucket adds stalled calls.

use crate::engine::Engine;
use crate::engine::phase::Phase;
use crate::engine::rules::Verdict;
use crate::engine::sync::{Ordering, fence};
use crate::engine::thread_id;
use crate::engine::time::{Elapsed, Epoch, When};
use crate::engine::window::Flights;
use crate::tally::Tally;

/// A smaller allowance is not worth its second evaluation.
const LEAST_ALLOWANCE: u64 = if cfg!(failover_loom) { 2 } else { 4 };

impl Engine {
    /// Evaluates the window after a call. `streak`: the consecutive failures that the call completed.
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
                    // Other calls are being counted: the next one evaluates in any case.
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
            Verdict::Trip(condition) => {
                let tally = self.with_dropped(tally, When { epoch: phase.epoch(), at });
                Some(self.transitions.trip(phase, at, condition, tally))
            }
            _ => None,
        }
    }

    /// Grants this thread a part of the headroom, or takes its allowance back if there is none. True if
    /// that changed anything.
    fn change_allowance(
        &self,
        epoch: Epoch,
        headroom: Option<u64>,
        threads: u64,
        may_grant: bool,
    ) -> bool {
        // An ending thread has its id for one call only.
        let Some(thread) = thread_id::number() else { return false };
        let window = self.window();
        let Some(has) = window.own_allowance(thread, epoch) else { return false };
        let allowance = match headroom {
            None if has > 0 => 0,
            // Each thread may take as much, and one more thread may not have counted yet.
            Some(headroom) if may_grant && has == 0 => match headroom / (threads + 1) {
                0..LEAST_ALLOWANCE => return false,
                allowance => allowance,
            },
            _ => return false,
        };
        window.grant(thread, epoch, allowance);
        true
    }

    /// Trips if too many calls are stalled, unless this thread has already looked in this bucket.
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
            let tally = self.with_dropped(self.window().tally(when), when);
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
    fn a_thread_is_granted_its_part_of_the_headroom_and_returns_it_if_there_is_none() {
        let engine = engine(100);
        let epoch = engine.transitions.phase().epoch();
        let when = When { epoch, at: Elapsed::default() };
        let allowance = || thread_id::with(|thread| engine.window().own_allowance(thread, epoch));
        fail(&engine);
        // Of the 50 failures that the minimum may have, 49 are left, for this thread and one more.
        assert_eq!((allowance(), engine.transitions.phase().is_armed()), (Some(24), false));
        engine.evaluate(when, 0);
        assert_eq!(allowance(), Some(24));
        // Another thread uses the rest, without an evaluation.
        let another = thread_id::with(|thread| if thread == 0 { 1 } else { 0 });
        for _ in 0..26 {
            let failure = Sample { failed: true, slow: false };
            engine.window().count(another, when, failure, |_| true);
        }
        engine.evaluate(when, 0);
        assert_eq!((allowance(), engine.transitions.phase().is_armed()), (Some(0), false));
    }

    #[test]
    fn an_evaluation_of_an_epoch_that_is_over_changes_nothing() {
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
