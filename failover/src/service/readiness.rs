//! Readiness: the route of the next call, and the service that is made ready for it.
//!
//! # Abandoned waits
//! A service that answered `Pending` may have queued the call, and be assigned a permit when one is
//! free, as tower's `ConcurrencyLimit` and `Buffer` do. If the call then takes the other service,
//! that permit is never used, and no other call gets it while the queued clone is alive. Only a drop
//! leaves such a queue, so an abandoned service is replaced by a clone of itself.

use std::mem;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use tower_service::Service;

use crate::clock::Clock;
use crate::engine::ticket::{Admitted, Ticket, guard};
use crate::engine::time::Epoch;
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
    /// The next call's ticket, if it is a probe. Not in `next`, which each call moves.
    probe: Option<Ticket>,
    wait: Wait,
    /// Shared by all clones, and set by the first. A service made by a layer does not know whether
    /// its primary is `Clone`.
    clone_primary: OnceLock<fn(&P) -> P>,
    clone_fallback: fn(&F) -> F,
}

/// The state of the next call.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// No route is decided.
    Open,
    /// The call waits for a busy service.
    Waiting,
    /// The primary is ready for the call, which was admitted in this epoch. A service that is ready
    /// is the one that is called, whatever happens to the route: it may hold a permit for this call.
    Primary(Epoch),
    /// The fallback is ready for the call.
    Fallback,
}

/// Whether the chosen service is ready, or the error of a service.
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
        // Only the first half of an admission is inlined into each call.
        match self.monitor.engine_ref().engine().admit_at_once() {
            Some(epoch) => self.poll_primary(epoch, context),
            None => self.poll_slow(context),
        }
    }

    // Not inlined, here and below: code that few calls need would grow the code of every call.
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

    /// The route depends on the time.
    #[inline(never)]
    fn poll_slow<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        let engine = self.monitor.engine_ref();
        let epoch = match engine.admit_by_time() {
            Ok(admitted) => {
                if admitted.probe.is_some() {
                    self.probe = Some(admitted.ticket(engine.engine()));
                }
                return self.poll_primary(admitted.epoch, context);
            }
            Err(epoch) => epoch,
        };
        match self.fallback.poll_ready(context) {
            Poll::Ready(Ok(())) => {
                self.next = Next::Fallback;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Error::Fallback(error))),
            Poll::Pending => {
                self.next = Next::Waiting;
                self.wait.queued().fallback = true;
                let decision = self.wait.decide(Decision::new(Route::Fallback, epoch));
                let waits = self.waits(decision, context);
                if waits { Poll::Pending } else { self.poll_waiting(context) }
            }
        }
    }

    #[inline]
    fn poll_primary<R>(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        match self.ask_primary(epoch, cx) {
            Poll::Ready(Ok(())) => {
                self.next = Next::Primary(epoch);
                Poll::Ready(Ok(()))
            }
            polled => self.poll_primary_slow(epoch, polled.is_ready(), cx),
        }
    }

    /// The primary is busy, or failed to become ready.
    #[inline(never)]
    fn poll_primary_slow<R>(
        &mut self,
        epoch: Epoch,
        failed: bool,
        context: &mut Context<'_>,
    ) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        self.next = Next::Waiting;
        self.wait.queued().primary = !failed;
        let mut decision = self.wait.decide(Decision::new(Route::Primary, epoch));
        if failed {
            decision = self.refused(decision);
        }
        self.poll_rest(decision, context).unwrap_or_else(|| self.poll_waiting(context))
    }

    fn poll_waiting<R>(&mut self, context: &mut Context<'_>) -> Poll<Ready<R, P, F>>
    where
        P: Service<R>,
        F: Service<R>,
    {
        loop {
            let mut decision = self.decision();
            if decision.route == Route::Primary {
                let polled = self.ask_primary(decision.epoch, context);
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

    /// A panic counts as a failure to become ready.
    #[inline]
    fn ask_primary<R>(&mut self, epoch: Epoch, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>>
    where
        P: Service<R>,
    {
        let Self { primary, monitor, probe, wait, .. } = self;
        let failed = || {
            wait.forget();
            monitor.engine_ref().refuse(epoch, probe.take());
        };
        guard(|| primary.poll_ready(cx), failed)
    }

    /// The route of a call that waits.
    fn decision(&mut self) -> Decision {
        let engine = self.monitor.engine_ref();
        if let Some(decision) = self.wait.standing(engine) {
            let lease = self.probe.as_ref().and_then(Ticket::lease);
            if lease.is_none_or(|lease| engine.engine().holds(lease, engine.now())) {
                return decision;
            }
            // The probe lost its permit, or its lease is over.
            self.probe = None;
            let (route, diverted) = (Route::Fallback, true);
            return self.wait.decide(Decision { route, diverted, ..decision });
        }
        // Before the admission, which may need the permit.
        self.probe = None;
        let decision = match engine.admit() {
            Ok(admitted) => {
                self.probe = admitted.probe.map(|_| admitted.ticket(engine.engine()));
                Decision::new(Route::Primary, admitted.epoch)
            }
            Err(epoch) => Decision::new(Route::Fallback, epoch),
        };
        self.wait.decide(decision)
    }

    /// The primary failed to become ready, which counts once a call. While the fallback is busy the
    /// primary is asked again, unless the call was a probe: its permit is given back.
    fn refused(&mut self, decision: Decision) -> Decision {
        let Decision { route, epoch, diverted } = decision;
        let probe = self.probe.take();
        let route = if probe.is_some() { Route::Fallback } else { route };
        if !diverted {
            self.monitor.engine_ref().refuse(epoch, probe);
        }
        self.wait.decide(Decision { route, epoch, diverted: true })
    }

    /// Asks the fallback, if it is to be asked. `None` if a transition came first.
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
        let queued = self.wait.queued();
        let abandoned = match route {
            Route::Fallback => Queued { primary: mem::take(&mut queued.primary), fallback: false },
            Route::Primary if diverted => Queued::default(),
            Route::Primary => Queued { primary: false, fallback: mem::take(&mut queued.fallback) },
        };
        self.abandon(abandoned);
        if route == Route::Fallback || diverted {
            let polled = self.fallback.poll_ready(context);
            self.wait.queued().fallback = polled.is_pending();
            if let Poll::Ready(result) = polled {
                self.stop_waiting(if result.is_ok() { Next::Fallback } else { Next::Open });
                return Some(Poll::Ready(result.map_err(Error::Fallback)));
            }
        }
        self.waits(decision, context).then_some(Poll::Pending)
    }

    fn waits(&mut self, decision: Decision, context: &mut Context<'_>) -> bool {
        let lease = self.probe.as_ref().and_then(Ticket::lease);
        self.wait.begin(decision, lease, self.monitor.engine_ref(), context)
    }

    fn stop_waiting(&mut self, next: Next) {
        self.next = next;
        // A service that became ready no longer queues the call.
        let queued = self.wait.end();
        self.abandon(queued);
    }

    /// Takes the call out of the queues of these services.
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

    /// Runs code that the next call needs before it begins, and that is not its service's. After a
    /// panic nothing is held for that call.
    #[inline]
    pub(crate) fn prepare<T>(&mut self, run: impl FnOnce() -> T) -> T {
        guard(run, || self.give_up())
    }

    #[cold]
    #[inline(never)]
    fn give_up(&mut self) {
        (self.next, self.probe) = (Next::Open, None);
    }

    /// Takes the choice: `None` for the fallback. The caller calls the service that was made ready.
    /// A call to the primary begins now: the time for which the primary was ready is not the call's.
    ///
    /// # Panics
    /// If `poll_ready` has not returned `Ready(Ok(()))` before.
    #[inline]
    pub(crate) fn choose<R>(&mut self) -> Option<Admitted>
    where
        F: Service<R>,
    {
        match mem::replace(&mut self.next, Next::Open) {
            Next::Primary(_) if self.probe.is_some() => self.choose_slow(),
            Next::Primary(epoch) => Some(self.monitor.engine_ref().begin_plain(epoch)),
            Next::Fallback => None,
            next @ (Next::Open | Next::Waiting) => {
                self.next = next;
                panic!("`poll_ready` must return `Ready(Ok(()))` before each `call`")
            }
        }
    }

    /// The next call is a probe, which may have been ready for longer than its lease or its epoch. If
    /// its permit is lost it is admitted like a call that starts now, so that probes never outnumber
    /// permits. If that says fallback, and the fallback is busy, only the primary can be called: the
    /// call keeps its lost lease, and its outcome is not counted.
    #[cold]
    #[inline(never)]
    fn choose_slow<R>(&mut self) -> Option<Admitted>
    where
        F: Service<R>,
    {
        let engine = self.monitor.engine_ref();
        let mut probe = self.probe.take()?;
        if probe.renew(engine.now()) {
            return Some(engine.begin_probe(probe));
        }
        if let Ok(admitted) = engine.admit() {
            return Some(engine.begin(admitted));
        }
        let polled = self.fallback.poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Ok(())) = polled {
            self.abandon(Queued { primary: true, fallback: false });
            return None;
        }
        self.abandon(Queued { primary: false, fallback: polled.is_pending() });
        Some(self.monitor.engine_ref().begin_probe(probe))
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
