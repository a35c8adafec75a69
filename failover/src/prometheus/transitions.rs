//! Counts transitions as they happen.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Event;
use crate::state::State;

/// A transition's labels: from, to, cause.
pub(super) type Labels = (&'static str, &'static str, &'static str);

/// The transitions that a policy or an operator makes in normal operation, by their causes. Not
/// among them are changes of the policy, restarts, and commands during a probe or a ramp.
const USUAL: [(State, State, &[&str]); 15] = {
    use State::{Fallback, ForcedFallback, ForcedPrimary, Primary, Probing, Ramping};
    [
        (Primary, Fallback, &["tripped", "would_trip"]),
        (Fallback, Primary, &["reverted", "would_revert", "fallback_failing", "released"]),
        (Fallback, Probing, &["probing"]),
        (Probing, Fallback, &["probes_failed"]),
        (Probing, Primary, &["reverted"]),
        (Fallback, Ramping, &["ramping", "fallback_failing"]),
        (Probing, Ramping, &["ramping"]),
        (Ramping, Fallback, &["tripped"]),
        (Ramping, Primary, &["reverted"]),
        (Primary, ForcedPrimary, &["forced"]),
        (Primary, ForcedFallback, &["forced"]),
        (Fallback, ForcedPrimary, &["forced"]),
        (Fallback, ForcedFallback, &["forced"]),
        (ForcedPrimary, Primary, &["released"]),
        (ForcedFallback, Primary, &["released"]),
    ]
};

/// The transitions of one name. Locked only at transitions and scrapes.
#[derive(Debug)]
pub(super) struct Transitions(Mutex<BTreeMap<Labels, u64>>);

impl Transitions {
    /// The usual transitions start at zero, so that the first one is scraped as a rise.
    pub(super) fn new() -> Self {
        let usual = USUAL.iter().flat_map(|&(from, to, causes)| {
            causes.iter().map(move |&cause| ((from.as_str(), to.as_str(), cause), 0))
        });
        Self(Mutex::new(usual.collect()))
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
