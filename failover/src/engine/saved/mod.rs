//! A saved state, which outlives its process.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::phase::Kind;
use crate::engine::recovery::Remembered;
use crate::engine::time::Elapsed;
use crate::engine::window::{Kept, Sample};
use crate::state::State;
use crate::tally::Tally;

/// A state saved by [`FailoverHandle::save`](crate::monitor::handle::FailoverHandle::save), for
/// [`restore`](crate::monitor::handle::FailoverHandle::restore). Its times are ages and remaining
/// times, so it has the same meaning on every clock.
///
/// Serializable with the feature `serde`. It carries a version: another version is rejected, and so
/// are unknown fields and invalid values, with an error that names the field.
#[cfg_attr(
    feature = "serde",
    doc = "
```
use failover::{Monitor, Policy, Route, State};
use failover::monitor::Saved;

let monitor = Monitor::new(Policy::default());
monitor.handle().force(Route::Fallback);
let text = serde_json::to_string(&monitor.handle().save())?;
assert_eq!(text, r#\"{\"version\":1,\"state\":\"forced_fallback\"}\"#);

let saved: Saved = serde_json::from_str(&text)?;
assert_eq!(saved.state(), State::ForcedFallback);
let error = serde_json::from_str::<Saved>(r#\"{\"version\":2}\"#).unwrap_err();
assert!(error.to_string().starts_with(\"a saved failover of version 2\"));
# Ok::<(), serde_json::Error>(())
```"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "wire::Text", try_from = "wire::Text"))]
pub struct Saved {
    pub(crate) phase: SavedPhase,
    /// Whether the policy was a dry run.
    pub(crate) dry_run: bool,
    pub(crate) window: SavedWindow,
    /// The streak of consecutive failures.
    pub(crate) streak: u64,
    pub(crate) remembered: Remembered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SavedPhase {
    Primary,
    Fallback { left: Duration },
    Probing,
    Ramping { left: Duration },
    ForcedPrimary,
    ForcedFallback,
}

/// The contents of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SavedWindow {
    /// The counts of each bucket and how long ago it began, the oldest first.
    Buckets(Vec<(Duration, Tally)>),
    /// Each call, the oldest first.
    Calls(Vec<Sample>),
}

impl SavedPhase {
    pub(crate) fn of(kind: Kind, left: Duration) -> Self {
        match kind {
            Kind::Primary | Kind::Retired | Kind::Frozen => Self::Primary,
            Kind::Fallback => Self::Fallback { left },
            Kind::Probing => Self::Probing,
            Kind::Ramping => Self::Ramping { left },
            Kind::ForcedPrimary => Self::ForcedPrimary,
            Kind::ForcedFallback => Self::ForcedFallback,
        }
    }
}

impl SavedWindow {
    pub(crate) const EMPTY: Self = Self::Buckets(Vec::new());

    /// The counts kept from a window at `at`.
    pub(crate) fn new(kept: Kept, at: Elapsed) -> Self {
        match kept {
            Kept::Buckets(buckets) => {
                let age = |began| u64::try_from(i128::from(at.nanos()) - began).unwrap_or(0);
                let aged = |(began, tally)| (Duration::from_nanos(age(began)), tally);
                Self::Buckets(buckets.into_iter().map(aged).collect())
            }
            Kept::Calls(calls) => Self::Calls(calls),
        }
    }

    /// The counts at `at`, `elapsed` after they were saved.
    pub(crate) fn kept(&self, elapsed: Duration, at: Elapsed) -> Kept {
        match self {
            Self::Buckets(buckets) => {
                let mut kept = BTreeMap::<i128, Tally>::new();
                for &(age, tally) in buckets {
                    let ago = i128::try_from((age.saturating_add(elapsed)).as_nanos());
                    let began = i128::from(at.nanos()) - ago.unwrap_or(i128::MAX);
                    kept.entry(began).or_default().add(&tally);
                }
                Kept::Buckets(kept)
            }
            Self::Calls(calls) => Kept::Calls(calls.clone()),
        }
    }
}

impl Saved {
    /// How calls were routed; in a [dry run](crate::policy::PolicyBuilder::dry_run), how they would
    /// have been. A deadline that passed before the save is a remaining time of zero.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            SavedPhase::Primary => State::Primary,
            SavedPhase::Fallback { .. } => State::Fallback,
            SavedPhase::Probing => State::Probing,
            SavedPhase::Ramping { .. } => State::Ramping,
            SavedPhase::ForcedPrimary => State::ForcedPrimary,
            SavedPhase::ForcedFallback => State::ForcedFallback,
        }
    }

    /// How long it was until the revert; `None` if no timer ran.
    #[must_use]
    pub fn reverts_in(&self) -> Option<Duration> {
        match self.phase {
            SavedPhase::Fallback { left } | SavedPhase::Ramping { left } => Some(left),
            _ => None,
        }
    }

    /// The counts of the window.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut all = Tally::default();
        match &self.window {
            SavedWindow::Buckets(buckets) => {
                buckets.iter().for_each(|(_, tally)| all.add(tally));
            }
            SavedWindow::Calls(calls) => {
                calls.iter().for_each(|&sample| all.add(&sample.tally()));
            }
        }
        all
    }
}

#[cfg(feature = "serde")]
mod wire;
