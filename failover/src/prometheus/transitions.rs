//! Counts transitions as they happen.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Event;
use crate::state::State;

/// A transition's labels: from, to, cause.
pub(super) type Labels = (&'static str, &'static str, &'static str);

/// The transitions of one name. Locked only at transitions and scrapes.
#[derive(Debug)]
pub(super) struct Transitions(Mutex<BTreeMap<Labels, u64>>);

impl Transitions {
    /// Trips and reverts start at zero, so that the first one is scraped as a rise.
    pub(super) fn new() -> Self {
        let (primary, fallback) = (State::Primary.as_str(), State::Fallback.as_str());
        let expected = [(primary, fallback, "tripped"), (fallback, primary, "reverted")];
        Self(Mutex::new(expected.into_iter().map(|labels| (labels, 0)).collect()))
    }

    pub(super) fn count(&self, event: &Event) {
        let labels = (event.from.as_str(), event.to.as_str(), event.cause.as_str());
        *self.lock().entry(labels).or_default() += 1;
    }

    pub(super) fn read(&self) -> BTreeMap<Labels, u64> {
        self.lock().clone()
    }

    // Adding can't panic half-way, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Labels, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
