//! When and how to come back.

use std::time::Duration;

use super::{Policy, PolicyBuilder, PolicyError};
use crate::engine::recovery::{Growth, Hints, Jitter, Probes};
use crate::ratio::Ratio;

/// All of it that is off unless asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    probing: Option<Probing>,
    ramp_up: Option<(Ratio, Duration)>,
    growth: Option<Growth>,
    jitter: Option<Jitter>,
    hints: Option<Hints>,
}

/// How a primary is probed: see [`PolicyBuilder::probing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is for `PolicyBuilder::probing`"]
#[non_exhaustive]
pub struct Probing {
    /// How many probes are out at once, over all clones and threads.
    pub max_in_flight: u32,
    /// How many must succeed before calls return.
    pub successes: u32,
    /// How many failures send calls back to the fallback for another while.
    pub failures: u32,
    /// How long a probe may take before its permit goes to another.
    pub lease: Duration,
}

impl Probing {
    /// At most so many probes at once, over all clones and threads: from 1 to 1,000. Three must
    /// succeed, one failure is too many, and a lease is 30 s, unless said otherwise.
    pub fn new(max_in_flight: u32) -> Self {
        Self { max_in_flight, successes: 3, failures: 1, lease: Duration::from_secs(30) }
    }

    /// How many probes must succeed before calls return: from 1 to 1,000,000.
    pub fn successes(mut self, successes: u32) -> Self {
        self.successes = successes;
        self
    }

    /// How many failed probes send calls back to the fallback for another while: from 1 to
    /// 1,000,000.
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }

    /// How long a probe may take before its permit goes to another, to the millisecond. What it
    /// says afterwards is not heard. At least 1 ms; longer than the primary's own time-out, or
    /// probes that time out are not heard either.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }
}

impl Policy {
    /// How the primary is probed; `None` where it is not.
    #[must_use]
    pub fn probing(&self) -> Option<Probing> {
        self.back.probing
    }

    /// The first share of calls that returns, and how long until all have; `None` where all return
    /// at once.
    #[must_use]
    pub fn ramp_up(&self) -> Option<(Ratio, Duration)> {
        self.back.ramp_up
    }

    /// The factor by which the time on the fallback grows, its longest, and the healthy time after
    /// which a step is forgotten; `None` where it does not grow.
    #[must_use]
    pub fn growing(&self) -> Option<(Ratio, Duration, Duration)> {
        self.growth()
            .map(|Growth { factor, longest, forget_after }| (factor, longest, forget_after))
    }

    /// The share by which the time on the fallback is lengthened at most, and the seed of the
    /// draws; `None` where it is not drawn.
    #[must_use]
    pub fn jitter(&self) -> Option<(Ratio, u64)> {
        self.drawn().map(|Jitter { up_to, seed }| (up_to, seed))
    }

    /// Within which times a hint is followed; `None` where none is.
    #[must_use]
    pub fn hints(&self) -> Option<(Duration, Duration)> {
        self.hinted().map(|Hints { shortest, longest }| (shortest, longest))
    }

    pub(crate) fn growth(&self) -> Option<Growth> {
        self.back.growth
    }

    pub(crate) fn drawn(&self) -> Option<Jitter> {
        self.back.jitter
    }

    pub(crate) fn hinted(&self) -> Option<Hints> {
        self.back.hints
    }

    pub(super) fn check_back(&self) -> Result<(), PolicyError> {
        let times = Self::SHORTEST_BUCKET..=Self::LONGEST;
        let Options { probing, ramp_up, growth, jitter, hints } = &self.back;
        if let Some(probing) = *probing {
            let counts = 1..=1_000_000;
            let sound = (1..=Probes::MOST).contains(&probing.max_in_flight)
                && counts.contains(&probing.successes)
                && counts.contains(&probing.failures)
                && times.contains(&probing.lease);
            if !sound {
                return Err(PolicyError::Probing(probing));
            }
        }
        if let Some((first, over)) = *ramp_up
            && (first.is_one_or_more() || !times.contains(&over))
        {
            return Err(PolicyError::RampUp { first, over });
        }
        if let Some(Growth { factor, longest, forget_after }) = *growth
            && (factor.numerator() <= factor.denominator()
                || longest < self.revert_after
                || longest > Self::LONGEST
                || !times.contains(&forget_after))
        {
            return Err(PolicyError::Growing { factor, longest, forget_after });
        }
        if let Some(Jitter { up_to, .. }) = *jitter
            && (up_to.numerator() == 0 || up_to.numerator() > up_to.denominator())
        {
            return Err(PolicyError::Jitter(up_to));
        }
        if let Some(Hints { shortest, longest }) = *hints
            && (!times.contains(&shortest) || !times.contains(&longest) || shortest > longest)
        {
            return Err(PolicyError::Hints { shortest, longest });
        }
        Ok(())
    }
}

/// # When and how to come back
/// By default all calls return to the primary when [`revert_after`](Self::revert_after) is over.
/// The options below change that time, or the way back; they may be combined. Probing comes before
/// a gradual return.
impl PolicyBuilder {
    /// Probes the primary when the time on the fallback is over: at most so many calls at once go
    /// to it, all others stay on the fallback. Enough successes bring all calls back; too many
    /// failures mean another while on the fallback.
    ///
    /// A probe's permit comes free when it ends, is dropped, or is ignored by the classifier, and
    /// when its lease is over. Only successes are taken for recovery. Probes are not in the window,
    /// and there is no time in which they have to come: rare calls lead back as well.
    ///
    /// A probe waits for a primary that is busy, until its lease is over; then it goes to the fallback,
    /// and says nothing. The lease begins anew with the call. A service that was made ready for a probe
    /// and is called only when its lease is over [takes another permit, or the
    /// fallback](crate::service::Failover#readiness).
    ///
    /// Cost: nothing until the primary is probed; then an admission reads the clock and the permits.
    /// Memory: 8 bytes a permit.
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
        self.0.back.probing = Some(probing);
        self
    }

    /// Brings calls back gradually: from the share `first`, below 1, to all of them after `over`,
    /// growing evenly. At a constant share `s`, of any `n` calls in a row `s·n` go to the primary, to
    /// within 2·log2(n) + 2 calls, in an order without a period: callers who take turns get the same
    /// share. They are counted and evaluated, and a trip sends all to the fallback again. At the end
    /// the window begins anew.
    ///
    /// Cost: nothing until calls return; while they do, an admission reads the clock and adds to a
    /// number that all threads share.
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
        self.0.back.ramp_up = Some((first, over));
        self
    }

    /// Makes the time on the fallback grow with repeated trips: the first trip takes
    /// [`revert_after`](Self::revert_after), each further one `factor` times as long, up to
    /// `longest`. It shrinks by a step for each `forget_after` that passes without a trip after
    /// calls came back. `factor` is above 1, `longest` not below `revert_after`.
    ///
    /// Cost: nothing but at transitions.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Outcome, Policy, Ratio};
    /// use failover::clock::ManualClock;
    ///
    /// let minutes = |n: u64| Duration::from_secs(60 * n);
    /// let policy = Policy::builder()
    ///     .revert_after(minutes(1))
    ///     .growing(Ratio::new(2, 1)?, minutes(30), minutes(10))
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
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn growing(mut self, factor: Ratio, longest: Duration, forget_after: Duration) -> Self {
        self.0.back.growth = Some(Growth { factor, longest, forget_after });
        self
    }

    /// Lengthens each time on the fallback by a share that is drawn evenly between nothing and
    /// `up_to`, so that many processes do not come back at the same moment. `up_to` is above 0 and
    /// at most 1. The draws follow from the seed alone: give each process one of its own.
    ///
    /// Cost: nothing but at transitions.
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
        self.0.back.jitter = Some(Jitter { up_to, seed });
        self
    }

    /// Follows the primary's own hint, such as `Retry-After`: where a call of the running epoch
    /// ended as [`Outcome::RetryAfter`](crate::outcome::Outcome::RetryAfter), a trip takes as long
    /// as the hint that reaches furthest still says, but from `shortest` to `longest`. It takes the
    /// permit of the policy's time, grown and drawn or not. Without this option hints are failures
    /// like others.
    ///
    /// Cost: a failure with a hint writes one shared word.
    ///
    /// ```
    /// use std::time::Duration;
    /// use failover::{Monitor, Outcome, Policy};
    /// use failover::clock::ManualClock;
    ///
    /// let seconds = Duration::from_secs;
    /// let policy = Policy::builder().hints(seconds(1), seconds(600)).build()?;
    /// let monitor = Monitor::with_clock(policy, ManualClock::new());
    /// let busy = Outcome::RetryAfter(seconds(42));
    /// while let Some(ticket) = monitor.admit().ticket() {
    ///     monitor.record(ticket, busy);
    /// }
    /// assert_eq!(monitor.handle().snapshot().reverts_in, Some(seconds(42)));
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn hints(mut self, shortest: Duration, longest: Duration) -> Self {
        self.0.back.hints = Some(Hints { shortest, longest });
        self
    }
}
