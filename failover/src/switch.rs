//! Readiness: which of two services the next call takes, and its being made ready.

use std::mem;
use std::task::{Context, Poll, ready};

use tower_service::Service;

use crate::clock::Clock;
use crate::monitor::{Pass, Ticket, Watch};
use crate::phase::Epoch;
use crate::shared::Shared;
use crate::waiters::Waiter;
use crate::{Error, Monitor, Outcome};

/// Two services, the monitor that chooses between them, and the choice for the next call.
#[derive(Debug)]
pub(crate) struct Switch<P, F, K> {
    pub(crate) primary: P,
    pub(crate) fallback: F,
    pub(crate) monitor: Monitor<K>,
    next: Next,
    waiting: Waiting,
}

/// How far the next call has come.
#[derive(Debug)]
enum Next {
    /// Nothing is decided.
    Open,
    /// The primary failed to become ready for it, which is recorded: it takes the fallback.
    Diverted,
    /// The chosen service is ready and has to be the one that is called, whatever happens to the
    /// route meanwhile: it may hold a permit for just this call. The primary has a pass to begin
    /// with, the fallback none.
    Ready(Option<Pass>),
}

/// The service that a call takes.
#[derive(Debug)]
pub(crate) enum Choice {
    Primary(Ticket),
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

    fn end(&mut self) {
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
        Self { primary, fallback, monitor, next: Next::Open, waiting }
    }

    /// Makes the service of the current route ready, and no other. Once it is, the choice stands
    /// until [`choose`](Self::choose) takes it.
    pub(crate) fn poll_ready<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        loop {
            match self.next {
                Next::Ready(_) => return Poll::Ready(Ok(())),
                Next::Diverted => return self.poll_fallback(context),
                Next::Open => {}
            }
            let pass = match self.monitor.watch().admit() {
                Ok(pass) => pass,
                Err(epoch) => {
                    // A task that waits for a busy fallback is woken by a revert, and tries again.
                    if let Poll::Ready(result) = self.poll_fallback(context) {
                        return Poll::Ready(result);
                    }
                    if self.waits_in(epoch, context) {
                        return Poll::Pending;
                    }
                    continue;
                }
            };
            let mut ticket = Some(Ticket::unbegun(pass));
            let watch = self.monitor.watch();
            match watch.guard(&mut ticket, || self.primary.poll_ready(context)) {
                Poll::Ready(Ok(())) => {
                    self.waiting.end();
                    self.next = ticket.as_mut().map_or(Next::Open, |t| Next::Ready(Some(t.pass())));
                }
                Poll::Ready(Err(_)) => {
                    watch.settle(&mut ticket, Outcome::Failure);
                    self.next = Next::Diverted;
                }
                // What can't even be asked is no probe: its place goes to another call, and this one
                // need not wait for it.
                Poll::Pending if ticket.as_ref().is_some_and(Ticket::is_probe) => {
                    self.next = Next::Diverted;
                }
                Poll::Pending => {
                    let epoch = ticket.map(|ticket| ticket.epoch());
                    if epoch.is_some_and(|epoch| self.waits_in(epoch, context)) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn poll_fallback<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let result = ready!(self.fallback.poll_ready(context));
        self.waiting.end();
        self.next = if result.is_ok() { Next::Ready(None) } else { Next::Open };
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
            Next::Ready(Some(pass)) => Choice::Primary(self.monitor.watch().begin(pass)),
            Next::Ready(None) => Choice::Fallback,
            Next::Open | Next::Diverted => {
                panic!("`poll_ready` must return `Ready(Ok(()))` before each `call`")
            }
        }
    }
}

/// A clone carries no readiness: neither the choice nor the permit behind it can be shared.
impl<P: Clone, F: Clone, K: Clock> Clone for Switch<P, F, K> {
    fn clone(&self) -> Self {
        Self::new(self.primary.clone(), self.fallback.clone(), self.monitor.clone())
    }
}

impl<K: Clock> Watch<K> {
    /// Runs the primary's code; if it panics, that is one failure of the primary, and goes on
    /// unwinding.
    #[inline]
    pub(crate) fn guard<T>(&self, ticket: &mut Option<Ticket>, run: impl FnOnce() -> T) -> T {
        struct OnPanic<'a, K: Clock>(&'a Watch<K>, &'a mut Option<Ticket>);

        impl<K: Clock> Drop for OnPanic<'_, K> {
            #[cold]
            fn drop(&mut self) {
                self.0.settle(self.1, Outcome::Failure);
            }
        }

        let on_panic = OnPanic(self, ticket);
        let result = run();
        mem::forget(on_panic);
        result
    }
}
