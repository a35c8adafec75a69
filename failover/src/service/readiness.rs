//! Readiness: which of two services the next call takes, and its being made ready.
//!
//! # Abandoned waits
//! A service that answered `Pending` may have queued the call, and be assigned a permit when one is
//! free: tower's `ConcurrencyLimit` and `Buffer` do so. If the call then takes the other service, that
//! permit is never used, and nobody else gets it while the queued clone is alive. A permit in such a
//! queue is left only by a drop; so a service that is abandoned is replaced by a clone of itself.

use std::mem;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use tower_service::Service;

use crate::clock::Clock;
use crate::engine::phase::Epoch;
use crate::engine::ticket::{Hold, Pass, Stub, guard};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::route::Route;
use crate::service::wait::{Decision, Queued, Wait};

/// Two services, the monitor that chooses between them, and the choice for the next call.
#[derive(Debug)]
pub(crate) struct Switch<P, F, Clk> {
    pub(crate) primary: P,
    pub(crate) fallback: F,
    pub(crate) monitor: Monitor<Clk>,
    next: Next,
    /// The next call's permit, if it is a probe. Beside `next`, since hardly a call has one, and what
    /// is moved with each costs each.
    probe: Option<Hold>,
    wait: Wait,
    /// Set in all clones, and in what was cloned. A service made by a layer does not know whether its
    /// primary is `Clone`.
    clone_primary: OnceLock<fn(&P) -> P>,
    clone_fallback: fn(&F) -> F,
}

/// How far the next call has come.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Nothing is decided, and no service is waited for.
    Open,
    /// It waits.
    Waiting,
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

/// Whether the chosen service is ready, or whose error came instead.
type Ready<R, P, F> = Result<(), Error<<P as Service<R>>::Error, <F as Service<R>>::Error>>;

impl<P, F: Clone, Clk: Clock> Switch<P, F, Clk> {
    pub(crate) fn new(primary: P, fallback: F, monitor: Monitor<Clk>) -> Self {
        let wait = Wait::new(monitor.engine_ref().engine());
        let (clone_primary, clone_fallback) = (OnceLock::new(), F::clone as fn(&F) -> F);
        let (next, probe) = (Next::Open, None);
        Self { primary, fallback, monitor, next, probe, wait, clone_primary, clone_fallback }
    }
}

impl<P, F, Clk: Clock> Switch<P, F, Clk> {
    /// Makes the service of the current route ready, and no other. Once it is, the choice stands
    /// until [`choose`](Self::choose) takes it.
    #[inline]
    pub(crate) fn poll_ready<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        if !matches!(self.next, Next::Open) {
            return self.poll_again(context);
        }
        match self.wait.engine().admit_at_once() {
            Some(epoch) => self.poll_primary(Pass::plain(epoch), context),
            None => self.poll_by_time(context),
        }
    }

    #[inline(never)]
    fn poll_again<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        match self.next {
            Next::Primary(_) | Next::Fallback => Poll::Ready(Ok(())),
            Next::Open | Next::Waiting => self.poll_waiting(context),
        }
    }

    /// Where the time has to be asked for the route.
    // Not inlined, here and below: what few calls need takes no room in what all of them run.
    #[inline(never)]
    fn poll_by_time<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let epoch = match self.monitor.engine_ref().admit_by_time() {
            Ok(pass) => return self.poll_primary(pass, context),
            Err(epoch) => epoch,
        };
        match self.fallback.poll_ready(context) {
            Poll::Ready(Ok(())) => {
                self.next = Next::Fallback;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Error::Fallback(error))),
            Poll::Pending => {
                self.wait.queued().fallback = true;
                self.start_waiting(Route::Fallback, epoch, context)
            }
        }
    }

    #[inline]
    fn poll_primary<R>(
        &mut self,
        Pass { epoch, mut probe }: Pass,
        context: &mut Context<'_>,
    ) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let (engine, primary) = (self.monitor.engine_ref(), &mut self.primary);
        let failed = || engine.refuse(Pass { epoch, probe: probe.take() });
        match guard(|| primary.poll_ready(context), failed) {
            Poll::Ready(Ok(())) => {
                if probe.is_some() {
                    self.probe = probe;
                }
                self.next = Next::Primary(epoch);
                Poll::Ready(Ok(()))
            }
            polled => self.wait_for_primary(Pass { epoch, probe }, polled.is_ready(), context),
        }
    }

    /// The primary is busy, or failed.
    #[inline(never)]
    fn wait_for_primary<R>(
        &mut self,
        pass: Pass,
        failed: bool,
        context: &mut Context<'_>,
    ) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let Pass { epoch, probe } = pass;
        self.probe = probe;
        if !failed {
            self.wait.queued().primary = true;
            return self.start_waiting(Route::Primary, epoch, context);
        }
        self.next = Next::Waiting;
        let decision = Decision { route: Route::Primary, epoch, diverted: false };
        let decision = self.refused(decision);
        self.poll_rest(decision, context).unwrap_or_else(|| self.poll_waiting(context))
    }

    /// The service of the route is busy.
    fn start_waiting<R>(
        &mut self,
        route: Route,
        epoch: Epoch,
        context: &mut Context<'_>,
    ) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        self.next = Next::Waiting;
        let decision = self.wait.decide(Decision { route, epoch, diverted: false });
        if self.waits(decision, context) { Poll::Pending } else { self.poll_waiting(context) }
    }

    fn poll_waiting<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        loop {
            let mut decision = self.decision();
            if decision.route == Route::Primary {
                let polled = self.poll_primary_again(decision.epoch, context);
                self.wait.queued().primary = polled.is_pending();
                match polled {
                    Poll::Ready(Ok(())) => {
                        self.stop_waiting(Next::Primary(decision.epoch));
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Err(_)) => decision = self.refused(decision),
                    Poll::Pending => {}
                }
            }
            if let Some(polled) = self.poll_rest(decision, context) {
                return polled;
            }
        }
    }

    /// Where the call goes that waits.
    fn decision(&mut self) -> Decision {
        let engine = self.monitor.engine_ref();
        if let Some(decision) = self.wait.standing(engine) {
            if self.probe.as_ref().is_none_or(|hold| engine.holds(hold)) {
                return decision;
            }
            // What can't be asked is no probe: its permit goes to another call.
            self.probe = None;
            return self.wait.decide(Decision {
                route: Route::Fallback,
                diverted: true,
                ..decision
            });
        }
        self.probe = None;
        let (route, epoch) = match engine.admit() {
            Ok(Pass { epoch, probe }) => {
                self.probe = probe;
                (Route::Primary, epoch)
            }
            Err(epoch) => (Route::Fallback, epoch),
        };
        self.wait.decide(Decision { route, epoch, diverted: false })
    }

    fn poll_primary_again<R>(
        &mut self,
        epoch: Epoch,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), P::Error>>
    where
        P: Service<R>,
    {
        let (engine, primary) = (self.monitor.engine_ref(), &mut self.primary);
        let (wait, probe) = (&mut self.wait, &mut self.probe);
        let failed = || {
            wait.forget();
            engine.refuse(Pass { epoch, probe: probe.take() });
        };
        guard(|| primary.poll_ready(context), failed)
    }

    /// The primary failed to become ready, which counts once a call. As long as the fallback is busy
    /// it is asked again, unless the call was a probe: it has no permit any more.
    fn refused(&mut self, decision: Decision) -> Decision {
        let Decision { route, epoch, diverted } = decision;
        let probe = self.probe.take();
        let route = if probe.is_some() { Route::Fallback } else { route };
        if !diverted {
            self.monitor.engine_ref().refuse(Pass { epoch, probe });
        }
        self.wait.decide(Decision { route, epoch, diverted: true })
    }

    /// After the primary was asked, if it is to be asked. None if there was a transition.
    fn poll_rest<R>(
        &mut self,
        decision: Decision,
        context: &mut Context<'_>,
    ) -> Option<Poll<Ready<R, P, F>>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let Decision { route, diverted, .. } = decision;
        if route == Route::Fallback {
            let primary = mem::take(&mut self.wait.queued().primary);
            self.abandon(Queued { primary, fallback: false });
        }
        if route == Route::Fallback || diverted {
            let polled = self.fallback.poll_ready(context);
            self.wait.queued().fallback = polled.is_pending();
            if let Poll::Ready(result) = polled {
                self.stop_waiting(if result.is_ok() { Next::Fallback } else { Next::Open });
                return Some(Poll::Ready(result.map_err(Error::Fallback)));
            }
        } else {
            let fallback = mem::take(&mut self.wait.queued().fallback);
            self.abandon(Queued { primary: false, fallback });
        }
        self.waits(decision, context).then_some(Poll::Pending)
    }

    fn waits(&mut self, decision: Decision, context: &mut Context<'_>) -> bool {
        let lease = self.probe.as_ref().map(Hold::lease);
        self.wait.begin(decision, lease, self.monitor.engine_ref(), context)
    }

    fn stop_waiting(&mut self, next: Next) {
        self.next = next;
        // The one that is ready does not queue the call any more.
        let queued = self.wait.end();
        self.abandon(queued);
    }

    /// The call is not to be queued any more by these.
    fn abandon(&mut self, Queued { primary, fallback }: Queued) {
        if primary && let Some(clone) = self.clone_primary.get() {
            self.primary = clone(&self.primary);
        }
        if fallback {
            self.fallback = (self.clone_fallback)(&self.fallback);
        }
    }

    /// Whether the primary is ready for the next call.
    #[inline]
    pub(crate) fn is_for_primary(&self) -> bool {
        matches!(self.next, Next::Primary(_))
    }

    /// Runs code that the next call needs before it begins, and that is not its service's. If it
    /// panics, nothing is held for that call any more.
    #[inline]
    pub(crate) fn prepare<T>(&mut self, run: impl FnOnce() -> T) -> T {
        guard(run, || self.give_up())
    }

    #[cold]
    #[inline(never)]
    fn give_up(&mut self) {
        (self.next, self.probe) = (Next::Open, None);
    }

    /// The service that was made ready; it is up to the caller to call just that one. A call to the
    /// primary begins now: the time for which it was ready is not the call's.
    ///
    /// # Panics
    /// If `poll_ready` has not returned `Ready(Ok(()))` before.
    #[inline]
    pub(crate) fn choose<R>(&mut self) -> Choice
    where
        F: Service<R>,
    {
        match mem::replace(&mut self.next, Next::Open) {
            Next::Primary(epoch) if self.probe.is_some() => self.choose_for_probe(epoch),
            Next::Primary(epoch) => Choice::Primary(self.monitor.engine_ref().begin(epoch, None)),
            Next::Fallback => Choice::Fallback,
            next @ (Next::Open | Next::Waiting) => {
                self.next = next;
                panic!("`poll_ready` must return `Ready(Ok(()))` before each `call`")
            }
        }
    }

    /// A probe that was made ready, and may have waited for its call for longer than its lease, or its
    /// epoch. If its permit was lost it is admitted like a call that begins now, so that no more probes
    /// are out than there are permits. If that says fallback, and the fallback is busy, only the primary
    /// can be called; that call is no probe, and says nothing.
    #[cold]
    #[inline(never)]
    fn choose_for_probe<R>(&mut self, epoch: Epoch) -> Choice
    where
        F: Service<R>,
    {
        let engine = self.monitor.engine_ref();
        let lost = match self.probe.take().map(|hold| engine.renew(epoch, hold)) {
            Some(Ok(hold)) => {
                return Choice::Primary(engine.enter(Pass { epoch, probe: Some(hold) }));
            }
            Some(Err(lost)) => Some(lost),
            None => None,
        };
        if let Ok(pass) = engine.admit() {
            return Choice::Primary(engine.enter(pass));
        }
        let mut context = Context::from_waker(Waker::noop());
        let polled = self.fallback.poll_ready(&mut context);
        if let Poll::Ready(Ok(())) = polled {
            self.abandon(Queued { primary: true, fallback: false });
            return Choice::Fallback;
        }
        self.abandon(Queued { primary: false, fallback: polled.is_pending() });
        Choice::Primary(self.monitor.engine_ref().begin(epoch, lost))
    }
}

/// A clone carries no readiness: neither the choice nor the permit behind it can be shared.
impl<P: Clone, F: Clone, Clk: Clock> Clone for Switch<P, F, Clk> {
    fn clone(&self) -> Self {
        self.clone_primary.get_or_init(|| P::clone);
        let clone = Self::new(self.primary.clone(), self.fallback.clone(), self.monitor.clone());
        Self { clone_primary: self.clone_primary.clone(), ..clone }
    }
}
