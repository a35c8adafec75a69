//! Subscriptions to events, and observers that can be removed.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::engine::Engine;
use crate::event::{Event, Observe};

/// A guard that removes its observer when dropped.
///
/// The observer may drop its own guard. After the drop it may still see a transition that another
/// thread is reporting. The guard does not keep the failover alive.
#[must_use = "the observer is removed when this is dropped"]
pub struct Attached {
    engine: &'static Engine,
    name: u64,
}

impl Attached {
    pub(crate) fn new(engine: &'static Engine, observer: Arc<dyn Observe>) -> Self {
        Self { engine, name: engine.transitions.observers.add(observer) }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Names are never reused: this is harmless if another failover has reused the memory.
        self.engine.transitions.observers.remove(self.name);
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The events of a failover, in the order in which they were reported. Made by
/// [`FailoverHandle::subscribe`](crate::monitor::handle::FailoverHandle::subscribe); drop it to
/// unsubscribe.
///
/// Threads use [`wait`](Self::wait), tasks of any runtime [`next`](Self::next), and both
/// [`try_next`](Self::try_next).
///
/// # Overflow
/// Transitions never wait for a subscriber. If the queue is full, the *oldest* event is dropped,
/// since the newest has the current route. [`lost`](Self::lost) counts dropped events.
///
/// # End
/// A subscription does not keep the failover alive. After the last service, handle and monitor are
/// dropped, queued events remain; then the stream ends.
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
    // Removes the queue from the observers when dropped.
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

    /// The oldest queued event; `None` if the queue is empty.
    pub fn try_next(&mut self) -> Option<Event> {
        self.queue.lock().events.pop_front()
    }

    /// Blocks the thread until the next event; `None` at the end.
    pub fn wait(&mut self) -> Option<Event> {
        let waiting = |state: &mut State| state.events.is_empty() && !state.over;
        let state = self.queue.changed.wait_while(self.queue.lock(), waiting);
        state.unwrap_or_else(PoisonError::into_inner).events.pop_front()
    }

    /// Waits for the next event; `None` at the end.
    ///
    /// # Cancel safety
    /// If dropped before it is ready, no event is lost.
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

    /// Polls for the next event, like a stream: `Ready(None)` at the end.
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

    /// How many events were dropped since the last call.
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
        // Outside the lock: a waker may run any code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // A panic in a waker's `clone` leaves the state consistent, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The observer of a subscription. Dropping it ends the events.
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
