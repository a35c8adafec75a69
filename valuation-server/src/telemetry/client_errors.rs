//! Streaks of client errors: a provider answers, and none of its answers is a valuation.
//!
//! One 404 means an unknown vehicle. If all answers are 404, the path or the key in the provider's URL
//! is wrong, and every PUT of an unknown vehicle fails although no call counts as a failure. A streak is
//! reported
//!
//! - at the first 401, 402 or 403 since a valuation, which is about credentials;
//! - otherwise after [`ANSWERS`] answers, if the provider has given no valuation since the start, or
//!   none for [`QUIET`], so that a batch of unknown vehicles is not reported.
//!
//! Failures, such as time-outs, are not answers: they neither end a streak nor add to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use failover::clock::Moment;

use crate::domain::Provider;

/// The length from which a streak is reported.
pub const ANSWERS: u64 = 10;
/// How long ago the last valuation must be, if there was one.
pub const QUIET: Duration = Duration::from_secs(60);

/// The streaks of both providers, and whether they count as failures.
#[derive(Debug)]
pub struct ClientErrors {
    streaks: [Mutex<Streak>; Provider::ALL.len()],
    as_failures: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    pub(super) length: u64,
    last_valuation: Option<Moment>,
    pub(super) reported: bool,
    /// Of the last client error.
    status: u16,
    /// When the last call that was answered with an error began, by the wall clock.
    last_error: Option<SystemTime>,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A streak is to be reported, after an answer with this status.
    Began {
        /// Its status.
        status: u16,
        /// The number of client errors so far.
        length: u64,
    },
    /// A reported streak ended with a valuation.
    Ended {
        /// The number of client errors.
        length: u64,
    },
}

impl ClientErrors {
    /// No streaks yet.
    #[must_use]
    pub fn new(as_failures: bool) -> Self {
        Self { streaks: Default::default(), as_failures: AtomicBool::new(as_failures) }
    }

    /// Counts an answer: a valuation, or the status of a client error.
    pub fn record(
        &self,
        provider: Provider,
        now: Moment,
        answer: Result<(), u16>,
    ) -> Option<Change> {
        let mut streak = self.lock(provider);
        let Err(status) = answer else {
            let Streak { length, reported, .. } = *streak;
            *streak = Streak { last_valuation: Some(now), ..Streak::default() };
            return reported.then_some(Change::Ended { length });
        };
        streak.length += 1;
        streak.status = status;
        let credentials = matches!(status, 401..=403);
        if streak.reported || !(credentials || streak.is_long(now)) {
            return None;
        }
        streak.reported = true;
        Some(Change::Began { status, length: streak.length })
    }

    /// Whether a client error of this provider is a failure now: the streak is reported, and the setting
    /// says so.
    #[must_use]
    pub fn are_failures(&self, provider: Provider) -> bool {
        self.as_failures() && self.streak(provider).reported
    }

    /// Whether reported streaks count as failures.
    #[must_use]
    pub fn as_failures(&self) -> bool {
        // Ordering: Relaxed. The flag publishes no other data.
        self.as_failures.load(Ordering::Relaxed)
    }

    /// Changes the setting, for answers from now on.
    pub fn set_as_failures(&self, as_failures: bool) {
        // Ordering: Relaxed, as above.
        self.as_failures.store(as_failures, Ordering::Relaxed);
    }

    /// A provider's reported streak, as it is now.
    #[must_use]
    pub fn reported(&self, provider: Provider) -> Option<Change> {
        let Streak { length, status, reported, .. } = self.streak(provider);
        reported.then_some(Change::Began { status, length })
    }

    /// Notes when a call began that was answered with an error, after [`record`](Self::record).
    pub fn note_error(&self, provider: Provider, began: SystemTime) {
        self.lock(provider).last_error = Some(began);
    }

    /// When the provider's last call that was answered with an error began; `None` if it has given a
    /// valuation since.
    #[must_use]
    pub fn last_error(&self, provider: Provider) -> Option<SystemTime> {
        self.streak(provider).last_error
    }

    /// A provider's current streak.
    pub(super) fn streak(&self, provider: Provider) -> Streak {
        *self.lock(provider)
    }

    // Every update is a whole assignment or an increment, so poisoning is ignored.
    fn lock(&self, provider: Provider) -> MutexGuard<'_, Streak> {
        let streak = &self.streaks[provider as usize];
        streak.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streak {
    fn is_long(&self, now: Moment) -> bool {
        let quiet = |last: Moment| {
            let nanos = now.as_nanos().saturating_sub(last.as_nanos());
            Duration::from_nanos(nanos) >= QUIET
        };
        self.length >= ANSWERS && self.last_valuation.is_none_or(quiet)
    }
}
