//! Readiness: which of two services the next call takes, and its being made ready.

use std::mem;
use std::task::{Context, Poll, ready};

use tower_service::Service;

use crate::clock::Clock;
use crate::phase::Epoch;
use crate::shared::Shared;
use crate::ticket::{Hold, Pass, Stub, guard};
use crate::waiters::Waiter;
use crate::{Error, Monitor};

/// Two services, the monitor that chooses between them, and the choice for the next call.
#[derive(Debug)]
pub(crate) struct Switch<P, F, K> {
    pub(crate) primary: P,
    pub(crate) fallback: F,
    pub(crate) monitor: Monitor<K>,
    next: Next,
    /// The next call's place, if it is a probe for which the primary is ready. Beside `next`, since
    /// hardly a call has one, and what is moved with each costs each.
    probe: Option<Hold>,
    waiting: Waiting,
}

/// How far the next call has come.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Nothing is decided.
    Open,
    /// The primary failed to become ready for it, which is recorded: it takes the fallback.
    Diverted,
    /// The primary is ready for it, in the epoch in which it was admitted. A service that is ready
    /// has to be the one that is called, whatever happens to the route meanwhile: it may hold a
    /// permit for just this call.
    Primary(Epoch),
    /// The fallback is ready for it.
    Fallback,
}

/// The service that a call takes.
#[derive(Debug)]
pub(crate) enum Choice {
    Primary(Stub),
    Fallback,
}

/// A place among the tasks that are woken when the route changes.
#[derive(Debug)]
struct Waiting {
    shared: &'static Shared,
    waiter: Option<Waiter>,
}

impl Waiting {
    fn wait(&mut self, context: &Context<'_>) {
        let waiter = self.shared.waiters.wait(self.waiter.take(), context.waker());
        self.waiter = Some(waiter);
    }

    #[inline]
    fn end(&mut self) {
        if self.waiter.is_some() {
            self.leave();
        }
    }

    #[cold]
    fn leave(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.shared.waiters.leave(&waiter);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether the chosen service is ready, or whose error came instead.
type Ready<R, P, F> = Result<(), Error<<P as Service<R>>::Error, <F as Service<R>>::Error>>;

impl<P, F, K: Clock> Switch<P, F, K> {
    pub(crate) fn new(primary: P, fallback: F, monitor: Monitor<K>) -> Self {
        let waiting = Waiting { shared: monitor.watch().shared(), waiter: None };
        Self { primary, fallback, monitor, next: Next::Open, probe: None, waiting }
    }

    /// Makes the service of the current route ready, and no other. Once it is, the choice stands
    /// until [`choose`](Self::choose) takes it.
    #[inline]
    pub(crate) fn poll_ready<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        loop {
            match self.next {
                Next::Primary(_) | Next::Fallback => return Poll::Ready(Ok(())),
                Next::Diverted => return self.poll_fallback(context),
                Next::Open => {}
            }
            let polled = match self.waiting.shared.admit_at_once() {
                Some(epoch) => self.poll_primary(Pass::plain(epoch), context),
                None => self.poll_by_time(context),
            };
            if let Some(polled) = polled {
                return polled;
            }
        }
    }

    /// Where the time has to be asked for the route. None if it has to be looked at again.
    // Not inlined, here and below: what few calls need takes no room in what all of them run.
    #[inline(never)]
    fn poll_by_time<R>(&mut self, context: &mut Context<'_>) -> Option<Poll<Ready<R, P, F>>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let epoch = match self.monitor.watch().admit_by_time() {
            Ok(pass) => return self.poll_primary(pass, context),
            Err(epoch) => epoch,
        };
        // A task that waits for a busy fallback is woken by a revert, and tries again.
        if let Poll::Ready(result) = self.poll_fallback(context) {
            return Some(Poll::Ready(result));
        }
        self.waits_in(epoch, context).then_some(Poll::Pending)
    }

    #[inline]
    fn poll_primary<R>(
        &mut self,
        Pass { epoch, mut probe }: Pass,
        context: &mut Context<'_>,
    ) -> Option<Poll<Ready<R, P, F>>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let (watch, primary) = (self.monitor.watch(), &mut self.primary);
        let failed = || watch.refuse(Pass { epoch, probe: probe.take() });
        match guard(|| primary.poll_ready(context), failed) {
            Poll::Ready(Ok(())) => {
                self.waiting.end();
                if probe.is_some() {
                    self.probe = probe;
                }
                self.next = Next::Primary(epoch);
                Some(Poll::Ready(Ok(())))
            }
            Poll::Ready(Err(_)) => {
                watch.refuse(Pass { epoch, probe });
                self.next = Next::Diverted;
                None
            }
            Poll::Pending => self.wait_for_primary(Pass { epoch, probe }, context),
        }
    }

    #[inline(never)]
    fn wait_for_primary<R>(
        &mut self,
        Pass { epoch, probe }: Pass,
        context: &Context<'_>,
    ) -> Option<Poll<Ready<R, P, F>>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        // What can't even be asked is no probe: its place goes to another call, and this one need
        // not wait for it.
        if probe.is_some() {
            self.next = Next::Diverted;
            return None;
        }
        self.waits_in(epoch, context).then_some(Poll::Pending)
    }

    #[inline]
    fn poll_fallback<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let result = ready!(self.fallback.poll_ready(context));
        self.waiting.end();
        self.next = if result.is_ok() { Next::Fallback } else { Next::Open };
        Poll::Ready(result.map_err(Error::Fallback))
    }

    /// Waits for the end of an epoch. False if it has ended already: a transition after the
    /// admission, but before this, woke nobody. Not the route is asked, which a call whose share
    /// was dealt to the fallback differs from for as long as calls return.
    fn waits_in(&mut self, epoch: Epoch, context: &Context<'_>) -> bool {
        self.waiting.wait(context);
        self.monitor.watch().is_current(epoch)
    }

    /// The service that was made ready; it is up to the caller to call just that one. A call to the
    /// primary begins now: the time for which it was ready is not the call's.
    ///
    /// # Panics
    /// If `poll_ready` has not returned `Ready(Ok(()))` before.
    #[inline]
    pub(crate) fn choose(&mut self) -> Choice {
        match mem::replace(&mut self.next, Next::Open) {
            Next::Primary(epoch) => {
                let probe = self.probe.as_ref().map(Hold::lease);
                if probe.is_some() {
                    self.pass_on_the_probe();
                }
                Choice::Primary(self.monitor.watch().begin(epoch, probe))
            }
            Next::Fallback => Choice::Fallback,
            Next::Open | Next::Diverted => {
                panic!("`poll_ready` must return `Ready(Ok(()))` before each `call`")
            }
        }
    }
}

impl<P, F, K> Switch<P, F, K> {
    /// The call has the probe's lease, and gives the place back.
    #[cold]
    fn pass_on_the_probe(&mut self) {
        self.probe.take().map(Hold::end);
    }
}

/// A clone carries no readiness: neither the choice nor the permit behind it can be shared.
impl<P: Clone, F: Clone, K: Clock> Clone for Switch<P, F, K> {
    fn clone(&self) -> Self {
        Self::new(self.primary.clone(), self.fallback.clone(), self.monitor.clone())
    }
}
