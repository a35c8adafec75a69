//! What happened, and who is told.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Route, Tally};

/// A transition of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The number of the epoch that the transition began, from 0 to 2^20 − 1. Two threads may
    /// tell of two transitions at the same time; this says which was later.
    pub epoch: u32,
    /// Where calls went until now, or would have gone.
    pub from: Route,
    /// Where calls go from now on.
    pub route: Route,
    /// Why.
    pub cause: Cause,
}

/// Why a transition was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The failure rate exceeded the threshold: calls go to the fallback.
    Tripped {
        /// What the window held.
        tally: Tally,
        /// How long calls stay on the fallback.
        revert_after: Duration,
    },
    /// The time on the fallback is over: calls go to the primary, and the window is empty.
    Reverted,
    /// An operator forced the route. No timer ends it.
    Forced,
    /// An operator released the forced route, or reset the monitor: calls go to the primary, and
    /// the window is empty.
    Released,
}

impl Cause {
    /// The cause in one word, for logs and metrics: `tripped`, `reverted`, `forced`, `released`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tripped { .. } => "tripped",
            Self::Reverted => "reverted",
            Self::Forced => "forced",
            Self::Released => "released",
        }
    }
}

/// Is told of transitions, by the thread that made them, outside every lock.
///
/// It may read the monitor's state, and even change it. One that panics is cut off there: the
/// panic goes no further, and the other observers are told.
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
pub(crate) struct Observers(Mutex<Vec<Arc<dyn Observe>>>);

impl Observers {
    pub(crate) fn add(&self, observer: Arc<dyn Observe>) {
        self.lock().push(observer);
    }

    pub(crate) fn clear(&self) {
        // Dropped after the lock is: a destructor may do anything.
        let observers = std::mem::take(&mut *self.lock());
        drop(observers);
    }

    pub(crate) fn tell(&self, event: &Event) {
        let observers = self.lock().clone();
        for observer in observers {
            // The panic hook has reported it; there is nothing more to do with it.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
    }

    // No panic can leave the list half-changed: poison says nothing here.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Observe>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.lock().len())
    }
}
