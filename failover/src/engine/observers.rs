//! The observers of a monitor, notified outside its lock, and the name that events carry.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Event, Observe};

/// What a warning is about.
pub(crate) struct Subject {
    pub(crate) name: Option<Arc<str>>,
    /// The service whose calls it tells of.
    pub(crate) service: &'static str,
}

/// The subject of a warning; `None` if it is not to be given.
pub(crate) type FindSubject = dyn Fn() -> Option<Subject> + Send + Sync;

#[derive(Default)]
pub(crate) struct Observers(Mutex<List>);

#[derive(Default)]
struct List {
    /// Copied on write, so a notification shares it without copying.
    observers: Arc<Vec<Arc<dyn Observe>>>,
    name: Option<Arc<str>>,
    /// `None` for the primary of a failover with its own name.
    subject: Option<Arc<FindSubject>>,
}

impl Observers {
    pub(crate) fn add(&self, observer: Arc<dyn Observe>) {
        let mut list = self.lock();
        let mut observers = Vec::clone(&list.observers);
        observers.push(observer);
        list.observers = Arc::new(observers);
    }

    /// Moves all observers to another monitor, which has none.
    pub(crate) fn move_to(&self, other: &Self) {
        let observers = mem::take(&mut self.lock().observers);
        other.lock().observers = observers;
    }

    pub(super) fn set_name(&self, name: Arc<str>) {
        self.lock().name = Some(name);
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.lock().name.clone()
    }

    /// What the warnings are about, if not the primary of a failover of this name.
    pub(crate) fn warn_about(&self, subject: Arc<FindSubject>) {
        self.lock().subject = Some(subject);
    }

    /// What a warning is about; `None` if it is not to be given.
    pub(crate) fn subject(&self) -> Option<Subject> {
        let list = self.lock();
        let (name, find) = (list.name.clone(), list.subject.clone());
        drop(list);
        let Some(find) = find else { return Some(Subject { name, service: "primary" }) };
        find().map(|found| Subject { name: found.name.or(name), ..found })
    }

    pub(crate) fn clear(&self) {
        // Outside the lock: a destructor may run any code.
        let list = mem::take(&mut *self.lock());
        drop(list);
    }

    /// Notifies the observers in order. One added meanwhile does not see this event.
    pub(crate) fn notify(&self, event: &Event) {
        let observers = Arc::clone(&self.lock().observers);
        for observer in observers.iter() {
            // The panic hook has already reported a panic.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
        // This may be the last reference to cleared observers, and run their destructors.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(observers)));
    }

    // No panic can leave the list half-changed, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.lock().observers.len())
    }
}
