//! The begin, the end and the count of a call.

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::thread_id;
use crate::engine::time::{Began, Epoch, When};
use crate::engine::window::Sample;

impl Engine {
    /// A call of `epoch` begins at the primary. Returns when, and whether it is counted as in flight:
    /// then [`land`](Self::land) ends it. Only for policies that time calls.
    #[inline(never)]
    pub(crate) fn begin(&self, epoch: Epoch, now: Moment) -> (Began, bool) {
        let at = self.transitions.at(now);
        match self.evidence.flights(self.transitions.options()) {
            Some(flights) if self.transitions.counts(epoch) => {
                let when = When { epoch, at };
                (Began::at(thread_id::with(|thread| flights.admit(thread, when))), true)
            }
            _ => (Began::at(at), false),
        }
    }

    /// A call that was counted as in flight ended.
    #[inline(never)]
    pub(crate) fn land(&self, epoch: Epoch, began: Began) {
        if let Some(flights) = self.evidence.flights(self.transitions.options())
            && self.transitions.counts(epoch)
            && let Some(at) = began.moment()
        {
            thread_id::with(|thread| flights.end(thread, When { epoch, at }));
        }
    }

    /// Whether a call that began at `began` and is dropped now is a failure.
    pub(crate) fn is_failure_when_dropped(&self, began: Began, now: Moment) -> bool {
        let ran = began.ran(self.transitions.at(now));
        ran.is_some_and(|ran| self.evidence.rules.is_failure_when_dropped(ran))
    }

    /// Counts a call of `epoch` that ended now, and trips if a condition holds.
    #[inline]
    pub(crate) fn count(&self, epoch: Epoch, now: Moment, began: Began, failed: bool) {
        let when = When { epoch, at: self.transitions.at(now) };
        match self.evidence.try_count(self.transitions.options(), when, failed) {
            // The phase is read after counting: see `evaluate`.
            Some(false) if !self.transitions.phase().is_armed() => {}
            Some(_) => self.evaluate(when, 0),
            None => self.count_slow(when, began, failed),
        }
    }

    // Not inlined: code that few policies need would grow the code of every call.
    #[inline(never)]
    fn count_slow(&self, when: When, began: Began, failed: bool) {
        let rules = &self.evidence.rules;
        let sample =
            Sample { failed, slow: began.ran(when.at).is_some_and(|ran| rules.is_slow(ran)) };
        let due = match thread_id::number() {
            Some(thread) => self.put(thread, when, sample),
            None => self.put_slow(when, sample),
        };
        let consecutive = self.transitions.options().consecutive();
        let streak = if consecutive { self.count_streak(when.epoch, failed) } else { 0 };
        // As above.
        let is_armed = || self.transitions.phase().is_armed();
        if due || (streak > 0 && rules.is_too_long(streak)) || is_armed() {
            self.evaluate(when, streak);
        }
    }

    fn put(&self, thread: usize, when: When, sample: Sample) -> bool {
        self.window().count(thread, when, sample, |epoch| self.transitions.counts(epoch))
    }

    /// A thread's first call.
    #[cold]
    #[inline(never)]
    fn put_slow(&self, when: When, sample: Sample) -> bool {
        thread_id::with(|thread| self.put(thread, when, sample))
    }

    /// The streak's length; 0 after a success.
    #[inline(never)]
    fn count_streak(&self, epoch: Epoch, failed: bool) -> u64 {
        if failed {
            return self.extend_streak(epoch);
        }
        self.evidence.streak.end(epoch);
        0
    }

    #[inline(never)]
    fn extend_streak(&self, epoch: Epoch) -> u64 {
        self.evidence.streak.extend(epoch, || self.transitions.counts(epoch))
    }
}
