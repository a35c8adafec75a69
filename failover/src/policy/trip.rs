//! When to trip: the conditions beside the failure rate, and what counts.

use std::time::Duration;

use super::{Policy, PolicyBuilder};
use crate::ratio::Ratio;

/// All of it that is off unless asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) consecutive_failures: Option<u32>,
    pub(super) slow_calls: Option<(Duration, Ratio)>,
    pub(super) slow_minimum_calls: Option<u64>,
    pub(super) stalled_calls: Option<(Duration, StallLimit)>,
    pub(super) last_calls: Option<u32>,
    pub(super) dropped_after: Option<Duration>,
    dry_run: bool,
}

/// How many stalled calls are too many: see [`PolicyBuilder::stalled_calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallLimit {
    /// This many calls in flight for longer than the time, however long ago they began. At least 1.
    Calls(u64),
    /// More than this share of the calls that were admitted in a stretch as long as the time, and
    /// that ended as long ago. Below 1. The stretch must hold the minimum of calls.
    Share(Ratio),
}

impl Policy {
    /// The window holds at most this many calls.
    pub const MOST_LAST_CALLS: u32 = 4_096;

    /// So many failures in a row trip.
    #[must_use]
    pub fn consecutive_failures(&self) -> Option<u32> {
        self.trip.consecutive_failures
    }

    /// How long a call may take before it is slow, and the share of slow calls that must be
    /// exceeded for a trip.
    #[must_use]
    pub fn slow_calls(&self) -> Option<(Duration, Ratio)> {
        self.trip.slow_calls
    }

    /// How many calls the window must hold before the share of slow calls means anything.
    #[must_use]
    pub fn slow_minimum_calls(&self) -> u64 {
        self.trip.slow_minimum_calls.unwrap_or(self.minimum_calls)
    }

    /// After how long a call in flight is stalled, and how many are too many.
    #[must_use]
    pub fn stalled_calls(&self) -> Option<(Duration, StallLimit)> {
        self.trip.stalled_calls
    }

    /// How many calls the window holds; `None` where it is a window of time.
    #[must_use]
    pub fn last_calls(&self) -> Option<u32> {
        self.trip.last_calls
    }

    /// After how long a call that is dropped is a failure; `None` where it never is.
    #[must_use]
    pub fn dropped_after(&self) -> Option<Duration> {
        self.trip.dropped_after
    }

    /// Whether it only says what it would do.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.trip.dry_run
    }
}

/// # When to trip
/// A policy trips when *any* of its conditions holds: the failure rate, which is there from the
/// start, and those below. Where several hold at once, the event names the first of: failure rate,
/// consecutive failures, slow calls. Stalled calls are evaluated at admissions, the others when a call
/// ends.
impl PolicyBuilder {
    /// Switches the failure rate off. Another condition must be there then. Calls are counted all
    /// the same.
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

    /// Trips at so many failures in a row, of whatever threads and in the order in which the calls
    /// end. A success begins again; ignored and dropped calls change nothing. No minimum of calls
    /// and no window applies: the failures may be days apart. At least 1.
    ///
    /// Cost: a success reads one word that healthy calls only read; a failure writes it.
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

    /// Trips when more than the share `rate` of the calls in the window took longer than `after`.
    /// Strictly more and strictly longer. A slow success is a success for the failure rate, and a
    /// slow failure is slow as well. The minimum is [`minimum_calls`](Self::minimum_calls), unless
    /// [`slow_minimum_calls`](Self::slow_minimum_calls) sets another.
    ///
    /// A call takes from its admission (through tower: from `call`, so that waiting for readiness
    /// is not counted) until it is recorded. `after` is from 1 ms to [`Policy::LONGEST`], and the
    /// measure is as fine as the monitor's clock: off by up to a tick, which is 1 to 10 ms with the
    /// default [`CoarseClock`](crate::clock::CoarseClock). Below some 50 ms take
    /// [`FineClock`](crate::clock::FineClock).
    ///
    /// Cost: the clock is read at the admission as well, and evaluating a failure or a slow call reads
    /// the window three times rather than twice.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Outcome, Policy, Ratio, Route};
    /// use failover::clock::ManualClock;
    ///
    /// let policy = Policy::builder().slow_calls(Duration::from_secs(1), Ratio::HALF).build()?;
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
    pub fn slow_calls(mut self, after: Duration, rate: Ratio) -> Self {
        self.0.trip.slow_calls = Some((after, rate));
        self
    }

    /// How many calls the window must hold before the share of slow ones means anything, where it
    /// is not [`minimum_calls`](Self::minimum_calls). At least 1; needs
    /// [`slow_calls`](Self::slow_calls).
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Policy, Ratio};
    ///
    /// let policy = Policy::builder()
    ///     .slow_calls(Duration::from_secs(1), Ratio::new(9, 10)?)
    ///     .slow_minimum_calls(100)
    ///     .build()?;
    /// assert_eq!((policy.minimum_calls(), policy.slow_minimum_calls()), (10, 100));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slow_minimum_calls(mut self, calls: u64) -> Self {
        self.0.trip.slow_minimum_calls = Some(calls);
        self
    }

    /// Trips when too many calls hang: when they are still in flight for longer than `after`,
    /// before they time out. From 4 ms to [`Policy::LONGEST`].
    ///
    /// No call has a timer. Time is cut into quarters of `after`, and calls are known by the
    /// quarter in which they were admitted: one is stalled from `after` to `5/4 after` after its
    /// admission on, depending on where in its quarter it began, and never earlier. The first
    /// admission of each thread in each quarter evaluates; so a trip needs no call to end, only one to
    /// be made. A call of [`Monitor::admit`](crate::monitor::Monitor::admit) that trips goes to the fallback
    /// itself. Calls admitted before the last transition do not count.
    ///
    /// A dropped call, or ticket, is gone and no longer in flight. One that is leaked
    /// (`mem::forget`) is in flight until the next transition. Through tower a call is in flight
    /// from `call` on, so that a service that is made ready and kept is none.
    ///
    /// Cost: the clock is read twice at the admission as well (through tower in `poll_ready` and in
    /// `call`); an admission and an end each cost two loads and stores in lines of the thread's
    /// own and a division or two; once a quarter each thread reads all shards. Memory: 384 bytes a
    /// thread.
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

    /// Makes the window that of the last so many calls, from 1 to [`Policy::MOST_LAST_CALLS`],
    /// instead of a stretch of time. It slides call by call. Takes the place of
    /// [`window`](Self::window), which takes its place in turn.
    ///
    /// A window of calls forgets nothing while it is quiet: the failures of last week are in it
    /// still if few calls were made since.
    ///
    /// Cost: two atomic read-modify-writes a call, one of them in a line that all threads write: on
    /// one thread little, on many far more than the window of time. Memory: 8 bytes a call of the
    /// next power of two.
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
        self.0.trip.last_calls = Some(calls);
        self
    }

    /// Makes a call a failure that is dropped after it has run for longer than `time`, as by a
    /// time-out outside the layer; take a `time` a little below that time-out, by more than the
    /// clock's tick. From 1 ms to [`Policy::LONGEST`]. One that is dropped earlier is neutral, as
    /// all are by default.
    ///
    /// This is about futures of the services. A ticket that is dropped is neutral always, since it
    /// holds no clock: [`Monitor::abandon`](crate::monitor::Monitor::abandon) takes it instead.
    ///
    /// Cost: the clock is read at the admission as well.
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

    /// Diverts no call: everything is evaluated, counted and told, and all calls go to the primary.
    ///
    /// Events are [`Cause::WouldTrip`](crate::event::Cause::WouldTrip) and
    /// [`Cause::WouldRevert`](crate::event::Cause::WouldRevert), and
    /// [`Snapshot::advised`](crate::snapshot::Snapshot::advised) says where calls would go. Between the two
    /// the window begins anew and counts the primary's calls to be seen; they are not evaluated, as
    /// there would be none. A route that an operator forces is taken.
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
