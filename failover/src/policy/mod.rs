//! When to trip, and when to revert.

use std::time::Duration;

use crate::ratio::Ratio;

mod check;
mod error;
mod recovery;
mod trip;
#[cfg(feature = "serde")]
mod wire;

pub use error::PolicyError;
pub use recovery::{Backoff, Jitter, Probing, RetryAfter};
pub use trip::{SlowCalls, StallLimit};

/// When to trip, and when to revert. Made by [`Policy::builder`], which validates it.
///
/// ```
/// use std::time::Duration;
/// use failover::{Policy, Ratio};
///
/// let policy = Policy::builder()
///     .failure_rate(Ratio::new(1, 3)?)
///     .minimum_calls(20)
///     .window(Duration::from_secs(30), 6)
///     .revert_after(Duration::from_secs(120))
///     .build()?;
/// assert_eq!(policy.minimum_calls(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(
    feature = "serde",
    doc = "
# As data
With the feature `serde`, from a format that describes itself, such as JSON, TOML or YAML. Fields are
named as the builder's methods. A missing field has its default, an unknown field is refused by its
name, and an invalid value with the path of its field.

```
use failover::Policy;

let policy: Policy = toml::from_str(r#\"
    failure_rate = \"40%\"                    # or 0.4, \"2/5\", \"off\"
    minimum_calls = 20
    window = { length = \"30s\", buckets = 6 }  # or last_calls = 100
    consecutive_failures = 5
    slow_calls = { longer_than = \"2s\", more_than = \"50%\", minimum_calls = 20 }
    stalled_calls = { after = \"2s\", calls = 5 }   # or share = \"40%\"
    dropped_after = \"4s\"
    dry_run = false
    revert_after = \"1m 30s\"
    probing = { max_in_flight = 2, successes = 3, failures = 1, lease = \"30s\" }
    ramp_up = { first = \"10%\", over = \"1m\" }
    backoff = { factor = 2, max = \"1h\", reset_after = \"10m\" }
    jitter = { up_to = \"10%\" }
    retry_after = { min = \"1s\", max = \"10m\" }
\"#)?;
assert_eq!(policy.minimum_calls(), 20);

let error = toml::from_str::<Policy>(\"revert_afer = '5m'\").unwrap_err();
assert!(error.message().starts_with(\"unknown field `revert_afer`, expected one of `failure_rate`\"));
let error = toml::from_str::<Policy>(\"probing = { max_in_flight = 'two' }\").unwrap_err();
assert!(error.message().starts_with(r#\"probing.max_in_flight: \"two\" is no whole number\"#));
let error = toml::from_str::<Policy>(\"minimum_calls = 0\").unwrap_err();
assert_eq!(error.message(), \"minimum_calls is 0: it must be at least 1\");
# Ok::<(), toml::de::Error>(())
```

A `null` is a missing field. Times have no months and years, whose length is not fixed: `m` is minutes. A
backoff without a `max` has an hour, or `revert_after` if that is longer. Give the policy a field of its
own in your configuration: in one with `#[serde(flatten)]`, serde itself ignores unknown fields.

A jitter without a `seed` gets a random one, the same for all policies of the process: processes that
read one file differ, and an unchanged file is an unchanged policy.

A written policy states its window, rate, minimum and time even if they are the defaults, and each
option that is on. Read again, it is equal."
)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "wire::PolicyText", try_from = "wire::PolicyText"))]
pub struct Policy {
    /// `None` if switched off.
    failure_rate: Option<Ratio>,
    minimum_calls: u64,
    window: Duration,
    buckets: u32,
    revert_after: Duration,
    trip: trip::Options,
    recovery: recovery::Options,
}

impl Policy {
    /// The minimum width of a bucket of the window.
    pub const SHORTEST_BUCKET: Duration = Duration::from_millis(1);
    /// The maximum of the window and of the time until the revert: 366 days.
    pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
    /// The maximum number of buckets: each takes memory, and a trip reads them all.
    pub const MOST_BUCKETS: u32 = 3_600;

    /// Starts from the defaults: trips when more than 1/2 of at least 10 calls failed in a window
    /// of 60 s in 10 buckets; reverts after 5 min.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder(Self::default())
    }

    /// Starts from this policy, to change some of it.
    ///
    /// ```
    /// use failover::{Monitor, Policy};
    ///
    /// let handle = Monitor::new(Policy::default()).handle();
    /// handle.swap_policy(handle.policy().to_builder().minimum_calls(20).build()?);
    /// assert_eq!(handle.policy().minimum_calls(), 20);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn to_builder(&self) -> PolicyBuilder {
        PolicyBuilder(self.clone())
    }

    /// The failure rate that must be exceeded to trip; `None` if switched off.
    #[must_use]
    pub fn failure_rate(&self) -> Option<Ratio> {
        self.failure_rate
    }

    /// How many calls the window must hold before the rate is evaluated.
    #[must_use]
    pub fn minimum_calls(&self) -> u64 {
        self.minimum_calls
    }

    /// How far back the window reaches. Unused with [`last_calls`](Self::last_calls).
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// The number of buckets of the window. Unused with [`last_calls`](Self::last_calls).
    #[must_use]
    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// How long calls stay on the fallback.
    #[must_use]
    pub fn revert_after(&self) -> Duration {
        self.revert_after
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            failure_rate: Some(Ratio::HALF),
            minimum_calls: 10,
            window: Duration::from_secs(60),
            buckets: 10,
            revert_after: Duration::from_secs(5 * 60),
            trip: trip::Options::default(),
            recovery: recovery::Options::default(),
        }
    }
}

/// Builds a [`Policy`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct PolicyBuilder(Policy);

impl PolicyBuilder {
    /// The failure rate that must be *exceeded* to trip: exactly half failing does not trip a rate
    /// of one half. Below 1. A rate of 0 trips at any failure once the minimum of calls is reached.
    ///
    /// ```
    /// # use failover::{Monitor, Outcome, Policy, Ratio, Route};
    /// let policy = Policy::builder().failure_rate(Ratio::new(1, 3)?).build()?;
    /// let monitor = Monitor::new(policy);
    /// for outcome in [Outcome::Success; 8].into_iter().chain([Outcome::Failure; 4]) {
    ///     monitor.record(monitor.admit().ticket().unwrap(), outcome);
    /// }
    /// assert_eq!(monitor.route(), Route::Primary); // 4 of 12 is a third
    /// monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    /// assert_eq!(monitor.route(), Route::Fallback); // 5 of 13 is more
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failure_rate(mut self, rate: Ratio) -> Self {
        self.0.failure_rate = Some(rate);
        self
    }

    /// How many calls the window must hold before its rate is evaluated. At least 1. Fewer calls
    /// never trip by rate.
    ///
    /// ```
    /// # use failover::{Monitor, Outcome, Policy, Route};
    /// let monitor = Monitor::new(Policy::builder().minimum_calls(3).build()?);
    /// for route in [Route::Primary, Route::Primary, Route::Fallback] {
    ///     monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    ///     assert_eq!(monitor.route(), route);
    /// }
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn minimum_calls(mut self, calls: u64) -> Self {
        self.0.minimum_calls = calls;
        self
    }

    /// The length of the window, and its number of buckets. It slides by one bucket at a time: the
    /// current bucket and the `buckets − 1` before it hold between `length − length/buckets` and
    /// `length` of the past.
    ///
    /// A bucket is at least [`Policy::SHORTEST_BUCKET`] wide; boundaries are exact for every
    /// `length`. [`CoarseClock`](crate::clock::CoarseClock) ticks every 1 to 10 ms.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use failover::{Monitor, Outcome, Policy};
    /// # use failover::clock::ManualClock;
    /// let clock = ManualClock::new();
    /// let policy = Policy::builder().window(Duration::from_secs(30), 3).build()?;
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// monitor.record(monitor.admit().ticket().unwrap(), Outcome::Failure);
    /// clock.advance(Duration::from_secs(29));
    /// assert_eq!(monitor.handle().snapshot().tally.failures, 1);
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(monitor.handle().snapshot().tally.failures, 0);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn window(mut self, length: Duration, buckets: u32) -> Self {
        self.0.trip.last_calls = None;
        self.0.window = length;
        self.0.buckets = buckets;
        self
    }

    /// How long calls stay on the fallback after a trip. Rounded up to the millisecond.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use failover::{Monitor, Outcome, Policy, Route};
    /// # use failover::clock::ManualClock;
    /// let clock = ManualClock::new();
    /// let policy = Policy::builder().revert_after(Duration::from_secs(30)).build()?;
    /// let monitor = Monitor::with_clock(policy, clock.clone());
    /// while let Some(ticket) = monitor.admit().ticket() {
    ///     monitor.record(ticket, Outcome::Failure);
    /// }
    /// clock.advance(Duration::from_secs(29));
    /// assert_eq!(monitor.route(), Route::Fallback);
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(monitor.route(), Route::Primary);
    /// # Ok::<(), failover::policy::PolicyError>(())
    /// ```
    pub fn revert_after(mut self, time: Duration) -> Self {
        self.0.revert_after = time;
        self
    }

    /// Validates and returns the policy.
    ///
    /// # Errors
    /// [`PolicyError`] names the invalid field and its valid range.
    pub fn build(self) -> Result<Policy, PolicyError> {
        self.0.check_window()?;
        self.0.check_trip()?;
        self.0.check_recovery()?;
        Ok(self.0)
    }
}
