//! A call that is timed, and reported once it has ended.

use std::mem;

use crate::clock::Moment;
use crate::engine::ticket::guard;
use crate::outcome::Outcome;
use crate::service::observed::{Attempt, ObservedCall};

/// Receives the calls that have ended, and knows the clock that times them.
pub trait Report: Clone {
    /// The current moment of that clock.
    fn now(&self) -> Moment;

    /// A call has ended after `nanos` nanoseconds; without an outcome if it was dropped.
    fn report(&self, attempt: Attempt, outcome: Option<Outcome>, nanos: u64);
}

/// A call in flight. It is reported once: when it ends, or when it is dropped.
#[derive(Debug)]
pub struct Timing<R: Report> {
    report: R,
    attempt: Attempt,
    since: Moment,
    over: bool,
}

impl<R: Report> Timing<R> {
    #[inline]
    pub(crate) fn start(report: &R, attempt: Attempt) -> Self {
        Self { since: report.now(), report: report.clone(), attempt, over: false }
    }

    #[inline]
    fn over(&mut self, outcome: Option<Outcome>) {
        if !self.over {
            self.over = true;
            let nanos = self.report.now().nanos_since(self.since);
            self.report.report(self.attempt, outcome, nanos);
        }
    }
}

impl<R: Report> ObservedCall for Timing<R> {
    #[inline]
    fn guard<T>(&mut self, run: impl FnOnce() -> T) -> T {
        guard(run, || self.over(Some(Outcome::Failure)))
    }

    #[inline]
    fn end(&mut self, outcome: Outcome) {
        self.over(Some(outcome));
    }

    fn take(&mut self) -> Self {
        let over = mem::replace(&mut self.over, true);
        Self { report: self.report.clone(), attempt: self.attempt, since: self.since, over }
    }
}

impl<R: Report> Drop for Timing<R> {
    #[inline]
    fn drop(&mut self) {
        self.over(None);
    }
}
