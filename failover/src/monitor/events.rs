//! Events to be taken by whoever subscribed, and observers that come and go.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::engine::Engine;
use crate::event::{Event, Observe};

/// An observer's place among those who are told. Dropping it removes the observer.
///
/// It may be dropped anywhere, by the observer itself as well. A transition that another thread is
/// telling of at that moment may still be told. It does not keep the failover alive.
#[must_use = "the observer is removed when this is dropped"]
pub struct Attached {
    engine: &'static Engine,
    name: u64,
}

impl Attached {
    pub(crate) fn new(engine: &'static Engine, observer: Arc<dyn Observe>) -> Self {
        Self { engine, name: engine.observers.add(observer) }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // A name is given once only: if the failover is gone, and its memory serves another one,
        // nobody there has it.
        self.engine.observers.remove(self.name);
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The events of a failover, in the order in which they were told. Made by
/// [`FailoverHandle::subscribe`](crate::monitor::handle::FailoverHandle::subscribe); dropping it unsubscribes.
///
/// A thread takes them by [`wait`](Self::wait), a task of any runtime by [`next`](Self::next), and
/// either by [`try_next`](Self::try_next).
///
/// # Overflow
/// The call that makes a transition never waits for a subscriber. When as many events wait as the
/// subscription has capacity for, the *oldest* makes way for the new one: what was told last says
/// where calls go now. [`lost`](Self::lost) says how many were lost so.
///
/// # End
/// It does not keep the failover alive. When the last service, handle and monitor are gone, what
/// waits can still be taken, and then the events are over.
///
/// ```
/// use std::num::NonZeroUsize;
/// use failover::{Monitor, Policy, Route};
/// use failover::event::Cause;
///
/// let monitor = Monitor::new(Policy::default());
/// let mut events = monitor.handle().subscribe(NonZeroUsize::new(16).unwrap());
/// monitor.handle().force(Route::Fallback);
/// drop(monitor);
///
/// let event = events.wait().unwrap();
/// assert_eq!((event.route, event.cause), (Route::Fallback, Cause::Forced));
/// assert_eq!(events.wait(), None);
/// ```
#[derive(Debug)]
pub struct Events {
    queue: Arc<Queue>,
    // Dropped with it: the queue's place among the observers.
    _attached: Attached,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    lost: u64,
    over: bool,
    waker: Option<Waker>,
}

impl Events {
    pub(crate) fn new(engine: &'static Engine, capacity: NonZeroUsize) -> Self {
        let capacity = capacity.get();
        let queue = Arc::new(Queue { state: Mutex::default(), changed: Condvar::new(), capacity });
        let attached = Attached::new(engine, Arc::new(Sender(Arc::clone(&queue))));
        Self { queue, _attached: attached }
    }

    /// The oldest event that waits; `None` if none does.
    pub fn try_next(&mut self) -> Option<Event> {
        self.queue.lock().events.pop_front()
    }

    /// The next event, for which the thread waits; `None` when they are over.
    pub fn wait(&mut self) -> Option<Event> {
        let waiting = |state: &mut State| state.events.is_empty() && !state.over;
        let state = self.queue.changed.wait_while(self.queue.lock(), waiting);
        state.unwrap_or_else(PoisonError::into_inner).events.pop_front()
    }

    /// The next event, for which the task waits; `None` when they are over.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has taken no event.
    ///
    /// ```
    /// # use failover::{Monitor, Policy};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let monitor = Monitor::new(Policy::default());
    /// let mut events = monitor.handle().subscribe(16.try_into().unwrap());
    /// monitor.handle().reset();
    /// assert!(events.next().await.is_some());
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event, as a stream gives it: `Ready(None)` when they are over.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.queue.lock();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.over {
            return Poll::Ready(None);
        }
        let known = state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        let old = if known { None } else { state.waker.replace(context.waker().clone()) };
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// How many events were lost since this was asked last.
    pub fn lost(&mut self) -> u64 {
        mem::take(&mut self.queue.lock().lost)
    }
}

impl Queue {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_one();
        // Outside the lock: a waker may do anything.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // A waker's `clone` that panics leaves the state whole: poison says nothing here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The observer behind a subscription. When it is dropped, nothing is told any more.
struct Sender(Arc<Queue>);

impl Observe for Sender {
    fn observe(&self, event: &Event) {
        self.0.change(|state| {
            if state.events.len() == self.0.capacity {
                state.events.pop_front();
                state.lost = state.lost.saturating_add(1);
            }
            state.events.push_back(*event);
        });
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.change(|state| state.over = true);
    }
}
