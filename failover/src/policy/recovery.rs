//! When and how calls return to the primary.

use std::time::Duration;

use super::{Policy, PolicyBuilder};
use crate::ratio::Ratio;

/// Options that are off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) probing: Option<Probing>,
    pub(super) ramp_up: Option<(Ratio, Duration)>,
    pub(super) backoff: Option<Backoff>,
    pub(super) jitter: Option<Jitter>,
    pub(super) retry_after: Option<RetryAfter>,
}

/// How a primary is probed: see [`PolicyBuilder::probing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is for `PolicyBuilder::probing`"]
#[non_exhaustive]
pub struct Probing {
    /// The maximum number of probes in flight, over all clones and threads.
    pub max_in_flight: u32,
    /// How many probes must succeed before calls return.
    pub successes: u32,
    /// How many failed probes begin another time on the fallback.
    pub failures: u32,
    /// How long a probe may take before its permit is reused.
    pub lease: Duration,
}

impl Probing {
    /// The upper limit of `max_in_flight`.
    pub const MOST: u32 = 1_000;

    /// At most `max_in_flight` probes at a time, over all clones and threads: from 1 to 1,000. By
    /// default three must succeed, one failure is too many, and a lease is 30 s.
    pub fn new(max_in_flight: u32) -> Self {
        Self { max_in_flight, successes: 3, failures: 1, lease: Duration::from_secs(30) }
    }

    /// How many probes must succeed before calls return: from 1 to 1,000,000.
    pub fn successes(mut self, successes: u32) -> Self {
        self.successes = successes;
        self
    }

    /// How many failed probes begin another time on the fallback: from 1 to 1,000,000.
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// How long a probe may take before its permit is reused: at least 1 ms, in whole milliseconds.
    /// Later outcomes are discarded, so choose a lease longer than the primary's own time-out.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }
}

/// How the time on the fallback grows with repeated trips: see [`PolicyBuilder::backoff`].
///
/// ```
/// use std::time::Duration;
/// use failover::policy::Backoff;
///
/// let backoff = Backoff::new(2).max(Duration::from_secs(1_800));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is for `PolicyBuilder::backoff`"]
#[non_exhaustive]
pub struct Backoff {
    /// Each repeated trip multiplies the time by this.
    pub factor: Ratio,
    /// The maximum time.
    pub max: Duration,
    /// How long the primary must be used without a trip until the growth goes back by one step.
    pub reset_after: Duration,
}

impl Backoff {
    /// Multiplies the time by `factor` with each repeated trip. By default `max` is an hour, and
    /// `reset_after` is ten minutes.
    pub fn new(factor: impl Into<Ratio>) -> Self {
        let (max, reset_after) = (Duration::from_secs(3_600), Duration::from_secs(600));
        Self { factor: factor.into(), max, reset_after }
    }

    /// The maximum time. Not below [`revert_after`](PolicyBuilder::revert_after), and at most
    /// [`Policy::LONGEST`].
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// How long the primary must be used without a trip until the growth goes back by one step; again
    /// as long for each further step. From 1 ms to [`Policy::LONGEST`].
    pub fn reset_after(mut self, time: Duration) -> Self {
        self.reset_after = time;
        self
    }
}

/// The bounds within which the primary's `Retry-After` is followed: see
/// [`PolicyBuilder::retry_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is for `PolicyBuilder::retry_after`"]
#[non_exhaustive]
pub struct RetryAfter {
    /// Shorter times are raised to this, zero too.
    pub min: Duration,
    /// Longer times are cut to this.
    pub max: Duration,
}

impl RetryAfter {
    /// From `min` to `max`, both from 1 ms to [`Policy::LONGEST`].
    pub fn between(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }
}

/// A random extension of the time on the fallback: see [`PolicyBuilder::jitter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Jitter {
    /// The maximum, as a share of the time.
    pub up_to: Ratio,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl Policy {
    /// How the primary is probed; `None` if switched off.
    #[must_use]
    pub fn probing(&self) -> Option<Probing> {
        self.recovery.probing
    }

    /// The share of calls with which a ramp begins, and its length; `None` if all calls return at
    /// once.
    #[must_use]
    pub fn ramp_up(&self) -> Option<(Ratio, Duration)> {
        self.recovery.ramp_up
    }

    /// How the time on the fallback grows; `None` if it does not.
    #[must_use]
    pub fn backoff(&self) -> Option<Backoff> {
        self.recovery.backoff
    }

    /// The random extension of the time on the fallback; `None` if switched off.
    #[must_use]
    pub fn jitter(&self) -> Option<Jitter> {
        self.recovery.jitter
    }

    /// The bounds within which the primary's `Retry-After` is followed; `None` if it is ignored.
    #[must_use]
    pub fn retry_after(&self) -> Option<RetryAfter> {
        self.recovery.retry_after
    }
}

/// # When and how calls return
/// By default all calls return to the primary after [`revert_after`](Self::revert_after). The
/// options below change that time or the way back, and can be combined. Probing comes before a
/// ramp.
impl PolicyBuilder {
    /// When the time on the fallback is over, sends a few calls at a time to the primary as probes;
    /// all others stay. Enough successes bring all calls back; too many failures begin another time
    /// on the fallback.
    ///
    /// A permit is released when its probe ends, is dropped or ignored, or when its lease is over.
    /// Only successes count as recovery. Probes are not in the window and have no deadline, so rare
    /// calls lead back as well.
    ///
    /// A probe waits for a busy primary until its lease is over; then its call goes to the fallback and
    /// is not recorded. The lease restarts with the call. A service that was made ready for a probe and
    /// is called after its lease [takes another permit, or the
    /// fallback](crate::service::Failover#readiness).
    ///
    /// Cost: while probing, an admission reads the clock and the permits. Memory: 8 bytes per
    /// permit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Outcome, Policy, Route};
    /// use failover::clock::ManualClock;
    /// use failover::policy::Probing;
    ///
    /// let policy = Policy::builder().probing(Probing::new(1).successes(2)).build()?;
    /// let clock = ManualClock::new();
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// while let Some(ticket) = monitor.admit().ticket() {
    ///     monitor.record(ticket, Outcome::Failure);
    /// }
    /// clock.advance(Duration::from_secs(300));
    /// let probe = monitor.admit().ticket().expect("the first probe");
    /// assert!(monitor.admit().ticket().is_none(), "the only permit is taken");
    /// monitor.record(probe, Outcome::Success);
    /// monitor.record(monitor.admit().ticket().unwrap(), Outcome::Success);
    /// assert_eq!(monitor.route(), Route::Primary);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn probing(mut self, probing: Probing) -> Self {
        self.0.recovery.probing = Some(probing);
        self
    }

    /// Ramps up calls on the primary, linearly from the share `first`, below 1, to all after
    /// `over`. At a constant share `s`, of any `n` calls in a row `s·n` go to the primary, to within
    /// 2·log2(n) + 2 calls, in an order without a period: callers that take turns get the same share.
    /// They are counted and evaluated, and a trip sends all to the fallback again. At the end the
    /// window starts empty.
    ///
    /// Cost: during a ramp, an admission reads the clock and adds to a counter that all threads
    /// share.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Outcome, Policy, Ratio};
    /// use failover::clock::ManualClock;
    ///
    /// let over = Duration::from_secs(60);
    /// let policy = Policy::builder().ramp_up(Ratio::new(1, 10)?, over).build()?;
    /// let clock = ManualClock::new();
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// while let Some(ticket) = monitor.admit().ticket() {
    ///     monitor.record(ticket, Outcome::Failure);
    /// }
    /// clock.advance(Duration::from_secs(300));
    /// let to_primary = (0..100).filter(|_| monitor.admit().ticket().is_some()).count();
    /// assert!((9..=11).contains(&to_primary));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ramp_up(mut self, first: Ratio, over: Duration) -> Self {
        self.0.recovery.ramp_up = Some((first, over));
        self
    }

    /// Increases the time on the fallback with repeated trips: the first takes
    /// [`revert_after`](Self::revert_after), each further one [`factor`](Backoff::new) times as
    /// long, up to [`max`](Backoff::max). For each [`reset_after`](Backoff::reset_after) on the primary
    /// without a trip, the growth goes back by one step.
    ///
    /// Cost: only at transitions.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::clock::ManualClock;
    /// use failover::policy::Backoff;
    /// use failover::{Monitor, Outcome, Policy};
    ///
    /// let minutes = |n: u64| Duration::from_secs(60 * n);
    /// let policy = Policy::builder()
    ///     .revert_after(minutes(1))
    ///     .backoff(Backoff::new(2).max(minutes(30)).reset_after(minutes(10)))
    ///     .build()?;
    /// let clock = ManualClock::new();
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// for expected in [1, 2, 4, 8, 16, 30, 30] {
    ///     while let Some(ticket) = monitor.admit().ticket() {
    ///         monitor.record(ticket, Outcome::Failure);
    ///     }
    ///     assert_eq!(monitor.handle().snapshot().reverts_in, Some(minutes(expected)));
    ///     clock.advance(minutes(expected));
    /// }
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.0.recovery.backoff = Some(backoff);
        self
    }

    /// Extends each time on the fallback by a random share, uniform from 0 to `up_to`, so that many
    /// processes do not return at once. `up_to` is above 0 and at most 1. The random numbers depend
    /// only on the seed: give each process its own.
    ///
    /// Cost: only at transitions.
    ///
    /// ```
    /// use failover::{Policy, Ratio};
    /// use std::hash::{BuildHasher, RandomState};
    ///
    /// let seed = RandomState::new().hash_one("the failover of this process");
    /// let policy = Policy::builder().jitter(Ratio::new(1, 10)?, seed).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn jitter(mut self, up_to: Ratio, seed: u64) -> Self {
        self.0.recovery.jitter = Some(Jitter { up_to, seed });
        self
    }

    /// Follows the primary's `Retry-After`: the next trip lasts until the latest time asked for by
    /// an [`Outcome::RetryAfter`](crate::outcome::Outcome::RetryAfter) of the current epoch, within
    /// the bounds, unless that is already over. That replaces the policy's time, backoff and jitter. Without this option it is
    /// an ordinary failure. The classifiers of feature `http` read the header.
    ///
    /// Cost: each such failure writes one shared word.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::clock::ManualClock;
    /// use failover::policy::RetryAfter;
    /// use failover::{Monitor, Outcome, Policy};
    ///
    /// let seconds = Duration::from_secs;
    /// let bounds = RetryAfter::between(seconds(1), seconds(600));
    /// let policy = Policy::builder().retry_after(bounds).build()?;
    /// let monitor = Monitor::with_clock(policy, ManualClock::new());
    /// while let Some(ticket) = monitor.admit().ticket() {
    ///     monitor.record(ticket, Outcome::RetryAfter(seconds(42)));
    /// }
    /// assert_eq!(monitor.handle().snapshot().reverts_in, Some(seconds(42)));
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn retry_after(mut self, bounds: RetryAfter) -> Self {
        self.0.recovery.retry_after = Some(bounds);
        self
    }
}
