//! When to trip: conditions in addition to the failure rate.

use std::time::Duration;

use super::{Policy, PolicyBuilder};
use crate::ratio::Ratio;

/// Options that are off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) consecutive_failures: Option<u32>,
    pub(super) slow_calls: Option<SlowCalls>,
    pub(super) stalled_calls: Option<(Duration, StallLimit)>,
    pub(super) last_calls: Option<u32>,
    pub(super) dropped_after: Option<Duration>,
    dry_run: bool,
}

/// Which calls are slow, and how many slow calls are too many: see [`PolicyBuilder::slow_calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is for `PolicyBuilder::slow_calls`"]
#[non_exhaustive]
pub struct SlowCalls {
    /// A call that takes longer is slow.
    pub longer_than: Duration,
    /// The share of slow calls that must be exceeded to trip.
    pub more_than: Ratio,
    /// The minimum of calls in the window for this condition; the policy's
    /// [`minimum_calls`](Policy::minimum_calls) if `None`.
    pub minimum_calls: Option<u64>,
}

impl SlowCalls {
    /// Calls longer than `time`, from 1 ms to [`Policy::LONGEST`], are slow. By default a share of
    /// more than one half trips.
    pub fn longer_than(time: Duration) -> Self {
        Self { longer_than: time, more_than: Ratio::HALF, minimum_calls: None }
    }

    /// The share that must be exceeded to trip: below 1.
    pub fn more_than(mut self, rate: Ratio) -> Self {
        self.more_than = rate;
        self
    }

    /// The minimum of calls in the window for this condition: at least 1.
    pub fn minimum_calls(mut self, calls: u64) -> Self {
        self.minimum_calls = Some(calls);
        self
    }
}

/// How many stalled calls are too many: see [`PolicyBuilder::stalled_calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallLimit {
    /// This many calls in flight for longer than the time, however long ago they began. At least 1.
    Calls(u64),
    /// More than this share of the calls admitted in a period as long as the time, which ended that
    /// same time ago. Below 1; the period must hold the minimum of calls.
    Share(Ratio),
}

impl Policy {
    /// The maximum size of a window of last calls.
    pub const MOST_LAST_CALLS: u32 = 4_096;

    /// How many failures in a row trip; `None` if switched off.
    #[must_use]
    pub fn consecutive_failures(&self) -> Option<u32> {
        self.trip.consecutive_failures
    }

    /// Which calls are slow, and how many are too many; `None` if switched off.
    #[must_use]
    pub fn slow_calls(&self) -> Option<SlowCalls> {
        self.trip.slow_calls
    }

    /// How many calls the window must hold before the share of slow calls is evaluated.
    pub(crate) fn slow_minimum_calls(&self) -> u64 {
        self.trip.slow_calls.and_then(|slow| slow.minimum_calls).unwrap_or(self.minimum_calls)
    }

    /// After how long a call in flight is stalled, and how many are too many; `None` if switched
    /// off.
    #[must_use]
    pub fn stalled_calls(&self) -> Option<(Duration, StallLimit)> {
        self.trip.stalled_calls
    }

    /// How many calls the window holds; `None` for a window of time.
    #[must_use]
    pub fn last_calls(&self) -> Option<u32> {
        self.trip.last_calls
    }

    /// After how long a dropped call is a failure; `None` if it never is.
    #[must_use]
    pub fn dropped_after(&self) -> Option<Duration> {
        self.trip.dropped_after
    }

    /// Whether the policy is a dry run, which diverts no call.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.trip.dry_run
    }
}

/// # When to trip
/// *Any* condition trips: the failure rate, which is on by default, and those below. If several are
/// met at once, the event names the first of failure rate, consecutive failures, slow calls.
/// Stalled calls are evaluated at admissions, the others when a call ends.
impl PolicyBuilder {
    /// Switches the failure rate off; another condition is then required. Calls are still counted.
    ///
    /// ```
    /// use failover::Policy;
    /// use failover::policy::PolicyError;
    ///
    /// assert!(Policy::builder().without_failure_rate().consecutive_failures(5).build().is_ok());
    /// let nothing = Policy::builder().without_failure_rate().build();
    /// assert_eq!(nothing, Err(PolicyError::NoCondition));
    /// ```
    pub fn without_failure_rate(mut self) -> Self {
        self.0.failure_rate = None;
        self
    }

    /// Trips at this many failures in a row, across all threads, in the order in which calls end. A
    /// success ends the streak, ignored and dropped calls do not; neither the minimum of calls nor
    /// the window applies. At least 1.
    ///
    /// Cost: a success reads one word that only failures and the success after them write.
    ///
    /// ```
    /// use failover::{Monitor, Outcome, Policy, Route};
    ///
    /// let monitor = Monitor::new(Policy::builder().consecutive_failures(5).build()?);
    /// for _ in 0..5 {
    ///     monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    /// }
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.0.trip.consecutive_failures = Some(failures);
        self
    }

    /// Trips when too many calls in the window were slow: strictly more than the share, each
    /// strictly longer than the time. A slow call also counts as the success or failure that it is.
    ///
    /// A call is timed from its admission (through tower: from `call`, without waiting for
    /// readiness) until it is recorded. The error is up to one tick of the clock, 1 to 10 ms for
    /// the default [`CoarseClock`](crate::clock::CoarseClock); below about 50 ms use
    /// [`FineClock`](crate::clock::FineClock).
    ///
    /// Cost: a read of the clock at admission; evaluating a failure or a slow call reads the window
    /// three times instead of twice.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::clock::ManualClock;
    /// use failover::policy::SlowCalls;
    /// use failover::{Monitor, Outcome, Policy, Ratio, Route};
    ///
    /// let slow = SlowCalls::longer_than(Duration::from_secs(1)).more_than(Ratio::percent(50));
    /// let policy = Policy::builder().slow_calls(slow).build()?;
    /// let clock = ManualClock::new();
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// let tickets: Vec<_> = (0..10).filter_map(|_| monitor.admit().ticket()).collect();
    /// clock.advance(Duration::from_millis(1_001));
    /// for ticket in tickets {
    ///     monitor.record(ticket, Outcome::Success);
    /// }
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn slow_calls(mut self, slow: SlowCalls) -> Self {
        self.0.trip.slow_calls = Some(slow);
        self
    }

    /// Trips when too many calls are in flight for longer than `after`, before they time out. From
    /// 4 ms to [`Policy::LONGEST`].
    ///
    /// There is no timer per call. A call is known by the quarter of `after` in which it was
    /// admitted, and begins to count as stalled between `after` and `5/4 after` later, never
    /// earlier. Each thread's first admission in each quarter evaluates: a trip needs a new call,
    /// but no call to end, and a call of [`Monitor::admit`](crate::monitor::Monitor::admit) that
    /// trips goes to the fallback itself. Calls admitted before the last transition do not count.
    ///
    /// A dropped call or ticket is not in flight; a leaked one (`mem::forget`) is until the next
    /// transition. Through tower a call is in flight from `call` on.
    ///
    /// Cost: two reads of the clock at admission (through tower in `poll_ready` and `call`); per
    /// admission and per end two loads and stores in the thread's cache lines, and one or two
    /// divisions; once a quarter each thread reads all shards. Memory: 384 bytes per thread.
    ///
    /// A call that waits in `poll_ready` on a clock that can [sleep](crate::clock::Clock::sleep_until)
    /// wakes and polls its service at each quarter in which calls that are in flight may begin to count
    /// as stalled; with none in flight, once per `5/4 after`, since another clone may have begun one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Policy, Route};
    /// use failover::clock::ManualClock;
    /// use failover::policy::StallLimit;
    ///
    /// let policy = Policy::builder()
    ///     .stalled_calls(Duration::from_secs(2), StallLimit::Calls(5))
    ///     .build()?;
    /// let clock = ManualClock::new();
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// let hanging: Vec<_> = (0..5).map(|_| monitor.admit()).collect();
    /// clock.advance(Duration::from_millis(2_500));
    /// assert!(monitor.admit().ticket().is_none());
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn stalled_calls(mut self, after: Duration, limit: StallLimit) -> Self {
        self.0.trip.stalled_calls = Some((after, limit));
        self
    }

    /// Makes the window hold the last `calls` calls, from 1 to [`Policy::MOST_LAST_CALLS`], instead
    /// of a period of time. This and [`window`](Self::window) replace each other.
    ///
    /// Only newer calls displace older ones: after a quiet week, last week's failures still count.
    ///
    /// Cost: two atomic read-modify-writes per call, one in a cache line that all threads write:
    /// little on one thread, on many far more than a window of time. Memory: 8 bytes per call, for
    /// `calls` rounded up to a power of two.
    ///
    /// ```
    /// use failover::{Monitor, Outcome, Policy, Route};
    ///
    /// let monitor = Monitor::new(Policy::builder().last_calls(100).build()?);
    /// let call = |outcome| monitor.record(monitor.admit().ticket().unwrap(), outcome);
    /// (0..1_000).for_each(|_| call(Outcome::Success));
    /// (0..51).for_each(|_| call(Outcome::Failure));
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn last_calls(mut self, calls: u32) -> Self {
        let by_time = Policy::default();
        (self.0.window, self.0.buckets) = (by_time.window, by_time.buckets);
        self.0.trip.last_calls = Some(calls);
        self
    }

    /// Counts a dropped call as a failure if it ran for longer than `time`, as with a time-out
    /// outside the layer; set `time` below that time-out by more than the clock's tick. From 1 ms
    /// to [`Policy::LONGEST`]. Other dropped calls are neutral, and shown as
    /// [`Tally::dropped`](crate::monitor::Tally::dropped).
    ///
    /// Applies to the services' futures, those of [`Monitor::call`](crate::monitor::Monitor::call) and
    /// its variants, and a dropped [`CallGuard`](crate::monitor::CallGuard). A dropped ticket is always neutral and not shown, since it
    /// holds no clock: use [`Monitor::abandon`](crate::monitor::Monitor::abandon) instead.
    ///
    /// Cost: a read of the clock at admission.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Policy};
    /// use failover::clock::ManualClock;
    ///
    /// let policy = Policy::builder().dropped_after(Duration::from_secs(4)).build()?;
    /// let clock = ManualClock::new();
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// let ticket = monitor.admit().ticket().unwrap();
    /// clock.advance(Duration::from_secs(5));
    /// monitor.abandon(ticket);
    /// assert_eq!(monitor.handle().snapshot().tally.failures, 1);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn dropped_after(mut self, time: Duration) -> Self {
        self.0.trip.dropped_after = Some(time);
        self
    }

    /// Evaluates, counts and reports everything, but diverts no call.
    ///
    /// Events are [`Cause::WouldTrip`](crate::event::Cause::WouldTrip) and
    /// [`Cause::WouldRevert`](crate::event::Cause::WouldRevert);
    /// [`Snapshot::advised`](crate::snapshot::Snapshot::advised) is the policy's route. Between the
    /// two events the window starts empty and counts for display only. A forced route is followed.
    ///
    /// ```
    /// use failover::{Monitor, Outcome, Policy, Route};
    ///
    /// let monitor = Monitor::new(Policy::builder().dry_run().build()?);
    /// for _ in 0..10 {
    ///     monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    /// }
    /// let snapshot = monitor.handle().snapshot();
    /// assert_eq!((snapshot.route, snapshot.advised), (Route::Primary, Route::Fallback));
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn dry_run(mut self) -> Self {
        self.0.trip.dry_run = true;
        self
    }
}
