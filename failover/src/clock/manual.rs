//! A clock for tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Clock, Moment, Sleep, nanos};

/// A clock for tests that only the test moves. Clones share the time. A waiting call wakes when its
/// time is reached.
///
/// ```
/// use std::time::Duration;
/// use failover::{Monitor, Outcome, Policy, Route};
/// use failover::clock::ManualClock;
///
/// let clock = ManualClock::new();
/// let monitor = Monitor::with_clock(Policy::default(), clock.clone());
/// for _ in 0..10 {
///     let Some(ticket) = monitor.admit().ticket() else { unreachable!("not tripped yet") };
///     monitor.record(ticket, Outcome::Failure);
/// }
/// assert_eq!(monitor.route(), Route::Fallback);
/// clock.advance(Duration::from_secs(5 * 60));
/// assert_eq!(monitor.route(), Route::Primary);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    now: AtomicU64,
    sleepers: Mutex<Sleepers>,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// By their moments, and by ids for several sleepers of one moment.
    wakers: BTreeMap<(u64, u64), Waker>,
    next_id: u64,
}

impl ManualClock {
    /// A clock at its origin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the time forwards. It stops at its maximum, after 584 years.
    pub fn advance(&self, by: Duration) {
        // Ordering: AcqRel. A thread that reads the new time sees what was done before it was set.
        let later = |now: u64| Some(now.saturating_add(nanos(by)));
        let _ = self.0.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        self.0.wake();
    }

    /// Sets the time, also backwards, to test how a monitor copes with a faulty clock.
    pub fn set(&self, moment: Moment) {
        self.0.now.store(moment.as_nanos(), Ordering::Release);
        self.0.wake();
    }
}

impl Clock for ManualClock {
    #[inline]
    fn now(&self) -> Moment {
        Moment::from_nanos(self.0.now.load(Ordering::Acquire))
    }

    fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        let mut sleepers = self.0.sleepers();
        sleepers.next_id += 1;
        let key = (moment.as_nanos(), sleepers.next_id);
        drop(sleepers);
        Some(Box::pin(Sleeper { clock: self.clone(), key }))
    }
}

impl Inner {
    /// Wakes the tasks whose time is reached, outside the lock.
    fn wake(&self) {
        let mut sleepers = self.sleepers();
        let now = self.now.load(Ordering::Acquire);
        let later = now.checked_add(1).map(|after| sleepers.wakers.split_off(&(after, 0)));
        let due = std::mem::replace(&mut sleepers.wakers, later.unwrap_or_default());
        drop(sleepers);
        due.into_values().for_each(Waker::wake);
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when the time is reached.
struct Sleeper {
    clock: ManualClock,
    key: (u64, u64),
}

impl Future for Sleeper {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut sleepers = self.clock.0.sleepers();
        // Read under the lock: a later change of the time wakes it.
        if self.clock.now().as_nanos() >= self.key.0 {
            return Poll::Ready(());
        }
        let old = sleepers.wakers.insert(self.key, context.waker().clone());
        drop(sleepers);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let waker = self.clock.0.sleepers().wakers.remove(&self.key);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[test]
    fn clones_share_the_time_which_stops_at_its_maximum() {
        let clock = ManualClock::new();
        let other = clock.clone();
        clock.advance(Duration::from_nanos(7));
        assert_eq!(other.now(), Moment::from_nanos(7));
        clock.advance(Duration::MAX);
        assert_eq!(other.now(), Moment::from_nanos(u64::MAX));
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn sleepers_wake_at_their_moment_and_dropped_ones_do_not() {
        let (clock, wakes) = (ManualClock::new(), Arc::new(Wakes::default()));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut sleeps: Vec<_> = [5, 5, 7, u64::MAX]
            .map(|at| clock.sleep_until(Moment::from_nanos(at)).expect("it can sleep"))
            .into();
        for _ in 0..2 {
            let poll = |sleep: &mut Sleep| sleep.as_mut().poll(&mut context).is_ready();
            assert!(!sleeps.iter_mut().any(poll));
        }
        drop(sleeps.remove(1));
        for (at, woken) in [(4, 0), (5, 1), (6, 1), (7, 2), (u64::MAX - 1, 2), (u64::MAX, 3)] {
            clock.set(Moment::from_nanos(at));
            assert_eq!(wakes.0.load(Ordering::Relaxed), woken, "{at}");
        }
        assert!(sleeps.iter_mut().all(|sleep| sleep.as_mut().poll(&mut context).is_ready()));
    }
}
