//! Calls that were dropped before their outcome was known.
//!
//! They are only displayed, and no condition reads them. All threads count in one ring behind a lock,
//! which only a dropped call, a snapshot and a trip take: calls that end don't pay for it. The first
//! dropped call allocates the ring.
//!
//! The ring follows the window of the policy in force. In a window of last calls its position is the
//! number of calls that have ended instead of the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::span::{Span, Tick, Ticks};
use crate::engine::time::{Elapsed, Epoch, When};
use crate::policy::Policy;

/// After how many calls that are dropped in a row that is reported.
const SILENT_CALLS: u64 = 100;

/// The most buckets of the ring. A window that has more is followed in steps of its sixteenth part.
const MOST_BUCKETS: usize = 16;

/// The dropped calls of the current epoch that are in the window.
#[derive(Debug)]
pub(crate) struct Dropped {
    counted: Mutex<Counted>,
    /// The calls dropped in a row, as far as is known. Outside the lock, for the calls that end.
    in_a_row: AtomicU64,
}

#[derive(Debug)]
struct Counted {
    scale: Scale,
    /// `None` until a call is dropped.
    ring: Option<Box<Ring>>,
}

/// The window of a policy, in at most [`MOST_BUCKETS`].
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// In nanoseconds, or in calls.
    span: Span,
    /// Whether the window is of last calls.
    of_calls: bool,
}

#[derive(Debug)]
struct Ring {
    scale: Scale,
    /// `None` until a call is dropped under the policy in force.
    epoch: Option<Epoch>,
    /// The position that is counted from.
    origin: u64,
    newest: Tick,
    buckets: [(Tick, u64); MOST_BUCKETS],
    /// The position of the last dropped call.
    last: Elapsed,
    reported: bool,
}

impl Dropped {
    pub(crate) fn new(policy: &Policy) -> Self {
        let counted = Counted { scale: Scale::new(policy), ring: None };
        Self { counted: Mutex::new(counted), in_a_row: AtomicU64::new(0) }
    }

    /// Follows the window of another policy, and forgets all dropped calls.
    pub(crate) fn adopt(&self, policy: &Policy) {
        let mut counted = self.lock();
        counted.scale = Scale::new(policy);
        let scale = counted.scale;
        if let Some(ring) = &mut counted.ring {
            **ring = Ring::new(scale);
        }
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// Counts a dropped call at a position of the window. Once for each policy it returns the number of
    /// calls that were dropped in a row, without one that ended between them.
    ///
    /// `is_current` says whether the epoch still runs, and `any_ended` whether the window holds a call
    /// that ended.
    pub(crate) fn add(
        &self,
        when: When,
        is_current: impl FnOnce() -> bool,
        any_ended: impl FnOnce() -> bool,
    ) -> Option<u64> {
        let mut counted = self.lock();
        let scale = counted.scale;
        let ring = counted.ring.get_or_insert_with(|| Box::new(Ring::new(scale)));
        if ring.epoch != Some(when.epoch) {
            // Under the lock: a call of an earlier epoch never replaces the counts of a later one.
            if !is_current() {
                return None;
            }
            ring.begin(when);
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        ring.add(when.at, &self.in_a_row, any_ended)
    }

    /// A call ended that the window does not count.
    pub(crate) fn ends_row(&self) {
        // Ordering: Relaxed. Only a number; without a row nothing is written, and the cache line stays
        // shared.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// The dropped calls of an epoch in the window that ends at a position.
    pub(crate) fn count(&self, when: When) -> u64 {
        let counted = self.lock();
        let ring = counted.ring.as_ref().filter(|ring| ring.epoch == Some(when.epoch));
        ring.map_or(0, |ring| ring.count(when.at))
    }

    /// The allocated memory in bytes, without `self`.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().ring.as_deref().map_or(0, size_of_val)
    }

    // No panic can leave the ring half-changed, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scale {
    fn new(policy: &Policy) -> Self {
        let span = match policy.last_calls() {
            Some(calls) => Span { nanos: calls.into(), buckets: calls, slow: false },
            None => Span::new(policy),
        };
        let most = u32::try_from(MOST_BUCKETS).unwrap_or(u32::MAX);
        let span = Span { buckets: span.buckets.min(most), ..span };
        Self { span, of_calls: policy.last_calls().is_some() }
    }
}

impl Ring {
    fn new(scale: Scale) -> Self {
        Self {
            scale,
            epoch: None,
            origin: 0,
            newest: Tick::default(),
            buckets: [(Tick::default(), 0); MOST_BUCKETS],
            last: Elapsed::default(),
            reported: false,
        }
    }

    fn begin(&mut self, When { epoch, at }: When) {
        self.epoch = Some(epoch);
        self.origin = if self.scale.of_calls { at.nanos() } else { 0 };
        self.newest = Tick::default();
        self.buckets = [(Tick::default(), 0); MOST_BUCKETS];
        self.last = at;
    }

    /// A clock that steps back does not close the newest bucket.
    fn tick(&self, at: Elapsed) -> Tick {
        let since = Elapsed::from_nanos(at.nanos().saturating_sub(self.origin));
        self.scale.span.tick(since).max(self.newest)
    }

    fn count(&self, at: Elapsed) -> u64 {
        let oldest = Ticks::new(self.tick(at), &self.scale.span).oldest;
        let inside = self.buckets.iter().filter(|(tick, _)| *tick >= oldest);
        inside.map(|(_, calls)| calls).sum()
    }

    fn add(
        &mut self,
        at: Elapsed,
        in_a_row: &AtomicU64,
        any_ended: impl FnOnce() -> bool,
    ) -> Option<u64> {
        let is_alone = self.count(at) == 0;
        let tick = self.tick(at);
        let opens = tick != self.newest;
        self.newest = tick;
        let slot = usize::try_from(tick.0 % u64::from(self.scale.span.buckets)).unwrap_or(0);
        let (of, calls) = &mut self.buckets[slot];
        if *of != tick {
            (*of, *calls) = (tick, 0);
        }
        *calls += 1;
        if self.reported {
            return None;
        }
        let before = in_a_row.load(Ordering::Relaxed);
        let is_due = before + 1 >= SILENT_CALLS;
        let ended_between = if self.scale.of_calls {
            at != self.last
        } else {
            // A call that ended since the last look is still in the window, unless no dropped call is.
            is_alone || ((opens || is_due) && any_ended())
        };
        self.last = at;
        let row = if ended_between { 1 } else { before + 1 };
        // If it differs, a call ended meanwhile.
        let order = Ordering::Relaxed;
        if in_a_row.compare_exchange(before, row, order, order).is_err() {
            return None;
        }
        self.reported = row >= SILENT_CALLS;
        self.reported.then_some(row)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    const EPOCH: Epoch = Epoch::from_number(5);

    fn at(position: u64) -> When {
        When { epoch: EPOCH, at: Elapsed::from_nanos(position) }
    }

    fn second(second: u64) -> When {
        at(second * 1_000_000_000)
    }

    fn add(dropped: &Dropped, when: When) -> bool {
        dropped.add(when, || true, || false).is_some()
    }

    #[test]
    fn dropped_calls_leave_the_window_by_buckets() {
        let dropped = Dropped::new(&Policy::default());
        for when in [0, 5, 6, 59].map(second) {
            add(&dropped, when);
        }
        let counts = [0, 59, 60, 66, 118, 120].map(|s| dropped.count(second(s)));
        // A reader's clock that is behind does not close the newest bucket.
        assert_eq!(counts, [4, 4, 2, 1, 0, 0]);
    }

    #[test]
    fn a_long_window_is_followed_in_sixteenths() {
        let policy = Policy::builder().window(Duration::from_secs(1_600), 800).build().unwrap();
        let dropped = Dropped::new(&policy);
        add(&dropped, second(0));
        add(&dropped, second(99));
        add(&dropped, second(100));
        assert_eq!([1_599, 1_600, 1_700].map(|s| dropped.count(second(s))), [3, 1, 0]);
    }

    #[test]
    fn in_a_window_of_calls_they_leave_with_the_calls_that_end() {
        let policy = Policy::builder().last_calls(20).build().unwrap();
        let dropped = Dropped::new(&policy);
        add(&dropped, at(1_007));
        add(&dropped, at(1_017));
        assert_eq!(
            [1_017, 1_026, 1_027, 1_036, 1_037].map(|p| dropped.count(at(p))),
            [2, 2, 1, 1, 0]
        );
    }

    #[test]
    fn a_call_of_an_epoch_that_is_over_is_not_counted() {
        let dropped = Dropped::new(&Policy::default());
        let old = When { epoch: EPOCH.previous(), ..second(1) };
        add(&dropped, old);
        add(&dropped, second(1));
        assert_eq!((dropped.count(old), dropped.count(second(1))), (0, 1));
        assert_eq!(dropped.add(old, || false, || false), None);
        assert_eq!(dropped.count(second(1)), 1);
        dropped.adopt(&Policy::default());
        assert_eq!(dropped.count(second(1)), 0);
    }

    #[test]
    fn calls_dropped_in_a_row_are_reported_once_for_each_policy() {
        for policy in [Policy::default(), Policy::builder().last_calls(20).build().unwrap()] {
            let dropped = Dropped::new(&policy);
            for _ in 0..2 {
                let reports: Vec<_> = (1..=300).filter(|_| add(&dropped, at(7))).collect();
                assert_eq!(reports, [100]);
                dropped.adopt(&policy);
            }
        }
    }

    #[test]
    fn a_call_that_ends_between_them_begins_a_new_row() {
        let of_time = Dropped::new(&Policy::default());
        let row = |calls: u64, second_of: u64| {
            (0..calls).filter(|_| add(&of_time, second(second_of))).count()
        };
        assert_eq!(row(99, 0), 0);
        assert_eq!(of_time.add(second(0), || true, || true), None);
        assert_eq!(row(98, 0), 0);
        // A look once for each bucket.
        assert_eq!(of_time.add(second(6), || true, || true), None);
        assert_eq!(row(98, 6), 0);
        // After a window without any, it is not known what ended.
        assert_eq!((row(99, 70), row(1, 70)), (0, 1));

        let of_calls = Dropped::new(&Policy::builder().last_calls(20).build().unwrap());
        let row = |calls: u64, ended: u64| (0..calls).filter(|_| add(&of_calls, at(ended))).count();
        assert_eq!((row(99, 0), row(99, 1), row(1, 1)), (0, 0, 1));
    }

    #[test]
    fn a_call_that_ends_uncounted_begins_a_new_row() {
        let dropped = Dropped::new(&Policy::default());
        let row = |calls: u64| (0..calls).filter(|_| add(&dropped, second(7))).count();
        assert_eq!(row(99), 0);
        dropped.ends_row();
        assert_eq!((row(99), row(1), dropped.count(second(7))), (0, 1, 199));
    }
}
