//! Transitions, counted as they are told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Event, Observe};
use crate::state::State;

/// A transition's labels: from, to, cause.
pub(super) type Labels = (&'static str, &'static str, &'static str);

/// The transitions of one name. Locked at transitions and scrapes alone.
#[derive(Debug)]
pub(super) struct Transitions(Mutex<BTreeMap<Labels, u64>>);

impl Transitions {
    /// The two that everybody waits for are there from the start, so that the first one is seen
    /// as a rise from zero.
    pub(super) fn new() -> Self {
        let (primary, fallback) = (State::Primary.as_str(), State::Fallback.as_str());
        let awaited = [(primary, fallback, "tripped"), (fallback, primary, "reverted")];
        Self(Mutex::new(awaited.into_iter().map(|labels| (labels, 0)).collect()))
    }

    pub(super) fn read(&self) -> BTreeMap<Labels, u64> {
        self.lock().clone()
    }

    // Adding can't panic half-way: poison says nothing here.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Labels, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts for a failover; holds nothing of it, so that it keeps no failover alive.
#[derive(Debug)]
pub(super) struct Counting(pub(super) Arc<Transitions>);

impl Observe for Counting {
    fn observe(&self, event: &Event) {
        let labels = (event.from.as_str(), event.to.as_str(), event.cause.as_str());
        *self.0.lock().entry(labels).or_default() += 1;
    }
}
