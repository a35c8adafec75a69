//! The window over the last `n` calls.
//!
//! A ring with one cell per call, which slides by single calls: a call replaces the one `n` calls
//! before it. It takes 8 bytes per call, whatever the number of threads.
//!
//! # How it counts
//! A call takes the next position, exchanges the cell of that position, and gets the call that was
//! there. It changes the counts only if the two differ. The counts are one word, so a reader takes
//! all of them at once. A success in a full, healthy window costs two read-modify-writes; all
//! threads contend for the one of the position. On many threads this is far more expensive than the
//! time window, whose threads share nothing.
//!
//! # Why it is exact
//! The exchanges of a cell form a chain: each content is put in once and taken out once. So when no
//! call is being counted, the counts are those of the cells. A call that was overtaken by a whole
//! round finds a later call in its cell and leaves it there.
//!
//! # Why it makes no false trip
//! While calls are being counted, a failure may have left its cell but not yet the counts. A window
//! that seems to exceed is therefore read again, cell by cell. A cell that is not written yet, or is
//! written again, is read as a success, so a rate that still exceeds does exceed. If none does, the
//! window stays armed, and the next call is evaluated again.
//!
//! # Epochs
//! Cells and counts carry the epoch; those of another epoch count as nothing. A call that is being
//! counted during a transition may use a position of the new epoch: the window is then one call
//! shorter for one round.

use super::Sample;
use super::packed::{Counts, Entry};
use crate::engine::sync::{AtomicU64, Ordering, Setting};
use crate::engine::time::Epoch;
use crate::tally::Tally;

/// On a cache line of its own: all threads write it.
#[derive(Debug)]
#[repr(align(64))]
struct Line(AtomicU64);

/// A window over the last `size` calls.
#[derive(Debug)]
pub(crate) struct CountWindow {
    /// The position of the next call. Never reset.
    position: Line,
    counts: Line,
    /// The number of calls. Atomic, since a window is reused for other policies.
    size: Setting,
    /// The first position of this use.
    base: Setting,
    /// A power of two of them, of which the first `size` are used.
    cells: Box<[AtomicU64]>,
}

impl CountWindow {
    pub(crate) fn new(size: u32) -> Self {
        let cells = 0..size.next_power_of_two();
        Self {
            position: Line(AtomicU64::new(0)),
            counts: Line(AtomicU64::new(0)),
            size: Setting::new(u64::from(size)),
            base: Setting::new(0),
            cells: cells.map(|_| AtomicU64::new(Entry::EMPTY.0)).collect(),
        }
    }

    pub(crate) fn has_room_for(&self, size: u32) -> bool {
        self.cells.len() >= size as usize
    }

    /// The number of calls that have ended. Never decreases.
    pub(crate) fn position(&self) -> u64 {
        // Ordering: Relaxed: any recent position will do.
        self.position.0.load(Ordering::Relaxed)
    }

    /// The calls of an epoch that is over, the oldest first.
    pub(crate) fn kept(&self, epoch: Epoch) -> Vec<Sample> {
        let (size, base) = (self.size(), self.base.load(Ordering::Acquire));
        let end = self.position.0.load(Ordering::Acquire);
        let entries = (base.max(end.saturating_sub(size))..end).filter_map(|position| {
            // Ordering: Acquire pairs with the exchange in `count`.
            let entry = Entry(self.cell(position % size).load(Ordering::Acquire));
            let is_its = entry.epoch() == Some(epoch) && entry.positions_after(position) == 0;
            is_its.then_some(entry)
        });
        let sample = |entry: Entry| Sample {
            failed: entry.0 & Entry::FAILED != 0,
            slow: entry.0 & Entry::SLOW != 0,
        };
        entries.map(sample).collect()
    }

    /// Prepares an epoch that has not begun, so that a late call which replaces one of its calls
    /// subtracts that call at once.
    pub(crate) fn begin(&self, epoch: Epoch) {
        // Ordering: Release, as in `change`: a thread that sees it sees that the old epoch is over.
        self.counts.0.store(Counts(0).changed(epoch, 0, 0).0, Ordering::Release);
    }

    /// Sets another size. The caller begins a new epoch before and after this.
    pub(crate) fn cut(&self, size: u32) {
        self.empty();
        // The size first: a late call that takes a position of the new use finds its cell by it.
        self.size.store(u64::from(size), Ordering::Release);
        self.base.store(self.position.0.fetch_add(0, Ordering::AcqRel), Ordering::Release);
    }

    /// Erases the counts of all epochs.
    pub(crate) fn erase(&self) {
        self.empty();
        self.counts.0.store(0, Ordering::Release);
    }

    fn empty(&self) {
        // Ordering: Release, as in the time window.
        self.cells.iter().for_each(|cell| cell.store(Entry::EMPTY.0, Ordering::Release));
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire).max(1)
    }

    /// Neighbours in time are on different cache lines, so that threads that count at the same time
    /// do not contend for one.
    fn cell(&self, index: u64) -> &AtomicU64 {
        let index = usize::try_from(index).unwrap_or(0);
        let lines = self.cells.len() / 8;
        let at = if lines > 0 { index % lines * 8 + index / lines } else { index };
        &self.cells[at % self.cells.len()]
    }

    /// Counts a call. `is_current` says whether an epoch still runs.
    // Not inlined: it would grow the code of the time window's calls.
    #[inline(never)]
    pub(crate) fn count(&self, epoch: Epoch, sample: Sample, is_current: impl Fn(Epoch) -> bool) {
        // Ordering: Acquire, so that a position of a new use comes with its size: see `cut`. The
        // cell's exchange publishes the rest.
        let position = self.position.0.fetch_add(1, Ordering::Acquire);
        let cell = self.cell(position % self.size());
        let new = Entry::new(position, epoch, sample);
        let mut old = Entry(cell.load(Ordering::Acquire));
        loop {
            if old.is_later_than(position) {
                // Overtaken by a whole round: this call has left the window already.
                return;
            }
            // Ordering: AcqRel: a thread that finds this call in its cell also sees this call's epoch
            // in the phase, and this thread that of the other call.
            match cell.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(found) => old = Entry(found),
            }
        }
        match old.epoch() {
            Some(same) if same == epoch => {
                self.change(epoch, old.counts(), new.counts(), is_current);
            }
            // The replaced call is of an earlier epoch, or …
            _ if is_current(epoch) => self.change(epoch, 0, new.counts(), is_current),
            // … this call is late, and replaced a call of the running epoch.
            Some(other) => self.change(other, old.counts(), 0, is_current),
            None => {}
        }
    }

    fn change(&self, epoch: Epoch, from: u64, to: u64, is_current: impl Fn(Epoch) -> bool) {
        if from == to {
            return;
        }
        // Ordering: Acquire: a thread that sees counts of a later epoch also sees in the phase that
        // this one is over. So if this one runs, counts of another epoch are of an earlier one.
        let mut counts = Counts(self.counts.0.load(Ordering::Acquire));
        while counts.is_of(epoch) || is_current(epoch) {
            let changed = counts.changed(epoch, from, to).0;
            // Ordering: AcqRel: of two failures, the one counted later sees the other's cell as well.
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

    /// The counts of one epoch, cell by cell; a call that is being counted is read as a success. The
    /// same as [`tally`](Self::tally) when no call is being counted.
    #[cold]
    pub(crate) fn confirm(&self, epoch: Epoch) -> Tally {
        let (size, base) = (self.size(), self.base.load(Ordering::Acquire));
        // The window ends before this position. Ordering: Relaxed: any recent position will do.
        let end = self.position.0.load(Ordering::Relaxed);
        let counts = (base.max(end.saturating_sub(size))..end).map(|position| {
            // Ordering: Acquire pairs with the exchange in `count`.
            let entry = Entry(self.cell(position % size).load(Ordering::Acquire));
            if entry == Entry::EMPTY || entry.positions_after(position) != 0 {
                Counts::CALL
            } else if entry.epoch() == Some(epoch) {
                entry.counts()
            } else {
                0
            }
        });
        Counts(counts.sum()).tally()
    }

    /// The allocated memory in bytes, without `self`.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_its_own_cell() {
        // Miri is slow per cell.
        let largest = if cfg!(miri) { 16 } else { 4_096 };
        for size in [1, 2, 7, 8, 9, 100, 128, largest] {
            let window = CountWindow::new(size);
            assert_eq!(window.bytes(), 8 * size.next_power_of_two() as usize);
            let cells: std::collections::BTreeSet<_> = (0..u64::from(size))
                .map(|index| std::ptr::from_ref(window.cell(index)) as usize)
                .collect();
            assert_eq!(cells.len(), size as usize);
        }
    }

    #[test]
    fn neighbours_in_time_lie_on_different_lines() {
        let window = CountWindow::new(100);
        let at = |index| std::ptr::from_ref(window.cell(index)) as usize;
        assert!((0..15).all(|index| at(index).abs_diff(at(index + 1)) >= 64));
    }

    #[test]
    fn it_has_room_for_as_many_calls_as_it_has_cells() {
        let window = CountWindow::new(100);
        assert_eq!([64, 65, 128, 129].map(|n| window.has_room_for(n)), [true, true, true, false]);
    }

    #[test]
    fn a_late_call_that_replaces_one_of_the_running_epoch_subtracts_it() {
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
        // The same for an epoch that is being prepared, between the two steps of counting a call.
        let next = Epoch::from_number(6);
        window.begin(next);
        let seeded = Entry::new(1, next, failure);
        window.cell(1).store(seeded.0, Ordering::Release);
        window.count(old, failure, |_| false);
        window.change(next, 0, seeded.counts(), |epoch| epoch == next);
        assert_eq!(window.tally(next), Tally::default());
    }

    #[test]
    fn a_call_whose_cell_is_not_written_yet_is_read_as_a_success() {
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
}
