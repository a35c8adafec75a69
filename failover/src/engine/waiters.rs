//! Tasks that wait for a busy service, to be woken when the route changes.

use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::engine::sync::{Mutex, MutexGuard, PoisonError};

/// The waiting tasks of one monitor. Touched only where a service is not ready, and at
/// transitions.
#[derive(Debug)]
pub(crate) struct Waiters(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

/// A waiter's id. A service clone has at most one, so the clones that wait bound the number of wakers.
#[derive(Debug)]
pub(crate) struct Waiter(u64);

impl Waiters {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(List::default()))
    }

    /// Waits under the given id, or under a new one.
    pub(crate) fn wait(&self, waiter: Option<Waiter>, waker: &Waker) -> Waiter {
        let mut list = self.lock();
        let waiter = waiter.unwrap_or_else(|| {
            list.next += 1;
            Waiter(list.next)
        });
        let known = list.wakers.get(&waiter.0).is_some_and(|old| old.will_wake(waker));
        let old = if known { None } else { list.wakers.insert(waiter.0, waker.clone()) };
        drop(list);
        drop(old);
        waiter
    }

    /// Stops waiting.
    pub(crate) fn leave(&self, waiter: &Waiter) {
        let waker = self.lock().wakers.remove(&waiter.0);
        drop(waker);
    }

    /// Wakes all tasks, outside the lock: a waker may do anything. If one panics, the others still wake.
    pub(crate) fn wake_all(&self) {
        let mut list = self.lock();
        if list.wakers.is_empty() {
            return;
        }
        let wakers = mem::take(&mut list.wakers);
        drop(list);
        for waker in wakers.into_values() {
            // The panic hook has reported the panic.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    #[cfg(all(test, not(failover_loom)))]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().wakers.len()
    }

    // No panic can leave the map half-changed, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(failover_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waiter_that_waits_again_has_only_its_latest_waker() {
        let (waiters, first, second) =
            (Waiters::new(), Arc::new(Count::default()), Arc::new(Count::default()));
        let waiter = waiters.wait(None, &Waker::from(Arc::clone(&first)));
        let waiter = waiters.wait(Some(waiter), &Waker::from(Arc::clone(&second)));
        assert_eq!(waiters.waiting(), 1);
        waiters.wake_all();
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
        waiters.leave(&waiter);
        assert_eq!(waiters.waiting(), 0);
    }

    struct Faulty;

    impl Wake for Faulty {
        fn wake(self: Arc<Self>) {
            panic!("a faulty waker");
        }
    }

    #[test]
    fn if_a_waker_panics_the_others_still_wake() {
        let (waiters, count) = (Waiters::new(), Arc::new(Count::default()));
        let _faulty = waiters.wait(None, &Waker::from(Arc::new(Faulty)));
        let _other = waiters.wait(None, &Waker::from(Arc::clone(&count)));
        waiters.wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn leaving_after_a_wake_removes_no_other_waiter() {
        let (waiters, count) = (Waiters::new(), Arc::new(Count::default()));
        let old = waiters.wait(None, Waker::noop());
        waiters.wake_all();
        let _new = waiters.wait(None, &Waker::from(Arc::clone(&count)));
        waiters.leave(&old);
        waiters.wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
