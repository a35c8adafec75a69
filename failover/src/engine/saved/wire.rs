//! A saved state as it is written: version 1.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Saved, SavedPhase, SavedWindow};
use crate::clock::nanos;
use crate::engine::recovery::Remembered;
use crate::engine::window::Sample;
use crate::policy::Policy;
use crate::state::State;
use crate::tally::Tally;

/// Raised whenever a text means something else than before.
const VERSION: u32 = 1;

/// More calls than a window ever held: sums of them stay far below 2^64.
const MOST_CALLS: u64 = 1 << 48;

/// The longest time on the fallback: jitter at most doubles a policy's longest.
const LONGEST_NANOS: u64 = 2 * 366 * 86_400 * 1_000_000_000;
const _: () = assert!(LONGEST_NANOS as u128 == 2 * Policy::LONGEST.as_nanos());

/// Fields that this version does not know. They are collected rather than refused by serde, so that
/// the version is evaluated first: a text of another version is refused as one.
type Unknown = BTreeMap<String, IgnoredAny>;

/// All fields but the version are optional here, for the same reason.
#[derive(Serialize, Deserialize)]
pub(super) struct Text {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    dry_run: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reverts_in_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trips: Option<TripsText>,
    #[serde(default, skip_serializing_if = "is_zero")]
    consecutive_failures: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<Vec<BucketText>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_calls: Option<String>,
    #[serde(flatten, skip_serializing)]
    unknown: Unknown,
}

/// How often it tripped, how often its time on the fallback has grown, and how long it has been
/// back.
#[derive(Serialize, Deserialize)]
struct TripsText {
    made: u64,
    grown: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back_for_ns: Option<u64>,
    #[serde(flatten, skip_serializing)]
    unknown: Unknown,
}

#[derive(Serialize, Deserialize)]
struct BucketText {
    age_ns: u64,
    successes: u64,
    failures: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    slow: u64,
    #[serde(flatten, skip_serializing)]
    unknown: Unknown,
}

impl Text {
    /// The first field that this version does not know.
    fn unknown(&self) -> Option<&String> {
        let trips = self.trips.iter().map(|trips| &trips.unknown);
        let buckets = self.window.iter().flatten().map(|bucket| &bucket.unknown);
        [&self.unknown]
            .into_iter()
            .chain(trips)
            .chain(buckets)
            .find_map(|unknown| unknown.keys().next())
    }
}

/// The calls of a count window, a letter each, the oldest first.
const LETTERS: [(char, Sample); 4] = [
    ('s', Sample { failed: false, slow: false }),
    ('S', Sample { failed: false, slow: true }),
    ('f', Sample { failed: true, slow: false }),
    ('F', Sample { failed: true, slow: true }),
];

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Saved> for Text {
    fn from(saved: Saved) -> Self {
        let Remembered { trips, grown, back_for } = saved.remembered;
        let (window, last_calls) = match &saved.window {
            SavedWindow::Buckets(buckets) if buckets.is_empty() => (None, None),
            SavedWindow::Buckets(buckets) => (Some(buckets.iter().map(bucket).collect()), None),
            SavedWindow::Calls(calls) => (None, Some(calls.iter().map(letter).collect())),
        };
        Self {
            version: VERSION,
            state: Some(saved.state().as_str().to_owned()),
            dry_run: saved.dry_run,
            reverts_in_ns: saved.reverts_in().map(nanos),
            trips: (saved.remembered != Remembered::default()).then(|| TripsText {
                made: trips,
                grown,
                back_for_ns: back_for.map(nanos),
                unknown: Unknown::new(),
            }),
            consecutive_failures: saved.streak,
            window,
            last_calls,
            unknown: Unknown::new(),
        }
    }
}

fn bucket((age, tally): &(Duration, Tally)) -> BucketText {
    let Tally { successes, failures, slow, .. } = *tally;
    BucketText { age_ns: nanos(*age), successes, failures, slow, unknown: Unknown::new() }
}

fn letter(sample: &Sample) -> char {
    LETTERS.iter().find(|(_, other)| other == sample).map_or('s', |(letter, _)| *letter)
}

impl TryFrom<Text> for Saved {
    type Error = Refused;

    fn try_from(text: Text) -> Result<Self, Refused> {
        if text.version != VERSION {
            return Err(Refused::Version(text.version));
        }
        if let Some(field) = text.unknown() {
            return Err(Refused::Unknown(field.clone()));
        }
        let state = text.state.ok_or(Refused::Missing("state"))?;
        let state = State::ALL.into_iter().find(|known| known.as_str() == state);
        let phase = phase(state.ok_or(Refused::State)?, text.reverts_in_ns)?;
        let window = window(text.window, text.last_calls)?;
        let counting = !matches!(
            phase,
            SavedPhase::Fallback { .. } | SavedPhase::Probing | SavedPhase::ForcedFallback
        );
        if !counting && !text.dry_run && window != SavedWindow::EMPTY {
            return Err(Refused::CountsOnFallback);
        }
        let streak = text.consecutive_failures;
        if streak > MOST_CALLS {
            return Err(Refused::Streak);
        }
        let remembered = text.trips.map_or(Ok(Remembered::default()), trips)?;
        Ok(Self { phase, dry_run: text.dry_run, window, streak, remembered })
    }
}

fn phase(state: State, left: Option<u64>) -> Result<SavedPhase, Refused> {
    if left.is_some_and(|left| left > LONGEST_NANOS) {
        return Err(Refused::RevertsIn);
    }
    let left = left.map(Duration::from_nanos);
    match (state, left) {
        (State::Fallback, Some(left)) => Ok(SavedPhase::Fallback { left }),
        (State::Ramping, Some(left)) => Ok(SavedPhase::Ramping { left }),
        (State::Fallback | State::Ramping, None) => Err(Refused::Missing("reverts_in_ns")),
        (_, Some(_)) => Err(Refused::NoTimer),
        (State::Primary, None) => Ok(SavedPhase::Primary),
        (State::Probing, None) => Ok(SavedPhase::Probing),
        (State::ForcedPrimary, None) => Ok(SavedPhase::ForcedPrimary),
        (State::ForcedFallback, None) => Ok(SavedPhase::ForcedFallback),
    }
}

fn window(buckets: Option<Vec<BucketText>>, calls: Option<String>) -> Result<SavedWindow, Refused> {
    match (buckets, calls) {
        (Some(_), Some(_)) => Err(Refused::TwoWindows),
        (None, Some(calls)) => {
            let known = |letter| LETTERS.iter().find(|(l, _)| *l == letter).map(|(_, s)| *s);
            let samples = calls.chars().map(known).collect::<Option<Vec<_>>>();
            let few = |calls: &Vec<_>| calls.len() <= Policy::MOST_LAST_CALLS as usize;
            samples.filter(few).map(SavedWindow::Calls).ok_or(Refused::LastCalls)
        }
        (buckets, None) => {
            let buckets = buckets.unwrap_or_default();
            if buckets.len() > Policy::MOST_BUCKETS as usize {
                return Err(Refused::Buckets);
            }
            if !buckets.is_sorted_by(|older, younger| older.age_ns >= younger.age_ns) {
                return Err(Refused::Order);
            }
            let mut all = 0_u64;
            let mut aged = Vec::with_capacity(buckets.len());
            for BucketText { age_ns, successes, failures, slow, .. } in buckets {
                let tally = Tally { successes, failures, slow, dropped: 0 };
                all = all.saturating_add(tally.calls());
                if slow > tally.calls() || all > MOST_CALLS {
                    return Err(Refused::Calls);
                }
                aged.push((Duration::from_nanos(age_ns), tally));
            }
            Ok(SavedWindow::Buckets(aged))
        }
    }
}

fn trips(TripsText { made, grown, back_for_ns, .. }: TripsText) -> Result<Remembered, Refused> {
    if made > Remembered::MOST_TRIPS || grown > Remembered::MOST_GROWN {
        return Err(Refused::Trips);
    }
    Ok(Remembered { trips: made, grown, back_for: back_for_ns.map(Duration::from_nanos) })
}

/// Why a text is no saved state, by the field that makes no sense.
#[derive(Debug)]
pub(super) enum Refused {
    Version(u32),
    Unknown(String),
    Missing(&'static str),
    State,
    RevertsIn,
    NoTimer,
    CountsOnFallback,
    TwoWindows,
    LastCalls,
    Calls,
    Buckets,
    Order,
    Streak,
    Trips,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "a saved failover of version {version}: this one reads {VERSION} only")
            }
            Self::Unknown(field) => {
                write!(f, "`{field}` is not a field of a saved failover of version {VERSION}")
            }
            Self::Missing(field) => write!(f, "`{field}` is missing in a saved failover"),
            Self::State => {
                let states = State::ALL.map(State::as_str).join(", ");
                write!(f, "`state` of a saved failover must be one of {states}")
            }
            Self::RevertsIn => write!(f, "`reverts_in_ns` must be at most {LONGEST_NANOS}"),
            Self::NoTimer => f.write_str(
                "`reverts_in_ns` is given, but a timer runs in `fallback` and `ramping` only",
            ),
            Self::CountsOnFallback => f.write_str(
                "`window` or `last_calls` has counts on the fallback, where the primary's calls \
                 are not counted",
            ),
            Self::TwoWindows => f.write_str("`window` and `last_calls` can't both be given"),
            Self::LastCalls => write!(
                f,
                "`last_calls` must be at most {} letters out of s, S, f and F",
                Policy::MOST_LAST_CALLS
            ),
            Self::Calls => write!(
                f,
                "`window` has a bucket with more slow calls than calls, or more than {MOST_CALLS} \
                 calls in all"
            ),
            Self::Buckets => {
                write!(f, "`window` must have at most {} buckets", Policy::MOST_BUCKETS)
            }
            Self::Order => f.write_str("`window` is out of order: the oldest bucket comes first"),
            Self::Streak => write!(f, "`consecutive_failures` must be at most {MOST_CALLS}"),
            Self::Trips => write!(
                f,
                "`trips` must have `made` of at most {} and `grown` of at most {}",
                Remembered::MOST_TRIPS,
                Remembered::MOST_GROWN
            ),
        }
    }
}
