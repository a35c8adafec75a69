//! The window over the last so many calls.
//!
//! A ring with a thread a call, which really slides: the call after the last one takes the slot of
//! the oldest. Its memory is 8 bytes a thread, whatever the number of threads.
//!
//! # How it counts
//! A call takes the next position, puts itself into the thread of that position, and gets out what
//! was there. Only if the two differ does it change the counts: they are one word, from which a
//! reader takes all of them at once. So a success in a healthy window that is full costs two
//! read-modify-writes, of which the one of the position is contended by all threads. Where many
//! threads share one failover that is far dearer than the time window, whose threads share
//! nothing; on one thread it is about as dear as two uncontended additions.
//!
//! # Why it is exact
//! The thread's exchange makes a chain of all its contents, each of which is taken out as often as
//! it was put in: once. So when no call is being counted, the counts are those of the slots. A
//! thread that was overtaken by a whole round finds a younger call in its thread and leaves it.
//!
//! # Why it makes no false trip
//! While calls are being counted, a failure may have left its thread but not yet the counts. A
//! window that seems to exceed is therefore read once more, thread by thread. There, a call whose
//! slot is not written yet, or has been written again meanwhile, is taken for a success, so that
//! what remains over the threshold *is* over the threshold. If nothing remains, the window stays
//! armed and the next call is evaluated again.
//!
//! # Epochs
//! Slots and counts carry the epoch; those of another one count as nothing. A call that is being
//! counted while a transition is made may use up a position of the new epoch: until the next round
//! passes, the window is then one call shorter.

use super::Sample;
use crate::engine::sync::{AtomicU64, Ordering, Setting};
use crate::engine::time::Epoch;
use crate::tally::Tally;

/// On a line of its own: all threads write it.
#[derive(Debug)]
#[repr(align(64))]
struct Line(AtomicU64);

/// A call in the ring: from the lowest bit, 3 bits of marks, 20 of epoch, 41 of position.
///
/// Positions are compared, modulo 2^41, only within one thread, which every round writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u64);

impl Slot {
    const EMPTY: Self = Self(0);
    const TAKEN: u64 = 0b001;
    const FAILED: u64 = 0b010;
    const SLOW: u64 = 0b100;
    const EPOCH_AT: u32 = 3;
    const POSITION_AT: u32 = Self::EPOCH_AT + Epoch::BITS;
    const POSITIONS: u64 = 1 << (64 - Self::POSITION_AT);

    fn new(position: u64, epoch: Epoch, sample: Sample) -> Self {
        let failed = if sample.failed { Self::FAILED } else { 0 };
        let slow = if sample.slow { Self::SLOW } else { 0 };
        let marks = Self::TAKEN | failed | slow;
        Self(position << Self::POSITION_AT | epoch.tag() << Self::EPOCH_AT | marks)
    }

    /// The epoch of the call that is in it, if there is one.
    fn epoch(self) -> Option<Epoch> {
        (self != Self::EMPTY).then(|| Epoch::from_number(self.0 >> Self::EPOCH_AT))
    }

    /// How many positions later than that one it is, modulo all.
    fn positions_after(self, position: u64) -> u64 {
        (self.0 >> Self::POSITION_AT).wrapping_sub(position) % Self::POSITIONS
    }

    /// Whether it is of the call in that position or of a later one.
    fn is_later_than(self, position: u64) -> bool {
        self != Self::EMPTY && self.positions_after(position) < Self::POSITIONS / 2
    }

    /// Its part of the counts.
    fn counts(self) -> u64 {
        let mark = |mark: u64, one: u64| if self.0 & mark != 0 { one } else { 0 };
        mark(Self::TAKEN, Counts::CALL)
            + mark(Self::FAILED, Counts::FAILURE)
            + mark(Self::SLOW, Counts::SLOW)
    }
}

/// The counts of one epoch: from the lowest bit, 14 bits each of slow calls, failures and calls,
/// then 20 of epoch.
///
/// They are added to as one number. While two threads change one thread, a count may be below zero
/// for a moment and borrow from its neighbour, until the other thread gives it back; so each is
/// read as a signed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts(u64);

impl Counts {
    const BITS: u32 = 14;
    const SLOW: u64 = 1;
    const FAILURE: u64 = 1 << Self::BITS;
    const CALL: u64 = 1 << (2 * Self::BITS);
    const EPOCH_AT: u32 = 3 * Self::BITS;
    const ALL: u64 = (1 << Self::EPOCH_AT) - 1;

    fn is_of(self, epoch: Epoch) -> bool {
        Epoch::from_number(self.0 >> Self::EPOCH_AT) == epoch
    }

    /// The counts after a thread changed, in that epoch.
    fn changed(self, epoch: Epoch, from: u64, to: u64) -> Self {
        let before = if self.is_of(epoch) { self.0 } else { 0 };
        let counts = before.wrapping_add(to).wrapping_sub(from) & Self::ALL;
        Self(counts | epoch.tag() << Self::EPOCH_AT)
    }

    fn tally(self) -> Tally {
        // What is left after the lower counts, borrowed or not, are taken away.
        let mut rest = (self.0 & Self::ALL).cast_signed();
        let mut next = || {
            let sign = 1 << (Self::BITS - 1);
            let low = ((rest & (2 * sign - 1)) ^ sign) - sign;
            rest = (rest - low) >> Self::BITS;
            u64::try_from(low).unwrap_or(0)
        };
        let (slow, failures, calls) = (next(), next(), next());
        Tally {
            successes: calls.saturating_sub(failures),
            failures: failures.min(calls),
            slow: slow.min(calls),
        }
    }
}

/// A window over the last so many calls.
#[derive(Debug)]
pub(crate) struct CountWindow {
    /// The position of the next call. Goes on over all epochs and all uses.
    position: Line,
    counts: Line,
    /// How many calls it holds. Atomic, because a window is used again for other policies.
    size: Setting,
    /// The first position of this use.
    base: Setting,
    /// A power of two of slots, of which the first `size` slots are used.
    slots: Box<[AtomicU64]>,
}

impl CountWindow {
    pub(crate) fn new(size: u32) -> Self {
        let slots = 0..size.next_power_of_two();
        Self {
            position: Line(AtomicU64::new(0)),
            counts: Line(AtomicU64::new(0)),
            size: Setting::new(u64::from(size)),
            base: Setting::new(0),
            slots: slots.map(|_| AtomicU64::new(Slot::EMPTY.0)).collect(),
        }
    }

    pub(crate) fn has_room_for(&self, size: u32) -> bool {
        self.slots.len() >= size as usize
    }

    /// The calls of an epoch that is over, the oldest first.
    pub(crate) fn kept(&self, epoch: Epoch) -> Vec<Sample> {
        let (size, base) = (self.size(), self.base.load(Ordering::Acquire));
        let end = self.position.0.load(Ordering::Acquire);
        let slots = (base.max(end.saturating_sub(size))..end).filter_map(|position| {
            // Ordering: Acquire pairs with the exchange in `count`.
            let thread = Slot(self.thread(position % size).load(Ordering::Acquire));
            let is_its = thread.epoch() == Some(epoch) && thread.positions_after(position) == 0;
            is_its.then_some(thread)
        });
        let sample = |thread: Slot| Sample {
            failed: thread.0 & Slot::FAILED != 0,
            slow: thread.0 & Slot::SLOW != 0,
        };
        slots.map(sample).collect()
    }

    /// Begins to count an epoch that has not begun, so that a late call which pushes out one of its
    /// calls takes that call's part away at once.
    pub(crate) fn begin(&self, epoch: Epoch) {
        // Ordering: Release, as in `change`: who sees it sees that the old epoch is over.
        self.counts.0.store(Counts(0).changed(epoch, 0, 0).0, Ordering::Release);
    }

    /// Another size. Whoever calls this begins a new epoch before and after it.
    pub(crate) fn cut(&self, size: u32) {
        self.empty();
        // The size first: a late call that takes a position of the new use finds its thread by it.
        self.size.store(u64::from(size), Ordering::Release);
        self.base.store(self.position.0.fetch_add(0, Ordering::AcqRel), Ordering::Release);
    }

    /// Erases what was counted in any epoch.
    pub(crate) fn erase(&self) {
        self.empty();
        self.counts.0.store(0, Ordering::Release);
    }

    fn empty(&self) {
        // Ordering: Release, as in the time window.
        self.slots.iter().for_each(|thread| thread.store(Slot::EMPTY.0, Ordering::Release));
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire).max(1)
    }

    /// The thread of a slot. Neighbours in time lie on different lines, so that threads that count
    /// at the same time don't contend for one.
    fn thread(&self, slot: u64) -> &AtomicU64 {
        let slot = usize::try_from(slot).unwrap_or(0);
        let lines = self.slots.len() / 8;
        let at = if lines > 0 { slot % lines * 8 + slot / lines } else { slot };
        &self.slots[at % self.slots.len()]
    }

    /// Counts a call. `is_current` says whether an epoch still runs.
    // Not inlined, so that it takes no room among the instructions of the time window's calls.
    #[inline(never)]
    pub(crate) fn count(&self, epoch: Epoch, sample: Sample, is_current: impl Fn(Epoch) -> bool) {
        // Ordering: Acquire, so that a position of a new use comes with its size: see `cut`. For
        // the rest it is a name, and the thread's exchange carries what belongs to it.
        let position = self.position.0.fetch_add(1, Ordering::Acquire);
        let thread = self.thread(position % self.size());
        let new = Slot::new(position, epoch, sample);
        let mut old = Slot(thread.load(Ordering::Acquire));
        loop {
            if old.is_later_than(position) {
                // A whole round of calls has passed this one: it has left the window already.
                return;
            }
            // Ordering: AcqRel: who finds this call in its thread also sees what led to it, such as
            // its epoch in the phase, and this one sees what led to the other.
            match thread.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(found) => old = Slot(found),
            }
        }
        match old.epoch() {
            Some(same) if same == epoch => {
                self.change(epoch, old.counts(), new.counts(), is_current);
            }
            // What was there belongs to an epoch before this one …
            _ if is_current(epoch) => self.change(epoch, 0, new.counts(), is_current),
            // … or this call came late, and has pushed out a call of the running epoch.
            Some(other) => self.change(other, old.counts(), 0, is_current),
            None => {}
        }
    }

    fn change(&self, epoch: Epoch, from: u64, to: u64, is_current: impl Fn(Epoch) -> bool) {
        if from == to {
            return;
        }
        // Ordering: Acquire: whoever sees counts of a later epoch also sees in the phase that this
        // one is over. So counts of another epoch are of an earlier one, if this one still runs.
        let mut counts = Counts(self.counts.0.load(Ordering::Acquire));
        while counts.is_of(epoch) || is_current(epoch) {
            let changed = counts.changed(epoch, from, to).0;
            // Ordering: AcqRel: of two failures, who counts later sees the other's thread as well.
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            match self.counts.0.compare_exchange(counts.0, changed, success, failure) {
                Ok(_) => return,
                Err(found) => counts = Counts(found),
            }
        }
    }

    /// The counts of one epoch. Exact when no call is being counted.
    pub(crate) fn tally(&self, epoch: Epoch) -> Tally {
        // Ordering: Acquire pairs with `change`.
        let counts = Counts(self.counts.0.load(Ordering::Acquire));
        if counts.is_of(epoch) { counts.tally() } else { Tally::default() }
    }

    /// The counts of one epoch, thread by thread, in which nothing is a failure or slow that might not
    /// be one. The same as [`tally`](Self::tally) when no call is being counted.
    #[cold]
    pub(crate) fn confirm(&self, epoch: Epoch) -> Tally {
        let (size, base) = (self.size(), self.base.load(Ordering::Acquire));
        // The window that ends before this position. Ordering: Acquire is not needed, any recent
        // position will do.
        let end = self.position.0.load(Ordering::Relaxed);
        let counts = (base.max(end.saturating_sub(size))..end).map(|position| {
            // Ordering: Acquire pairs with the exchange in `count`.
            let thread = Slot(self.thread(position % size).load(Ordering::Acquire));
            if thread == Slot::EMPTY || thread.positions_after(position) != 0 {
                Counts::CALL
            } else if thread.epoch() == Some(epoch) {
                thread.counts()
            } else {
                0
            }
        });
        Counts(counts.sum()).tally()
    }

    /// The memory that it holds, in bytes, itself not included.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_that_are_below_zero_for_a_moment_do_not_touch_their_neighbours() {
        let epoch = Epoch::from_number(5);
        let failure = Counts::CALL | Counts::FAILURE;
        let five = (0..5).fold(Counts(0), |counts, _| counts.changed(epoch, 0, failure));
        // Two slow calls leave before they were counted as such.
        let early = five.changed(epoch, 2 * Counts::SLOW, 0);
        let tally = early.tally();
        assert_eq!((tally.failures, tally.successes, tally.slow), (5, 0, 0));
        let tally = early.changed(epoch, 0, 3 * Counts::SLOW).tally();
        assert_eq!((tally.failures, tally.successes, tally.slow), (5, 0, 1));
        assert!(early.is_of(epoch));
    }

    #[test]
    fn every_place_has_a_slot_of_its_own() {
        // Miri takes its time for each thread.
        let largest = if cfg!(miri) { 16 } else { 4_096 };
        for size in [1, 2, 7, 8, 9, 100, 128, largest] {
            let window = CountWindow::new(size);
            assert_eq!(window.bytes(), 8 * size.next_power_of_two() as usize);
            let slots: std::collections::BTreeSet<_> = (0..u64::from(size))
                .map(|slot| std::ptr::from_ref(window.thread(slot)) as usize)
                .collect();
            assert_eq!(slots.len(), size as usize);
        }
    }

    #[test]
    fn neighbours_in_time_lie_on_different_lines() {
        let window = CountWindow::new(100);
        let at = |slot| std::ptr::from_ref(window.thread(slot)) as usize;
        assert!((0..15).all(|slot| at(slot).abs_diff(at(slot + 1)) >= 64));
    }

    #[test]
    fn it_has_room_for_as_many_calls_as_it_has_slots() {
        let window = CountWindow::new(100);
        assert_eq!([64, 65, 128, 129].map(|n| window.has_room_for(n)), [true, true, true, false]);
    }

    #[test]
    fn a_late_call_that_pushes_out_one_of_the_running_epoch_takes_its_part_away() {
        let (old, running) = (Epoch::from_number(4), Epoch::from_number(5));
        let is_current = |epoch| epoch == running;
        let failure = Sample { failed: true, slow: false };
        let window = CountWindow::new(2);
        window.count(running, failure, is_current);
        window.count(running, failure, is_current);
        assert_eq!(window.tally(running).failures, 2);
        window.count(old, failure, is_current);
        assert_eq!((window.tally(running).failures, window.tally(old).calls()), (1, 0));
        assert_eq!(window.confirm(running).failures, 1);
        // The same of an epoch that is still being set up, between the two steps of counting a call.
        let next = Epoch::from_number(6);
        window.begin(next);
        let seeded = Slot::new(1, next, failure);
        window.thread(1).store(seeded.0, Ordering::Release);
        window.count(old, failure, |_| false);
        window.change(next, 0, seeded.counts(), |epoch| epoch == next);
        assert_eq!(window.tally(next), Tally::default());
    }

    #[test]
    fn a_call_whose_place_is_not_written_yet_is_taken_for_a_success() {
        let epoch = Epoch::from_number(5);
        let window = CountWindow::new(2);
        let confirmed = || (window.confirm(epoch).failures, window.confirm(epoch).successes);
        window.position.0.fetch_add(1, Ordering::Relaxed);
        assert_eq!(confirmed(), (0, 1));
        let failure = Sample { failed: true, slow: false };
        window.count(epoch, failure, |_| true);
        window.count(epoch, failure, |_| true);
        assert_eq!(confirmed(), (2, 0));
        window.position.0.fetch_add(1, Ordering::Relaxed);
        assert_eq!(confirmed(), (1, 1));
    }

    #[test]
    fn a_call_that_was_overtaken_by_a_whole_round_is_not_put_back() {
        let epoch = Epoch::from_number(0);
        let old = Slot::new(3, epoch, Sample { failed: true, slow: false });
        assert!(old.is_later_than(3) && old.is_later_than(1) && !old.is_later_than(4));
        let last = Slot::new(Slot::POSITIONS - 1, epoch, Sample { failed: true, slow: false });
        assert!(!last.is_later_than(Slot::POSITIONS));
        // Half of all positions later is as much half of them before.
        let half = Slot::new(Slot::POSITIONS / 2, epoch, Sample { failed: true, slow: false });
        assert!(!half.is_later_than(0) && half.is_later_than(1));
        assert!(!Slot::EMPTY.is_later_than(0));
    }
}
