//! The figures of a provider in a period, and the sums that they are made from.

use std::collections::BTreeMap;

use super::outages::Outage;
use super::percent::{Percent, Share};
use super::terms::Terms;
use crate::domain::{AccountedCall, CallOutcome, DurationBucket, HourCell};

/// What a report says about a provider in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Counted calls: with the outcome success or failure.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Calls that say nothing about the provider, and are in no other figure but the price.
    pub ignored: u64,
    /// The counted calls of all providers in the period.
    pub calls_of_all: u64,
    /// The failures by error code.
    pub failures_by_code: BTreeMap<String, u64>,
    /// Counted calls made because another provider had just failed.
    pub rescues: u64,
    /// Those of them that succeeded.
    pub rescued: u64,
    /// Minutes with counted calls.
    pub minutes: u64,
    /// Minutes in which all counted calls failed.
    pub unavailable_minutes: u64,
    /// How long counted calls took; `None` without any.
    pub durations: Option<Durations>,
    /// Slow calls; `None` if it is not asked for.
    pub slow: Option<u64>,
    /// Outages that began in the period.
    pub outages: u64,
    /// The longest of them, in minutes.
    pub longest_outage: u64,
    /// Those of them with a known end.
    pub recoveries: u64,
    /// How many minutes those took.
    pub recovery_minutes: u64,
}

/// Durations in milliseconds. A percentile is the upper bound of its bucket, at most 0.8 % too high, and never
/// above `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// Half of the calls took no longer.
    pub p50: u64,
    /// 95 % of the calls took no longer.
    pub p95: u64,
    /// 99 % of the calls took no longer.
    pub p99: u64,
    /// The longest, exactly.
    pub max: u64,
    /// The mean, cut off.
    pub mean: u64,
}

/// Whether a target was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many may be bad.
    pub allowed: u64,
    /// How many are.
    pub bad: u64,
}

impl Verdict {
    /// Whether no more are bad than may be.
    #[must_use]
    pub const fn is_met(self) -> bool {
        self.bad <= self.allowed
    }

    /// How many more could have been bad, or how many too many are.
    #[must_use]
    pub const fn margin(self) -> u64 {
        self.bad.abs_diff(self.allowed)
    }
}

impl Figures {
    /// The counted calls that succeeded.
    #[must_use]
    pub const fn available_calls(&self) -> Share {
        Share { part: self.calls - self.failures, whole: self.calls }
    }

    /// The minutes with counted calls that were available.
    #[must_use]
    pub const fn available_minutes(&self) -> Share {
        Share { part: self.minutes - self.unavailable_minutes, whole: self.minutes }
    }

    /// This provider's part of all counted calls.
    #[must_use]
    pub const fn share(&self) -> Share {
        Share { part: self.calls, whole: self.calls_of_all }
    }

    /// The slow part of the counted calls; `None` if it is not asked for.
    #[must_use]
    pub fn slow_share(&self) -> Option<Share> {
        self.slow.map(|part| Share { part, whole: self.calls })
    }

    /// All calls, which the provider may charge.
    #[must_use]
    pub const fn made(&self) -> u64 {
        self.calls + self.ignored
    }

    /// The target by calls; `None` without calls.
    #[must_use]
    pub fn by_calls(&self, target: Percent) -> Option<Verdict> {
        let allowed = target.allowance(self.calls);
        (self.calls > 0).then_some(Verdict { allowed, bad: self.failures })
    }

    /// The target by minutes; `None` without calls.
    #[must_use]
    pub fn by_minutes(&self, target: Percent) -> Option<Verdict> {
        let allowed = target.allowance(self.minutes);
        (self.minutes > 0).then_some(Verdict { allowed, bad: self.unavailable_minutes })
    }

    pub(super) fn add_minute(&mut self, available: bool) {
        self.minutes += 1;
        self.unavailable_minutes += u64::from(!available);
    }

    pub(super) fn add_outage(&mut self, outage: &Outage) {
        self.outages += 1;
        self.longest_outage = self.longest_outage.max(outage.minutes);
        if outage.recovered.is_some() {
            self.recoveries += 1;
            self.recovery_minutes += outage.minutes;
        }
    }
}

/// Sums of calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) calls: u64,
    failures: u64,
    ignored: u64,
    failures_by_code: BTreeMap<String, u64>,
    rescues: u64,
    rescued: u64,
    sum_ms: u64,
    max_ms: u64,
    buckets: BTreeMap<DurationBucket, u64>,
}

impl Sum {
    /// Without the durations of the buckets.
    pub(super) fn add_cell(&mut self, cell: &HourCell<'_>) {
        let calls = cell.calls;
        match cell.outcome {
            CallOutcome::Ignored => {
                self.ignored += calls;
                return;
            }
            CallOutcome::Failure => {
                self.failures += calls;
                match self.failures_by_code.get_mut(cell.error_code) {
                    Some(failures) => *failures += calls,
                    None => {
                        self.failures_by_code.insert(cell.error_code.to_owned(), calls);
                    }
                }
            }
            CallOutcome::Success => {}
        }
        self.calls += calls;
        if cell.rescue {
            self.rescues += calls;
            self.rescued += if cell.outcome == CallOutcome::Success { calls } else { 0 };
        }
        self.sum_ms = self.sum_ms.saturating_add(cell.sum_ms);
        self.max_ms = self.max_ms.max(cell.max_ms);
    }

    pub(super) fn add_bucket(&mut self, bucket: DurationBucket, calls: u64) {
        *self.buckets.entry(bucket).or_default() += calls;
    }

    pub(super) fn add_row(&mut self, call: &AccountedCall<'_>) {
        self.add_cell(&HourCell {
            hour: None,
            provider: call.provider,
            error_code: call.error_code,
            outcome: call.outcome,
            rescue: call.rescue,
            calls: 1,
            sum_ms: call.duration_ms,
            max_ms: call.duration_ms,
            minutes: 0,
            first_id: call.id,
            last_id: call.id,
        });
        if call.outcome != CallOutcome::Ignored {
            self.add_bucket(DurationBucket::of(call.duration_ms), 1);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.ignored += other.ignored;
        self.rescues += other.rescues;
        self.rescued += other.rescued;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
        for (code, failures) in &other.failures_by_code {
            *self.failures_by_code.entry(code.clone()).or_default() += failures;
        }
        for (bucket, calls) in &other.buckets {
            self.add_bucket(*bucket, *calls);
        }
    }

    pub(super) fn figures(&self, terms: &Terms, calls_of_all: u64) -> Figures {
        let slow = |limit: DurationBucket| {
            self.buckets.iter().filter(|(bucket, _)| **bucket > limit).map(|(_, calls)| calls).sum()
        };
        Figures {
            calls: self.calls,
            failures: self.failures,
            ignored: self.ignored,
            calls_of_all,
            failures_by_code: self.failures_by_code.clone(),
            rescues: self.rescues,
            rescued: self.rescued,
            durations: (self.calls > 0).then(|| Durations {
                p50: self.percentile(50),
                p95: self.percentile(95),
                p99: self.percentile(99),
                max: self.max_ms,
                mean: self.sum_ms / self.calls,
            }),
            slow: terms.slow.map(|limit| slow(limit.bucket())),
            ..Figures::default()
        }
    }

    /// The nearest rank: the shortest duration that so many percent of the calls did not exceed.
    fn percentile(&self, percent: u64) -> u64 {
        let rank = (u128::from(self.calls) * u128::from(percent)).div_ceil(100);
        let mut seen = 0_u128;
        for (bucket, calls) in &self.buckets {
            seen += u128::from(*calls);
            if seen >= rank {
                return bucket.highest().min(self.max_ms);
            }
        }
        self.max_ms
    }
}
