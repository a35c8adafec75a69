//! What happened, and who is told.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::route::Route;
use crate::state::State;
use crate::tally::Tally;

/// A transition of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The number of the epoch that the transition began, from 0 to 2^20 − 1. Two threads may
    /// tell of two transitions at the same time; this says which was later.
    pub epoch: u32,
    /// How calls were routed until now.
    pub from: State,
    /// How calls are routed from now on.
    pub to: State,
    /// Where calls go from now on. In a [dry run](crate::policy::PolicyBuilder::dry_run) not what `to` says,
    /// but the primary.
    pub route: Route,
    /// Why.
    pub cause: Cause,
}

/// Why a transition was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A condition of the policy holds: calls go to the fallback.
    Tripped {
        /// Which one.
        condition: Condition,
        /// What the window held.
        tally: Tally,
        /// How long calls stay on the fallback.
        revert_after: Duration,
    },
    /// The time on the fallback is over: calls go to the primary, and the window is empty. Where
    /// calls came back gradually, all do from now on.
    Reverted,
    /// The time on the fallback is over: a few calls at once [probe](crate::policy::PolicyBuilder::probing)
    /// the primary, all others stay on the fallback.
    Probing,
    /// Too many probes failed: the fallback keeps the calls.
    ProbesFailed {
        /// For how long.
        revert_after: Duration,
    },
    /// The [watched fallback](crate::service::layer::FailoverLayer::watch_fallback) is failing too: calls go to the
    /// primary before the time on the fallback is over, gradually if the policy says so, and the
    /// window is empty.
    FallbackFailing {
        /// Which condition of the fallback's policy held.
        condition: Condition,
        /// What the fallback's window held.
        tally: Tally,
    },
    /// A growing share of the calls goes to the primary
    /// [gradually](crate::policy::PolicyBuilder::ramp_up), and the window is empty.
    Ramping {
        /// How long until all do.
        over: Duration,
    },
    /// In a [dry run](crate::policy::PolicyBuilder::dry_run): calls would go to the fallback now. They go
    /// to the primary.
    WouldTrip {
        /// The condition that holds.
        condition: Condition,
        /// What the window held.
        tally: Tally,
        /// How long calls would stay on the fallback.
        revert_after: Duration,
    },
    /// In a dry run: the time on the fallback would be over. The window is empty.
    WouldRevert,
    /// An operator forced the route. No timer ends it.
    Forced,
    /// An operator released the forced route, or reset the monitor: calls go to the primary, and
    /// the window is empty.
    Released,
    /// An operator put another policy in force: see
    /// [`FailoverHandle::swap_policy`](crate::monitor::handle::FailoverHandle::swap_policy).
    PolicySwapped,
    /// A state that was saved before was restored: see
    /// [`FailoverHandle::restore`](crate::monitor::handle::FailoverHandle::restore).
    Restored,
}

/// Which of a policy's conditions made it trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The failure rate exceeded the threshold.
    FailureRate,
    /// So many calls in a row failed.
    ConsecutiveFailures {
        /// How many.
        failures: u64,
    },
    /// The share of slow calls exceeded the threshold.
    SlowCalls,
    /// Too many calls hang.
    StalledCalls {
        /// Calls in flight for longer than the time; where the policy limits the share, those
        /// admitted in the stretch of time that it looks at.
        stalled: u64,
        /// Where the policy limits the share: all calls admitted in that stretch.
        admitted: Option<u64>,
    },
}

impl Cause {
    /// The cause in one word, for logs and metrics: `tripped`, `reverted`, `probing`,
    /// `probes_failed`, `fallback_failing`, `ramping`, `would_trip`, `would_revert`, `forced`,
    /// `released`, `policy_swapped`, `restored`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tripped { .. } => "tripped",
            Self::Reverted => "reverted",
            Self::Probing => "probing",
            Self::ProbesFailed { .. } => "probes_failed",
            Self::FallbackFailing { .. } => "fallback_failing",
            Self::Ramping { .. } => "ramping",
            Self::WouldTrip { .. } => "would_trip",
            Self::WouldRevert => "would_revert",
            Self::Forced => "forced",
            Self::Released => "released",
            Self::PolicySwapped => "policy_swapped",
            Self::Restored => "restored",
        }
    }
}

/// Is told of transitions, by the thread that made them, outside every lock.
///
/// It may read the monitor's state, and even change it; it may add and remove observers, itself as
/// well. One that panics is cut off there: the panic goes no further, and the other observers are
/// told.
pub trait Observe: Send + Sync + 'static {
    /// Takes note of a transition. The call that made the transition waits for it.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observe for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

/// Those who are told.
#[derive(Default)]
pub(crate) struct Observers(Mutex<List>);

#[derive(Clone, Default)]
struct List {
    /// Replaced as a whole, so that a teller shares it instead of copying it.
    observers: Arc<Vec<(u64, Arc<dyn Observe>)>>,
    /// The name of the next one. No name is given twice, not even when all are gone.
    next: u64,
}

impl Observers {
    /// Its name, for [`remove`](Self::remove).
    pub(crate) fn add(&self, observer: Arc<dyn Observe>) -> u64 {
        let mut list = self.lock();
        let name = list.next;
        list.next += 1;
        let mut observers = Vec::clone(&list.observers);
        observers.push((name, observer));
        let old = mem::replace(&mut list.observers, Arc::new(observers));
        drop(list);
        drop(old);
        name
    }

    pub(crate) fn remove(&self, name: u64) {
        let mut list = self.lock();
        let mut observers = Vec::clone(&list.observers);
        observers.retain(|(other, _)| *other != name);
        let old = mem::replace(&mut list.observers, Arc::new(observers));
        drop(list);
        // After the lock: a destructor may do anything.
        drop(old);
    }

    pub(crate) fn clear(&self) {
        let observers = mem::take(&mut self.lock().observers);
        drop(observers);
    }

    /// Tells those who observe at the moment, in the order in which they came. One that is added
    /// meanwhile is not told of this event; one that is removed meanwhile may be.
    pub(crate) fn tell(&self, event: &Event) {
        let observers = Arc::clone(&self.lock().observers);
        for (_, observer) in observers.iter() {
            // The panic hook has reported it; there is nothing more to do with it.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
        // The last to hold one that was removed meanwhile runs its destructor.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(observers)));
    }

    // No panic can leave the list half-changed: poison says nothing here.
    fn lock(&self) -> std::sync::MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.lock().observers.len())
    }
}
