//! An operator's changes of the policy that outlast a restart: what is to be saved, and what is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::in_force::OperatorChanges;

/// How long an answer waits for its change to be saved.
const WAIT: Duration = Duration::from_secs(1);

/// What is to be saved, and what is.
#[derive(Debug, Default)]
pub(super) struct SavedPolicy {
    wanted: watch::Sender<OperatorChanges>,
    stored: watch::Sender<OperatorChanges>,
    /// Since when they differ.
    differs_since: Mutex<Option<Instant>>,
}

impl SavedPolicy {
    /// Has these changes saved.
    pub(super) fn want(&self, changes: &OperatorChanges) {
        if *self.wanted.borrow() != *changes {
            self.since().get_or_insert_with(Instant::now);
            self.wanted.send_replace(changes.clone());
        }
    }

    /// Whether a restart would find the changes.
    pub(super) fn is_stored(&self) -> bool {
        *self.wanted.borrow() == *self.stored.borrow()
    }

    /// Whether it would not although there was time to save them.
    pub(super) fn is_overdue(&self) -> bool {
        !self.is_stored() && self.since().is_some_and(|since| since.elapsed() >= WAIT)
    }

    /// Whether the changes were saved within a second.
    pub(super) async fn is_stored_soon(&self) -> bool {
        let mut stored = self.stored.subscribe();
        let saved = stored.wait_for(|stored| *stored == *self.wanted.borrow());
        timeout(WAIT, saved).await.is_ok_and(|saved| saved.is_ok())
    }

    /// What is to be saved now.
    pub(super) fn wanted(&self) -> OperatorChanges {
        self.wanted.borrow().clone()
    }

    /// Notifies of changes that are to be saved.
    pub(super) fn changes(&self) -> watch::Receiver<OperatorChanges> {
        self.wanted.subscribe()
    }

    /// Takes these as both wanted and saved.
    pub(super) fn recall(&self, changes: OperatorChanges) {
        self.wanted.send_replace(changes.clone());
        self.stored(changes);
    }

    /// Notes that these are saved.
    pub(super) fn stored(&self, changes: OperatorChanges) {
        self.stored.send_replace(changes);
        if self.is_stored() {
            *self.since() = None;
        }
    }

    // Only replaced as a whole, so poison is ignored.
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.differs_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
