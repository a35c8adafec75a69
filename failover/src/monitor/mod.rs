//! The algorithm without tower, for callers that make the calls themselves.

mod call;
pub(crate) mod handle;
pub(crate) mod keyed;
pub(crate) mod prober;
mod silent;
pub(crate) mod unrecorded;

pub use crate::engine::saved::Saved;
pub use crate::engine::ticket::Ticket;
pub use crate::tally::Tally;
pub use call::{CallGuard, Calls};
pub use keyed::KeyedMonitors;
pub use prober::Prober;

use crate::route::Route;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::{Clock, CoarseClock, Moment, Sleep};
use crate::engine::Engine;
use crate::engine::observers::FindSubject;
use crate::engine::pool::Lease;
use crate::engine::ticket::{Admitted, guard};
use crate::engine::time::{Began, Epoch};
use crate::event::Observe;
use crate::monitor::handle::FailoverHandle;
use crate::outcome::Outcome;
use crate::policy::Policy;

/// The route of one call. Only a call to the primary has a ticket, so a fallback's result cannot be
/// recorded as the primary's.
#[derive(Debug)]
#[must_use = "an admission is the route of the call"]
pub enum Admission {
    /// To the primary. The ticket is for [`Monitor::record`].
    Primary(Ticket),
    /// To the fallback. Its result is not recorded.
    Fallback,
}

impl Admission {
    /// The ticket of a call to the primary.
    #[must_use]
    pub fn ticket(self) -> Option<Ticket> {
        match self {
            Self::Primary(ticket) => Some(ticket),
            Self::Fallback => None,
        }
    }
}

/// Counts the outcomes of a primary and decides the route of each call. Clones share the state.
///
/// [`Failover`](crate::service::Failover) is a thin layer over it.
///
/// ```
/// use failover::{Monitor, Policy, Route};
///
/// async fn primary(_id: u32) -> Result<u32, std::io::Error> {
///     Err(std::io::Error::other("down"))
/// }
///
/// async fn fallback(id: u32) -> Result<u32, std::fmt::Error> {
///     Ok(id)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let monitor = Monitor::new(Policy::default());
/// for id in 0..10 {
///     assert!(monitor.call(|| primary(id), || fallback(id)).await.is_err());
/// }
/// assert_eq!(monitor.route(), Route::Fallback);
/// assert_eq!(monitor.call(|| primary(10), || fallback(10)).await.unwrap(), 10);
/// # }
/// ```
///
/// [`call_blocking`](Self::call_blocking) is for blocking clients, [`guard`](Self::guard) for code that no
/// closure can hold. [`admit`](Self::admit) and [`record`](Self::record) are what these are made of.
#[derive(Clone, Debug)]
pub struct Monitor<Clk = CoarseClock> {
    lease: Arc<Lease>,
    engine: EngineRef<Clk>,
}

/// The part of a monitor that the future of a call needs. It has no reference count.
#[derive(Clone, Debug)]
pub(crate) struct EngineRef<Clk> {
    engine: &'static Engine,
    clock: Clk,
}

impl Monitor {
    /// A monitor on the [`CoarseClock`].
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self::with_clock(policy, CoarseClock)
    }
}

impl<Clk: Clock> Monitor<Clk> {
    /// A monitor on a clock of your own.
    #[must_use]
    pub fn with_clock(policy: Policy, clock: Clk) -> Self {
        let lease = Arc::new(Lease::take(policy, clock.clone()));
        let engine = EngineRef { engine: lease.engine(), clock };
        Self { lease, engine }
    }

    /// Decides the route of a call that starts now. The first admission after the deadline of a
    /// trip makes the revert; one that finds too many stalled calls trips.
    ///
    /// The lowest level: if the call panics or is dropped, its ticket records nothing. Use
    /// [`call`](Self::call) or [`guard`](Self::guard) where you can.
    #[inline]
    pub fn admit(&self) -> Admission {
        match self.engine.admit() {
            Ok(admitted) => {
                Admission::Primary(self.engine.begin(admitted).ticket(self.engine.engine))
            }
            Err(_) => Admission::Fallback,
        }
    }

    /// Records the outcome of a call, and trips if a condition of the policy now holds. Does nothing if
    /// a transition was made since the call was admitted.
    #[inline]
    pub fn record(&self, ticket: Ticket, outcome: Outcome) {
        self.engine.record(ticket, outcome);
    }

    /// Ends a call that was dropped before its outcome was known: a failure if it has run for longer than
    /// the policy's [`dropped_after`](crate::policy::PolicyBuilder::dropped_after), otherwise neutral and
    /// shown as [`Tally::dropped`]. A probe that is neutral only returns its permit.
    #[inline]
    pub fn abandon(&self, ticket: Ticket) {
        self.engine.abandon(ticket);
    }

    /// The route that a call would take now. Makes no transition.
    #[must_use]
    pub fn route(&self) -> Route {
        let transitions = &self.engine.engine.transitions;
        match transitions.route(transitions.phase()) {
            Route::Primary => Route::Primary,
            Route::Fallback => self.handle().snapshot().route,
        }
    }

    /// The operator's side.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        FailoverHandle::new(Arc::clone(&self.lease))
    }

    /// Sets the name for operators, logs and metrics. Calls do not read it.
    ///
    /// # Panics
    /// If it already has another name.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        self.lease.name(name.into());
        self
    }

    /// Adds an observer of transitions, for the lifetime of the monitor.
    pub fn observe(&self, observer: impl Observe) {
        self.engine.engine.transitions.observers.add(Arc::new(observer));
    }

    /// The memory in bytes, which neither the number of calls nor time increases. It grows by a shard
    /// for each thread beyond those with one from the start, and by less than 1 KiB with the first
    /// [dropped call](Tally::dropped). After a swap of the policy, or if the
    /// memory served another monitor before, it grows with a thread's first call that needs more
    /// buckets. Observers, waiting tasks and this value itself are not included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.engine.engine.bytes()
    }

    /// A monitor on another clock, with the same policy, name and observers.
    ///
    /// # Panics
    /// If something else refers to this one.
    pub(crate) fn on_clock<D: Clock>(mut self, clock: D) -> Monitor<D> {
        assert!(
            Arc::get_mut(&mut self.lease).is_some(),
            "a failover's clock must be set before `handle`, `layer`, `watch_fallback` and `clone`: \
             something else already uses this one on its old clock"
        );
        let monitor = Monitor::with_clock(self.lease.policy(), clock);
        if let Some(name) = self.lease.given_name() {
            monitor.lease.name(name.into());
        }
        let observers = &self.engine.engine.transitions.observers;
        observers.move_to(&monitor.engine.engine.transitions.observers);
        monitor
    }

    /// What its warnings are about, if not the primary of a failover of its own name.
    pub(crate) fn warn_about(&self, subject: Arc<FindSubject>) {
        self.engine.engine.transitions.observers.warn_about(subject);
    }

    pub(crate) fn engine_ref(&self) -> &EngineRef<Clk> {
        &self.engine
    }

    /// Whether no service, no handle and no other monitor shares it. Then only the caller can change
    /// that.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.lease) == 1
    }
}

impl<Clk: Clock> EngineRef<Clk> {
    /// Decides the route of a call that starts now; see [`Engine::admit`].
    #[inline]
    pub(crate) fn admit(&self) -> Result<Admitted, Epoch> {
        self.engine.admit(|| self.clock.now())
    }

    /// See [`Engine::admit_by_time`].
    #[inline]
    pub(crate) fn admit_by_time(&self) -> Result<Admitted, Epoch> {
        self.engine.admit_by_time(self.clock.now())
    }

    /// An admitted call begins now.
    #[inline]
    pub(crate) fn begin(&self, admitted: Admitted) -> Admitted {
        match admitted.probe {
            None => self.begin_plain(admitted.epoch),
            Some(_) => self.begin_probe(admitted.ticket(self.engine)),
        }
    }

    /// A call that is not a probe begins now.
    #[inline]
    pub(crate) fn begin_plain(&self, epoch: Epoch) -> Admitted {
        let timed = self.engine.transitions.options().timed();
        let unknown = (Began::UNKNOWN, false);
        let (began, in_flight) = if timed { self.begin_slow(epoch) } else { unknown };
        Admitted { began, in_flight, ..Admitted::plain(epoch) }
    }

    // Not inlined, here and below: code that few calls need would grow the code of every call.
    #[inline(never)]
    fn begin_slow(&self, epoch: Epoch) -> (Began, bool) {
        self.engine.begin(epoch, self.clock.now())
    }

    /// The call of a probe begins now. If the clock panics, the ticket gives the permit back.
    #[inline(never)]
    pub(crate) fn begin_probe(&self, ticket: Ticket) -> Admitted {
        let timed = self.engine.transitions.options().timed();
        let began = timed.then(|| Began::at(self.engine.transitions.at(self.clock.now())));
        Admitted { began: began.unwrap_or(Began::UNKNOWN), ..ticket.into_admitted() }
    }

    pub(crate) fn clock(&self) -> &Clk {
        &self.clock
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        self.clock.sleep_until(moment)
    }

    #[inline]
    pub(crate) fn record(&self, ticket: Ticket, outcome: Outcome) {
        self.settle(&mut Some(ticket), outcome);
    }

    /// Records the outcome of a ticket, if there is one, and leaves none. In place, since moving a ticket
    /// that was just written costs more than the rest of recording.
    #[inline]
    pub(crate) fn settle(&self, ticket: &mut Option<Ticket>, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.conclude(ticket, false),
            Outcome::Failure => self.conclude(ticket, true),
            Outcome::Ignored => self.ignore(ticket),
            Outcome::RetryAfter(_) => self.settle_slow(ticket, outcome),
        }
    }

    #[inline]
    fn conclude(&self, ticket: &mut Option<Ticket>, failed: bool) {
        match ticket.as_ref().and_then(Ticket::plain) {
            Some((epoch, began)) => {
                *ticket = None;
                self.count(epoch, began, failed);
            }
            None if failed => self.settle_slow(ticket, Outcome::Failure),
            None => self.settle_slow(ticket, Outcome::Success),
        }
    }

    #[inline(never)]
    fn ignore(&self, ticket: &mut Option<Ticket>) {
        if let Some(ticket) = ticket.as_ref().filter(|ticket| ticket.lease().is_none()) {
            self.engine.note_ignored(ticket.epoch());
        }
        self.settle_slow(ticket, Outcome::Ignored);
    }

    /// The same for any ticket and any outcome. A call that was dropped is ignored.
    #[inline(never)]
    fn settle_slow(&self, ticket: &mut Option<Ticket>, outcome: Outcome) {
        let Some(ticket) = ticket.take() else { return };
        // If the clock panics, the ticket gives the permit back.
        let now = ticket.lease().map(|_| self.clock.now());
        let Admitted { epoch, began, in_flight, probe } = ticket.into_admitted();
        if let (Some(lease), Some(now)) = (probe, now) {
            return self.engine.record_probe(epoch, lease, outcome, now);
        }
        if in_flight {
            self.engine.land(epoch, began);
        }
        if let Outcome::RetryAfter(retry_after) = outcome
            && self.engine.transitions.options().follows_retry_after()
            && let Some(epoch) = self.engine.transitions.counting(epoch)
        {
            self.engine.transitions.note_retry_after(epoch, self.clock.now(), retry_after);
        }
        if outcome != Outcome::Ignored {
            self.count(epoch, began, outcome.is_failure());
        }
    }

    /// Counts a call that was not a probe and is no longer counted as in flight.
    #[inline]
    fn count(&self, epoch: Epoch, began: Began, failed: bool) {
        if let Some(epoch) = self.engine.transitions.counting(epoch) {
            self.engine.count(epoch, self.clock.now(), began, failed);
        }
    }

    /// Runs the primary's code with which a call begins. A panic is one failure of the primary, and
    /// goes on unwinding.
    #[inline]
    pub(crate) fn call<T>(&self, admitted: Admitted, run: impl FnOnce() -> T) -> (T, Ticket) {
        let call = guard(run, || self.fail(admitted));
        (call, admitted.ticket(self.engine))
    }

    #[cold]
    #[inline(never)]
    fn fail(&self, admitted: Admitted) {
        self.record(admitted.ticket(self.engine), Outcome::Failure);
    }

    /// The primary failed to become ready for a call. `probe`: the call's ticket, if it is a probe.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&self, epoch: Epoch, probe: Option<Ticket>) {
        self.fail(probe.map_or(Admitted::plain(epoch), Ticket::into_admitted));
    }

    /// Runs the primary's code while a call goes on, as [`call`](Self::call) does.
    #[inline]
    pub(crate) fn guard<T>(&self, ticket: &mut Option<Ticket>, run: impl FnOnce() -> T) -> T {
        guard(run, || self.settle_slow(ticket, Outcome::Failure))
    }

    /// The call of a ticket was dropped.
    #[cold]
    #[inline(never)]
    pub(crate) fn abandon(&self, ticket: Ticket) {
        // Caught, since destructors call it while their thread unwinds or ends: the clock and the
        // subscriber of `tracing` may panic. The ticket gives back what it holds, and the panic hook
        // has reported it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.end_dropped(ticket)));
    }

    fn end_dropped(&self, ticket: Ticket) {
        let failed = self.engine.transitions.options().dropped()
            && self.engine.is_failure_when_dropped(ticket.began(), self.clock.now());
        if failed {
            return self.record(ticket, Outcome::Failure);
        }
        let (epoch, is_probe) = (ticket.epoch(), ticket.lease().is_some());
        self.settle_slow(&mut Some(ticket), Outcome::Ignored);
        // Last: it needs the clock only for display.
        if !is_probe && let Some(dropped) = self.engine.count_dropped(epoch, self.clock.now()) {
            silent::report(self.engine, dropped);
        }
    }

    pub(crate) fn engine(&self) -> &'static Engine {
        self.engine
    }
}
