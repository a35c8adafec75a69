//! Judging what was counted, and tripping.
//!
//! # Why no trip is missed
//! A call counts first and is judged afterwards; between the two stands a `SeqCst` fence. Of two
//! calls that are judged at the same time at least one therefore sees the other's count.
//!
//! Not every call needs to be judged. A fast success can raise neither the failure rate nor the
//! share of slow calls; it can only make up the minimum of calls in a window that has more failures
//! than the minimum may have. Such a window is marked uneasy in the phase, which every call reads
//! anyway, and while it is, every call is judged. A call that opens a bucket is judged too, since the
//! window slid and may have lost successes. So it costs a healthy window nothing, and:
//!
//! - if the window at rest exceeds a threshold and holds its minimum, the route is the fallback,
//!   or the phase is uneasy and the very next call trips;
//! - unease is set and taken away by whoever judged, and judged once more afterwards: two calls
//!   that judged differently can't leave the wrong mark behind.
//!
//! # Why few failures are judged
//! Whoever judges a window far below its threshold knows how many more failures can change nothing,
//! whatever successes come, and lends a part of them to its own thread: *credit*, in its shard.
//! Failures that it covers are counted like successes, without a fence or a look at other threads'
//! counts. A primary that begins to fail after a million successes is judged some dozens of times
//! until it trips, and just before that each time.
//!
//! Whoever judges takes all that is lent for spent: `failures + credit` is the most that the window
//! can hold before somebody judges again, and where that is too many, the window is uneasy and its
//! threads give back what they have. Credit is judged once more after it was taken, behind another
//! fence, and given back if others took too much at the same time; of all that took some, the last
//! has seen the others'. It ends with the bucket that it was lent in, as the next one has to be
//! judged when it is opened; until that bucket leaves the window it is taken for spent all the same.
//!
//! Consecutive failures need none of this: one word counts them, so that exactly one failure makes up
//! the number, and the call that ended with it trips, whatever ends after it.
//!
//! Calls that hang end nothing. They are looked for by admissions: by the first of each thread in
//! each bucket, as they can only become more when a bucket begins.
//!
//! # Why no trip is made twice
//! A trip is a compare-and-swap of the phase, from the one that was judged to one of the next
//! epoch. One thread wins it, and tells the observers.

use crate::Tally;
use crate::event::{Cause, Condition};
use crate::phase::{Epoch, Kind, Phase};
use crate::rules::Verdict;
use crate::shared::Shared;
use crate::slot;
use crate::sync::{Ordering, fence};

/// Less credit than this is not worth the second look that it takes.
const LEAST_CREDIT: u64 = if cfg!(failover_loom) { 2 } else { 4 };

impl Shared {
    /// Judges what the calls that ended say. `run`: how many failures in a row the call that is
    /// judged has made up.
    #[cold]
    pub(crate) fn judge(&self, epoch: Epoch, at: u64, run: u64) {
        let options = self.options();
        if !options.rates() && !self.rules.is_too_long(run) {
            return;
        }
        let mut may_lend = true;
        loop {
            // Ordering: SeqCst. Of two threads that counted, each followed by this fence, at least
            // one sees the other's count; likewise a count and a change of unease or of credit.
            fence(Ordering::SeqCst);
            let phase = self.phase();
            if phase.epoch() != epoch || !phase.is_judged() {
                return;
            }
            let reading = self.window().latest(epoch, at, options.slow());
            let verdict = match self.rules.judge(&reading.tally, run) {
                Verdict::Trip(_) => {
                    let tally = self.window().confirm(epoch, reading.tally);
                    match self.rules.judge(&tally, run) {
                        Verdict::Trip(condition) => {
                            if self.trip(phase, at, condition, tally) {
                                return;
                            }
                            continue;
                        }
                        // Calls are being counted meanwhile: the next one is judged in any case.
                        _ => Verdict::Uneasy,
                    }
                }
                verdict => verdict,
            };
            let spare = match verdict {
                Verdict::Calm { spare } => spare.checked_sub(reading.credit),
                _ => None,
            };
            if self.change_credit(epoch, spare, reading.threads, may_lend) {
                may_lend = false;
                continue;
            }
            let uneasy = spare.is_none();
            if phase.is_uneasy() == uneasy {
                return;
            }
            // Whoever wins or loses this judges once more.
            self.swap(phase, phase.with_unease(uneasy));
        }
    }

    /// Lends this thread a part of the failures that the window can spare, or takes back what it has
    /// where none can be spared. True if that changed anything.
    fn change_credit(
        &self,
        epoch: Epoch,
        spare: Option<u64>,
        threads: u64,
        may_lend: bool,
    ) -> bool {
        // A thread that is ending counts for one call under a number that is another's next.
        let Some(slot) = slot::number() else { return false };
        let Some(has) = self.window().own_credit(slot, epoch) else { return false };
        let credit = match spare {
            None if has > 0 => 0,
            // Each thread may want as much, and there may be one that has not counted yet.
            Some(spare) if may_lend && has == 0 => match spare / (threads + 1) {
                0..LEAST_CREDIT => return false,
                credit => credit,
            },
            _ => return false,
        };
        self.window().lend(slot, epoch, credit);
        true
    }

    /// Trips if too many calls hang, unless this thread has looked in the running bucket already.
    pub(crate) fn look_for_stalled(&self, phase: Phase, at: u64) {
        let Some(flights) = self.flights() else { return };
        if !phase.is_judged() || !slot::with(|slot| flights.tick(slot, phase.epoch(), at)) {
            return;
        }
        let epoch = phase.epoch();
        loop {
            let phase = self.phase();
            if phase.epoch() != epoch {
                return;
            }
            let stalled = flights.stalled(epoch, at);
            let Some(condition) = self.rules.judge_stalled(stalled) else { return };
            let tally = self.window().tally(epoch, at, self.options().slow());
            if self.trip(phase, at, condition, tally) {
                return;
            }
        }
    }

    /// Sends calls to the fallback, or says that it would. False if another transition, or a change
    /// of unease, came first.
    fn trip(&self, phase: Phase, at: u64, condition: Condition, tally: Tally) -> bool {
        let interval = self.recovery.rules().interval;
        let revert_after = self.recovery.intervals.next(&interval, phase.epoch(), at, true);
        let tripped = phase.until(Kind::Fallback, at, revert_after);
        // Before the exchange, which fails if another policy came between.
        let dry_run = self.options().dry_run();
        let swapped = self.swap(phase, tripped);
        if swapped {
            self.recovery.intervals.tripped(&interval, at, true);
            let cause = if dry_run {
                Cause::WouldTrip { condition, tally, revert_after }
            } else {
                Cause::Tripped { condition, tally, revert_after }
            };
            self.announce(phase, tripped, cause);
        }
        swapped
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::Policy;
    use crate::clock::Moment;
    use crate::shared::Began;
    use crate::window::Sample;

    fn shared(minimum: u64) -> Shared {
        let policy = Policy::builder().minimum_calls(minimum).build().expect("a sound policy");
        Shared::new(&policy, Moment::default(), 4)
    }

    fn fail(shared: &Shared) {
        shared.count(shared.phase().epoch(), Moment::default(), Began::UNKNOWN, true);
    }

    #[test]
    fn a_thread_is_lent_its_part_of_what_can_be_spared_and_gives_it_back_where_none_can() {
        let shared = shared(100);
        let epoch = shared.phase().epoch();
        let credit = || slot::with(|slot| shared.window().own_credit(slot, epoch));
        fail(&shared);
        // Of the 50 failures that the minimum may have, 49 are left, and there may be one thread more.
        assert_eq!((credit(), shared.phase().is_uneasy()), (Some(24), false));
        shared.judge(epoch, 0, 0);
        assert_eq!(credit(), Some(24));
        // Another thread uses the rest up, without judging.
        let another = slot::with(|slot| if slot == 0 { 1 } else { 0 });
        for _ in 0..26 {
            let failure = Sample { failed: true, slow: false };
            shared.window().count(another, epoch, 0, failure, |_| true);
        }
        shared.judge(epoch, 0, 0);
        assert_eq!((credit(), shared.phase().is_uneasy()), (Some(0), false));
    }

    #[test]
    fn what_is_judged_of_an_epoch_that_is_over_changes_nothing() {
        let shared = shared(10);
        let over = shared.phase().epoch();
        (0..9).for_each(|_| fail(&shared));
        assert!(shared.phase().is_uneasy());
        shared.force(crate::Route::Primary);
        shared.release(Moment::default());
        let phase = shared.phase();
        shared.judge(over, 0, 0);
        assert_eq!(shared.phase(), phase);
    }
}
