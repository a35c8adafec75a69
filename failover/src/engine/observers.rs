//! The observers of a monitor, notified outside its lock.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{Event, Observe};

#[derive(Default)]
pub(crate) struct Observers(Mutex<List>);

#[derive(Clone, Default)]
struct List {
    /// Copied on write, so a notification shares it without copying.
    observers: Arc<Vec<(u64, Arc<dyn Observe>)>>,
    /// The name of the next observer. Names are never reused, not even after `clear`.
    next: u64,
}

impl Observers {
    /// Returns the observer's name, for [`remove`](Self::remove).
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
        // Outside the lock: a destructor may run any code.
        drop(old);
    }

    pub(crate) fn clear(&self) {
        let observers = mem::take(&mut self.lock().observers);
        drop(observers);
    }

    /// Notifies the observers in order. One added meanwhile does not see this event; one removed
    /// meanwhile may.
    pub(crate) fn notify(&self, event: &Event) {
        let observers = Arc::clone(&self.lock().observers);
        for (_, observer) in observers.iter() {
            // The panic hook has already reported a panic.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
        // This may be the last reference to an observer removed meanwhile, and run its destructor.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(observers)));
    }

    // No panic can leave the list half-changed, so poisoning is ignored.
    fn lock(&self) -> std::sync::MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.lock().observers.len())
    }
}
