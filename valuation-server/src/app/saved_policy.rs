//! An operator's changes of the policy that outlast a restart: what is to be saved, and what is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::in_force::OperatorChanges;

/// How long an answer waits for its change to be saved.
const WAIT: Duration = Duration::from_secs(1);

/// What is to be saved, and what is.
#[derive(Debug)]
pub(super) struct SavedPolicy {
    wanted: watch::Sender<OperatorChanges>,
    /// What a restart would find; `None` while others are being stored, or could not be: either may be there.
    stored: watch::Sender<Option<OperatorChanges>>,
    /// Since when they differ. Locked over each change of one of them, so that it is of both.
    differs_since: Mutex<Option<Instant>>,
}

impl Default for SavedPolicy {
    fn default() -> Self {
        let stored = watch::Sender::new(Some(OperatorChanges::new()));
        Self { wanted: watch::Sender::default(), stored, differs_since: Mutex::default() }
    }
}

impl SavedPolicy {
    /// Has these changes saved.
    pub(super) fn want(&self, changes: &OperatorChanges) {
        let mut since = self.since();
        if *self.wanted.borrow() != *changes {
            since.get_or_insert_with(Instant::now);
            self.wanted.send_replace(changes.clone());
        }
    }

    /// Whether a restart would find the changes.
    pub(super) fn is_stored(&self) -> bool {
        self.stored.borrow().as_ref() == Some(&*self.wanted.borrow())
    }

    /// Whether it would not although there was time to save them.
    pub(super) fn is_overdue(&self) -> bool {
        !self.is_stored() && self.since().is_some_and(|since| since.elapsed() >= WAIT)
    }

    /// Whether the changes were saved within a second.
    pub(super) async fn is_stored_soon(&self) -> bool {
        let mut stored = self.stored.subscribe();
        let saved = stored.wait_for(|stored| stored.as_ref() == Some(&*self.wanted.borrow()));
        timeout(WAIT, saved).await.is_ok_and(|saved| saved.is_ok())
    }

    /// The changes to be saved, which are being stored from now on, if they are not stored. Until
    /// [`stored`](Self::stored) it is not known what is.
    pub(super) fn to_store(&self) -> Option<OperatorChanges> {
        let mut since = self.since();
        if self.is_stored() {
            return None;
        }
        since.get_or_insert_with(Instant::now);
        self.stored.send_replace(None);
        Some(self.wanted.borrow().clone())
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
        let mut since = self.since();
        self.stored.send_replace(Some(changes));
        if self.is_stored() {
            *since = None;
        }
    }

    // Only replaced as a whole, so poison is ignored.
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.differs_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::app::in_force::OperatorChange;
    use crate::config::Setting;

    fn min_calls(value: &str) -> OperatorChanges {
        let (by, at) = ("here".to_owned(), Timestamp::UNIX_EPOCH);
        let change = OperatorChange { value: value.to_owned(), by, at };
        OperatorChanges::from([(Setting::MinCalls, change)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_taken_back_while_it_is_being_stored_is_not_stored_before_that_is() {
        let policy = SavedPolicy::default();
        assert!(policy.is_stored() && policy.to_store().is_none());
        policy.want(&min_calls("5"));
        let first = policy.to_store().unwrap();
        policy.want(&OperatorChanges::new());
        assert!(!policy.is_stored(), "a restart may find either");
        assert!(!policy.is_stored_soon().await);
        assert!(policy.is_overdue());
        policy.stored(first);
        assert!(!policy.is_stored() && policy.is_overdue());
        let second = policy.to_store().unwrap();
        assert_eq!(second, OperatorChanges::new());
        policy.stored(second);
        assert!(policy.is_stored_soon().await && !policy.is_overdue());
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_stored_is_to_be_stored_again() {
        let policy = SavedPolicy::default();
        policy.want(&min_calls("5"));
        assert_eq!(policy.to_store(), Some(min_calls("5")));
        assert_eq!(policy.to_store(), Some(min_calls("5")), "the first write has failed");
        policy.stored(min_calls("5"));
        assert_eq!(policy.to_store(), None);
    }
}
