//! The rolling time window.

use crate::tally::Tally;
use std::collections::BTreeMap;

use super::ring::Which;
use super::shard::Shard;
use super::shards::Shards;
use super::span::{Span, Ticks};
use super::{Reading, Sample};
use crate::engine::sync::{Ordering, Setting, fence};
use crate::engine::time::{Epoch, When};

/// A window over the calls of the last so many seconds, sliding by a bucket at a time.
///
/// Its memory is fixed by the number of buckets and the greatest number of threads that counted
/// at once; neither the rate of calls nor time adds to it.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    /// How the window is cut. Atomics, because a window is used again for other policies: see
    /// `pool`. A reader that sees a mixture is of an epoch that has passed, and changes nothing.
    nanos: Setting,
    buckets: Setting,
    slow: Setting,
    /// The most buckets that it was ever cut into.
    ring: Setting,
    shards: Shards<Shard>,
}

impl TimeWindow {
    /// `threads`: how many threads have their shard from the start; rounded up to a power of two.
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

    /// Erases what was counted in any epoch.
    pub(crate) fn erase(&self) {
        self.shards.iter().for_each(Shard::erase);
    }

    /// How many buckets there is room for.
    fn capacity(&self) -> usize {
        usize::try_from(self.ring.load(Ordering::Acquire)).unwrap_or(usize::MAX)
    }

    /// Cuts the window anew. Whoever calls this begins a new epoch before and after it.
    pub(crate) fn cut(&self, span: Span) {
        // Ordering: Release pairs with the Acquire in `span`: whoever sees the new cut also sees
        // that the old epoch is over. The room first: a shard that is made for the new cut has it.
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

    /// Counts one call that ended at `at` nanoseconds after the origin, in this thread's shard,
    /// whose number is `thread`. True if it has to be evaluated: the window slid, the call was slow, or it
    /// was a failure beyond the shard's allowance.
    pub(crate) fn count(&self, thread: usize, when: When, sample: Sample) -> bool {
        let shard = self.shard(thread);
        let opens = !shard.is_open(when);
        if opens {
            self.open(thread, shard, when);
        }
        let due = shard.count(sample);
        opens || due
    }

    /// The same of a call that is not slow, if this thread's bucket is open. None, and nothing
    /// counted, if not.
    #[inline]
    pub(crate) fn try_count(&self, thread: usize, when: When, failed: bool) -> Option<bool> {
        self.shards.first(thread).filter(|shard| shard.is_open(when))?.try_count(failed)
    }

    /// How many more failures this thread may count in that epoch without evaluating them.
    pub(crate) fn own_allowance(&self, thread: usize, epoch: Epoch) -> u64 {
        self.shard(thread).own_allowance(epoch)
    }

    /// Lets this thread count that many more failures in that epoch without evaluating them.
    pub(crate) fn grant(&self, thread: usize, epoch: Epoch, failures: u64) {
        self.shard(thread).grant(epoch, failures);
    }

    #[cold]
    #[inline(never)]
    fn open(&self, thread: usize, shard: &Shard, When { epoch, at }: When) {
        let (span, mut newest) = (self.span(), 0);
        let at = span.tick(at);
        loop {
            // A thread whose clock is behind another's counts in the newest bucket.
            let tick = self.newest(epoch, at.max(newest));
            self.shards.begin(thread, span.end(tick));
            shard.open(&span, epoch, tick);
            // Ordering: SeqCst. Of two threads that open buckets at the same time at least one sees
            // the other's: it takes that one, or closes it.
            fence(Ordering::SeqCst);
            let oldest = Ticks::new(tick, &span).oldest;
            let others = self.shards.iter().filter_map(|other| other.leave_behind(epoch, oldest));
            newest = others.fold(0, u64::max);
            if Ticks::new(newest, &span).oldest <= tick {
                return;
            }
        }
    }

    #[inline]
    fn shard(&self, thread: usize) -> &Shard {
        self.shards.of(thread, || Shard::new(self.capacity()))
    }

    /// The counts of one epoch in the window that ends at `at`, or at the latest call that was
    /// counted, by the moment at which their bucket began.
    pub(crate) fn kept(&self, When { epoch, at }: When) -> BTreeMap<i128, Tally> {
        let span = self.span();
        let mut newest = self.newest(epoch, span.tick(at));
        loop {
            let oldest = newest.saturating_sub(u64::from(span.buckets) - 1);
            let mut kept = BTreeMap::new();
            for shard in self.shards.iter() {
                shard.add_buckets(&mut kept, epoch, oldest);
            }
            // As in `read`: while the window slides, a bucket may be emptied under the reading.
            let now = self.newest(epoch, newest);
            if now == newest {
                kept.retain(|_, tally: &mut Tally| tally.calls() > 0);
                return kept.into_iter().map(|(tick, tally)| (span.start(tick), tally)).collect();
            }
            newest = now;
        }
    }

    /// Puts counts into an epoch that has not begun, and opens the bucket of `at`.
    pub(crate) fn seed(&self, thread: usize, when: When, kept: &BTreeMap<i128, Tally>) {
        let (span, shard, epoch) = (self.span(), self.shard(thread), when.epoch);
        let newest = span.tick(when.at);
        self.shards.begin(thread, span.end(newest));
        let oldest = newest - (u64::from(span.buckets) - 1);
        let mut ticks = BTreeMap::<u64, Tally>::new();
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

    /// The counts of one epoch in the window that ends at `at`, or at the latest call that was
    /// counted, if that is later.
    pub(crate) fn tally(&self, when: When) -> Tally {
        self.read(when, self.span().tick(when.at)).tally
    }

    /// What is read of one epoch in the window that ends at the latest call that was counted: one at
    /// `at`, or a later one.
    pub(crate) fn latest(&self, when: When) -> Reading {
        self.read(when, 0)
    }

    fn read(&self, When { epoch, at }: When, at_least: u64) -> Reading {
        let span = self.span();
        // No bucket of a window that reaches to `at` ends before that.
        let since = Some(at.nanos().saturating_sub(span.nanos));
        loop {
            let reading = match self.shards.few() {
                Some(shards) => add_up(shards.iter(), &span, epoch, at_least),
                None => add_up(self.shards.since(since), &span, epoch, at_least),
            };
            // The window slid under the reading. A thread does that once a bucket's width, or an
            // epoch, so this ends.
            if let Some(reading) = reading {
                return reading;
            }
        }
    }

    fn newest(&self, epoch: Epoch, at_least: u64) -> u64 {
        self.shards.iter().filter_map(|shard| shard.newest(epoch)).fold(at_least, u64::max)
    }

    /// The memory that it holds, in bytes, itself not included.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(Shard::bytes).sum::<usize>() + self.shards.bytes()
    }
}

/// What the shards hold of one epoch in the window that ends with the newest bucket, or with
/// `at_least`, if that is newer. None if one of them went on meanwhile.
#[inline]
fn add_up<'a>(
    shards: impl Iterator<Item = &'a Shard> + Clone,
    span: &Span,
    epoch: Epoch,
    at_least: u64,
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
        // Before the failures: what is used of it meanwhile is in one of the two, or in both.
        allowance = allowance.saturating_add(shard.allowance(epoch, ticks));
        tally.failures += shard.sum(epoch, ticks, Which::Failures);
    }
    for shard in shards.clone() {
        tally.successes += shard.sum(epoch, ticks, Which::Successes);
    }
    // The version may have been raised just before it was read first, and all else written since:
    // the newest tick is then another one by now, or nothing in the window was emptied.
    let (mut opened_now, mut newest_now) = (0, at_least);
    for shard in shards {
        opened_now += shard.opened();
        newest_now = newest_now.max(shard.newest(epoch).unwrap_or(0));
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
        assert_eq!(window.tally(when(0)), Tally { successes: 2, failures: 1, slow: 0 });
    }

    #[test]
    fn what_is_read_says_how_many_threads_counted_and_what_they_need_not_evaluate() {
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
        // Beyond those that there was room for.
        window.count(5, when(0), SUCCESS);
        assert_eq!(read(), (3, 5));
    }

    #[test]
    fn its_memory_is_that_of_each_threads_part() {
        let window = TimeWindow::new(Span::new(&Policy::default()), 2);
        let part = Shard::new(10).bytes();
        assert!(part >= 10 * 32);
        assert_eq!((window.bytes(), window.capacity()), (2 * part, 10));
        window.count(2, when(0), SUCCESS);
        assert_eq!(window.bytes(), 3 * part + window.shards.bytes());
    }
}
