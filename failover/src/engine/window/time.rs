//! The rolling time window.

use crate::tally::Tally;
use std::collections::BTreeMap;

use super::ring::Which;
use super::shard::Shard;
use super::shards::Shards;
use super::span::{Span, Tick, Ticks};
use super::{Reading, Sample};
use crate::engine::sync::{Ordering, Setting, fence};
use crate::engine::time::{Epoch, When};

/// A window over the calls of the last seconds, which slides by one bucket at a time.
///
/// Its memory depends on the number of buckets and the greatest number of threads that counted at
/// once, not on the number of calls or on time.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    /// The span. Atomics, since a window is reused for other policies: see `pool`. A reader that sees a
    /// mixture belongs to an epoch that is over, and changes nothing.
    nanos: Setting,
    buckets: Setting,
    slow: Setting,
    /// The greatest number of buckets so far.
    ring: Setting,
    shards: Shards<Shard>,
}

impl TimeWindow {
    /// `threads`: how many threads have a shard from the start, rounded up to a power of two.
    pub(crate) fn new(span: Span, threads: usize) -> Self {
        let ring = usize::try_from(span.buckets).unwrap_or(usize::MAX);
        Self {
            nanos: Setting::new(span.nanos),
            buckets: Setting::new(u64::from(span.buckets)),
            slow: Setting::new(u64::from(span.slow)),
            ring: Setting::new(ring as u64),
            shards: Shards::new(threads, || Shard::new(ring)),
        }
    }

    /// Erases the counts of all epochs.
    pub(crate) fn erase(&self) {
        self.shards.iter().for_each(Shard::erase);
    }

    /// The number of buckets that a new shard has.
    fn capacity(&self) -> usize {
        usize::try_from(self.ring.load(Ordering::Acquire)).unwrap_or(usize::MAX)
    }

    /// Sets another span. The caller begins a new epoch before and after this.
    pub(crate) fn cut(&self, span: Span) {
        // Ordering: Release pairs with the Acquire in `span`: a thread that sees the new span also
        // sees that the old epoch is over. The capacity first: a shard made for the new span has it.
        self.ring.fetch_max(u64::from(span.buckets), Ordering::Release);
        self.nanos.store(span.nanos, Ordering::Release);
        self.buckets.store(u64::from(span.buckets), Ordering::Release);
        self.slow.store(u64::from(span.slow), Ordering::Release);
    }

    fn span(&self) -> Span {
        // Ordering: Acquire, see `cut`.
        let nanos = self.nanos.load(Ordering::Acquire);
        let buckets = self.buckets.load(Ordering::Acquire);
        let slow = self.slow.load(Ordering::Acquire) != 0;
        Span { nanos, buckets: u32::try_from(buckets).unwrap_or(u32::MAX), slow }
    }

    /// Counts one call that ended. True if the window has to be evaluated: it slid, or the call was
    /// slow, or a failure beyond the shard's allowance.
    pub(crate) fn count(&self, thread: usize, when: When, sample: Sample) -> bool {
        let shard = self.shard(thread);
        let opens = !shard.is_open(when);
        if opens {
            self.open(thread, shard, when);
        }
        let due = shard.count(sample);
        opens || due
    }

    /// Counts a call that is not slow, if this thread's bucket is open. `None` if it is not counted.
    #[inline]
    pub(crate) fn try_count(&self, thread: usize, when: When, failed: bool) -> Option<bool> {
        self.shards.first(thread).filter(|shard| shard.is_open(when))?.try_count(failed)
    }

    /// The failures that this thread may still count in `epoch` without an evaluation.
    pub(crate) fn own_allowance(&self, thread: usize, epoch: Epoch) -> u64 {
        self.shard(thread).own_allowance(epoch)
    }

    /// Lets this thread count `failures` more failures of `epoch` without an evaluation.
    pub(crate) fn grant(&self, thread: usize, epoch: Epoch, failures: u64) {
        self.shard(thread).grant(epoch, failures);
    }

    #[cold]
    #[inline(never)]
    fn open(&self, thread: usize, shard: &Shard, When { epoch, at }: When) {
        let (span, mut newest) = (self.span(), Tick::default());
        let at = span.tick(at);
        loop {
            // A thread whose clock is behind another's counts in the newest bucket.
            let tick = self.newest(epoch, at.max(newest));
            self.shards.begin(thread, span.end(tick));
            shard.open(&span, epoch, tick);
            // Ordering: SeqCst. Of two threads that open buckets at the same time at least one sees
            // the other's bucket: it takes that tick, or closes the bucket.
            fence(Ordering::SeqCst);
            let oldest = Ticks::new(tick, &span).oldest;
            let others = self.shards.iter().filter_map(|other| other.leave_behind(epoch, oldest));
            newest = others.fold(Tick::default(), Tick::max);
            if Ticks::new(newest, &span).oldest <= tick {
                return;
            }
        }
    }

    #[inline]
    fn shard(&self, thread: usize) -> &Shard {
        self.shards.of(thread, || Shard::new(self.capacity()))
    }

    /// The counts of an epoch by the moment at which their bucket began, in the window that ends at `at`
    /// or with the latest counted call, whichever is later.
    pub(crate) fn kept(&self, When { epoch, at }: When) -> BTreeMap<i128, Tally> {
        let span = self.span();
        let mut newest = self.newest(epoch, span.tick(at));
        loop {
            let oldest = Ticks::new(newest, &span).oldest;
            let mut kept = BTreeMap::new();
            for shard in self.shards.iter() {
                shard.add_buckets(&mut kept, epoch, oldest);
            }
            // As in `read`: while the window slides, a bucket may be emptied during the reading.
            let now = self.newest(epoch, newest);
            if now == newest {
                kept.retain(|_, tally: &mut Tally| tally.calls() > 0);
                return kept.into_iter().map(|(tick, tally)| (span.start(tick), tally)).collect();
            }
            newest = now;
        }
    }

    /// Puts counts into an epoch that has not begun, and opens the bucket of `when`.
    pub(crate) fn seed(&self, thread: usize, when: When, kept: &BTreeMap<i128, Tally>) {
        let (span, shard, epoch) = (self.span(), self.shard(thread), when.epoch);
        let newest = span.tick(when.at);
        self.shards.begin(thread, span.end(newest));
        let oldest = Ticks::new(newest, &span).oldest;
        let mut ticks = BTreeMap::<Tick, Tally>::new();
        for (&began, tally) in kept {
            if let Some(tick) = span.tick_of(began).filter(|tick| *tick >= oldest) {
                ticks.entry(tick).or_default().add(tally);
            }
        }
        for (&tick, tally) in &ticks {
            shard.seed(&span, epoch, tick, tally);
        }
        shard.open(&span, epoch, newest);
    }

    /// The counts in the window that ends at `when` or with the latest counted call, whichever is
    /// later.
    pub(crate) fn tally(&self, when: When) -> Tally {
        self.read(when, self.span().tick(when.at)).tally
    }

    /// The counts in the window that ends with the latest counted call: one at `when`, or a later one.
    pub(crate) fn latest(&self, when: When) -> Reading {
        self.read(when, Tick::default())
    }

    fn read(&self, When { epoch, at }: When, at_least: Tick) -> Reading {
        let span = self.span();
        // No bucket of a window that ends at `at` ends before this.
        let since = Some(at.nanos().saturating_sub(span.nanos));
        loop {
            let reading = match self.shards.few() {
                Some(shards) => add_up(shards.iter(), &span, epoch, at_least),
                None => add_up(self.shards.since(since), &span, epoch, at_least),
            };
            // The window slid during the reading, which a thread does once per bucket or epoch, so
            // this loop ends.
            if let Some(reading) = reading {
                return reading;
            }
        }
    }

    fn newest(&self, epoch: Epoch, at_least: Tick) -> Tick {
        self.shards.iter().filter_map(|shard| shard.newest(epoch)).fold(at_least, Tick::max)
    }

    /// The allocated memory in bytes, without `self`.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(Shard::bytes).sum::<usize>() + self.shards.bytes()
    }
}

/// The counts of an epoch in the window that ends with the newest bucket of the shards or `at_least`,
/// whichever is later. `None` if a shard opened a bucket meanwhile.
#[inline]
fn add_up<'a>(
    shards: impl Iterator<Item = &'a Shard> + Clone,
    span: &Span,
    epoch: Epoch,
    at_least: Tick,
) -> Option<Reading> {
    let (mut opened, mut newest, mut threads) = (0, at_least, 0);
    for shard in shards.clone() {
        opened += shard.opened();
        if let Some(tick) = shard.newest(epoch) {
            newest = newest.max(tick);
            threads += 1;
        }
    }
    let ticks = Ticks::new(newest, span);
    let (mut tally, mut allowance) = (Tally::default(), 0_u64);
    if span.slow {
        for shard in shards.clone() {
            tally.slow += shard.sum(epoch, ticks, Which::Slow);
        }
    }
    for shard in shards.clone() {
        // Before the failures: allowance that is used meanwhile is in one of the two, or in both.
        allowance = allowance.saturating_add(shard.allowance(epoch, ticks));
        tally.failures += shard.sum(epoch, ticks, Which::Failures);
    }
    for shard in shards.clone() {
        tally.successes += shard.sum(epoch, ticks, Which::Successes);
    }
    // An opening may have incremented the version just before the first reading, and written the rest
    // since: then the newest tick has changed, or no bucket of the window was emptied.
    let (mut opened_now, mut newest_now) = (0, at_least);
    for shard in shards {
        opened_now += shard.opened();
        newest_now = newest_now.max(shard.newest(epoch).unwrap_or_default());
    }
    (opened_now == opened && newest_now == newest).then_some(Reading { tally, allowance, threads })
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use crate::engine::time::Elapsed;
    use crate::policy::Policy;

    const EPOCH: Epoch = Epoch::from_number(5);
    const SUCCESS: Sample = Sample { failed: false, slow: false };
    const FAILURE: Sample = Sample { failed: true, slow: false };

    fn when(second: u64) -> When {
        When { epoch: EPOCH, at: Elapsed::from_millis(1_000 * second) }
    }

    #[test]
    fn a_success_is_evaluated_where_it_opens_a_bucket_and_nowhere_else() {
        let window = TimeWindow::new(Span::new(&Policy::default()), 2);
        let seconds = [0, 0, 5, 6, 11, 7, 12];
        let evaluated = seconds.map(|second| window.count(0, when(second), SUCCESS));
        assert_eq!(evaluated, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn at_once_a_call_is_counted_in_an_open_bucket_alone() {
        let window = TimeWindow::new(Span::new(&Policy::default()), 2);
        let at_once = |thread, second, failed| window.try_count(thread, when(second), failed);
        assert_eq!(at_once(0, 0, false), None);
        window.count(0, when(0), SUCCESS);
        assert_eq!((at_once(0, 5, false), at_once(0, 5, true)), (Some(false), Some(true)));
        assert_eq!(
            (at_once(0, 6, false), at_once(1, 0, false), at_once(9, 0, false)),
            (None, None, None)
        );
        assert_eq!(window.tally(when(0)), Tally { successes: 2, failures: 1, ..Tally::default() });
    }

    #[test]
    fn a_reading_has_the_number_of_threads_and_their_allowance() {
        let window = TimeWindow::new(Span::new(&Policy::default()), 2);
        let read = || (window.latest(when(0)).threads, window.latest(when(0)).allowance);
        assert_eq!(read(), (0, 0));
        window.count(0, when(0), SUCCESS);
        window.grant(0, EPOCH, 4);
        assert_eq!(
            (read(), window.own_allowance(0, EPOCH), window.own_allowance(1, EPOCH)),
            ((1, 4), 4, 0)
        );
        window.count(1, when(0), SUCCESS);
        window.grant(1, EPOCH, 2);
        assert!(!window.count(0, when(0), FAILURE));
        assert_eq!((read(), window.own_allowance(0, EPOCH)), ((2, 5), 3));
        // A thread beyond those with a shard from the start.
        window.count(5, when(0), SUCCESS);
        assert_eq!(read(), (3, 5));
    }

    #[test]
    fn its_memory_is_that_of_its_shards() {
        let window = TimeWindow::new(Span::new(&Policy::default()), 2);
        let part = Shard::new(10).bytes();
        assert!(part >= 10 * 32);
        assert_eq!((window.bytes(), window.capacity()), (2 * part, 10));
        window.count(2, when(0), SUCCESS);
        assert_eq!(window.bytes(), 3 * part + window.shards.bytes());
    }
}
