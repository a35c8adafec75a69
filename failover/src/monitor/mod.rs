//! Watches a primary without calling it: for callers that drive calls themselves.

pub(crate) mod handle;
pub(crate) mod keyed;
pub(crate) mod prober;

pub use crate::engine::saved::Saved;
pub use crate::engine::ticket::Ticket;
pub use crate::tally::Tally;
pub use keyed::KeyedMonitors;
pub use prober::Prober;

use crate::route::Route;
use std::sync::Arc;

use crate::clock::{Clock, CoarseClock, Moment, Sleep};
use crate::engine::Engine;
use crate::engine::phase::Epoch;
use crate::engine::pool::Lease;
use crate::engine::recovery::{Admitted, ProbeLease};
use crate::engine::ticket::{Hold, Pass, Stub, guard};
use crate::engine::time::Began;
use crate::event::Observe;
use crate::monitor::handle::FailoverHandle;
use crate::outcome::Outcome;
use crate::policy::Policy;

/// The route of one call. Only a call to the primary has a ticket, so that a fallback's result
/// can't be recorded as the primary's.
#[derive(Debug)]
#[must_use = "an admission says where the call has to go"]
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

/// Keeps the failure rate of a primary and says which route calls take. Clones share all of it.
///
/// This is the algorithm without tower: [`Failover`](crate::service::Failover) is a thin layer over it.
///
/// ```
/// use failover::{Monitor, Outcome, Policy};
/// use failover::monitor::Admission;
///
/// let monitor = Monitor::new(Policy::default());
/// match monitor.admit() {
///     Admission::Primary(ticket) => {
///         // … call the primary …
///         monitor.record(ticket, Outcome::Success);
///     }
///     Admission::Fallback => { /* … call the fallback … */ }
/// }
/// assert_eq!(monitor.handle().snapshot().tally.successes, 1);
/// ```
#[derive(Clone, Debug)]
pub struct Monitor<Clk = CoarseClock> {
    lease: Arc<Lease>,
    engine: EngineRef<Clk>,
}

/// What the future of a call needs of a monitor: it shares no reference count.
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
        let lease = Arc::new(Lease::take(policy, clock.now()));
        let engine = EngineRef { engine: lease.engine(), clock };
        Self { lease, engine }
    }

    /// Decides the route of a call that starts now. The first admission after the deadline of a
    /// trip makes the revert; one that finds too many stalled calls trips.
    #[inline]
    pub fn admit(&self) -> Admission {
        match self.engine.admit() {
            Ok(pass) => Admission::Primary(self.engine.enter(pass).ticket(self.engine.engine)),
            Err(_) => Admission::Fallback,
        }
    }

    /// Records what a call said about the primary, and trips if a condition of the policy now
    /// holds. Does nothing if a transition was made since the call was admitted.
    #[inline]
    pub fn record(&self, ticket: Ticket, outcome: Outcome) {
        self.engine.record(ticket, outcome);
    }

    /// Ends a call that was dropped before its outcome was known: a failure if it has run for
    /// longer than the policy's [`dropped_after`](crate::policy::PolicyBuilder::dropped_after), and nothing
    /// otherwise.
    #[inline]
    pub fn abandon(&self, ticket: Ticket) {
        self.engine.abandon(ticket);
    }

    /// Where a call would go now. Changes nothing.
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
    pub fn handle(&self) -> FailoverHandle<Clk> {
        FailoverHandle::new(Arc::clone(&self.lease), self.engine.clock.clone())
    }

    /// Gives it a name, by which operators, logs and metrics tell it from others. A call does not
    /// touch the name.
    ///
    /// # Panics
    /// If it has another name already: two names for one state are a mistake.
    #[must_use]
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        self.lease.name(name.into());
        self
    }

    /// Adds someone to be told of transitions, as long as the monitor lives.
    pub fn observe(&self, observer: impl Observe) {
        self.engine.engine.transitions.observers.add(Arc::new(observer));
    }

    /// The memory that it holds, in bytes: neither the number of calls nor time adds to it. It grows
    /// by a part for each thread beyond those that there was room for, and, where the policy was
    /// swapped or the memory served another failover before, with a thread's first call that needs
    /// more buckets. Observers, waiting tasks, and this value itself, which is two pointers and a
    /// clock, are not included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.engine.engine.bytes()
    }

    pub(crate) fn engine_ref(&self) -> &EngineRef<Clk> {
        &self.engine
    }

    /// Whether no service, no handle and no other monitor shares it. Only the one who asks can
    /// change that then.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.lease) == 1
    }
}

impl<Clk: Clock> EngineRef<Clk> {
    /// Decides the route: the pass with which a call to the primary is still to
    /// [`begin`](Self::begin), or for the fallback the epoch in which that was decided.
    #[inline]
    pub(crate) fn admit(&self) -> Result<Pass, Epoch> {
        match self.engine.admit_at_once() {
            Some(epoch) => Ok(Pass::plain(epoch)),
            None => self.admit_by_time(),
        }
    }

    /// The same where [`admit_at_once`](Engine::admit_at_once) has not decided it.
    #[inline]
    pub(crate) fn admit_by_time(&self) -> Result<Pass, Epoch> {
        let now = self.clock.now();
        match self.engine.stays_on_fallback(now) {
            Some(epoch) => Err(epoch),
            None => self.admit_otherwise(now),
        }
    }

    // Not inlined, here and below: what few calls need takes no room in what all of them run.
    #[inline(never)]
    fn admit_otherwise(&self, now: Moment) -> Result<Pass, Epoch> {
        let Admitted { route, epoch, probe } = self.engine.admit_by_time(now);
        match route {
            Route::Primary => {
                let probe = probe.map(|lease| Hold::new(self.engine, lease));
                Ok(Pass { epoch, probe })
            }
            Route::Fallback => Err(epoch),
        }
    }

    /// The call of a pass begins now.
    #[inline]
    pub(crate) fn enter(&self, Pass { epoch, probe }: Pass) -> Stub {
        let stub = self.begin(epoch, probe.as_ref().map(Hold::lease));
        // The ticket gives the place back; until there is one, in case the clock panics, the pass does.
        if probe.is_some() {
            probe.map(Hold::end);
        }
        stub
    }

    /// Whether the decision for a call that waits still stands, once what is due by now has happened;
    /// see [`stands`](Engine::stands).
    pub(crate) fn look(&self, epoch: Epoch, while_probing: bool) -> bool {
        self.engine.stands(epoch, while_probing, self.clock.now())
    }

    /// When a call that waits has to look again, if nothing wakes it before. `lease`: its own, if it
    /// is a probe.
    pub(crate) fn next_look(&self, lease: Option<ProbeLease>) -> Option<Moment> {
        self.engine.next_look(lease, self.clock.now())
    }

    pub(crate) fn sleep_until(&self, moment: Moment) -> Option<Sleep> {
        self.clock.sleep_until(moment)
    }

    /// Whether a probe that waits has its place, and its lease is not over.
    pub(crate) fn holds(&self, hold: &Hold) -> bool {
        let lease = hold.lease();
        self.engine.is_held(lease) && self.engine.transitions.at(self.clock.now()) < lease.ends()
    }

    /// Lets a probe's lease begin now. The lease as it was, if it has lost its place.
    pub(crate) fn renew(&self, epoch: Epoch, hold: Hold) -> Result<Hold, ProbeLease> {
        let renewed = self.engine.renew_lease(epoch, hold.lease(), self.clock.now());
        let lost = hold.end();
        renewed.map(|lease| Hold::new(self.engine, lease)).ok_or(lost)
    }

    /// A call to the primary begins now, as a probe if it has the lease of one.
    #[inline]
    pub(crate) fn begin(&self, epoch: Epoch, probe: Option<ProbeLease>) -> Stub {
        let timed = self.engine.transitions.options().timed();
        let (began, counted) = if timed { self.depart(epoch) } else { (Began::UNKNOWN, false) };
        Stub { epoch, began, counted, probe }
    }

    #[inline(never)]
    fn depart(&self, epoch: Epoch) -> (Began, bool) {
        self.engine.begin(epoch, self.clock.now())
    }

    #[inline]
    pub(crate) fn record(&self, ticket: Ticket, outcome: Outcome) {
        self.settle(&mut Some(ticket), outcome);
    }

    /// Records the outcome of a ticket, if there is one, and leaves none. In place, as a ticket
    /// that is moved soon after it was made costs more than all the rest of recording.
    #[inline]
    pub(crate) fn settle(&self, ticket: &mut Option<Ticket>, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.conclude(ticket, false),
            Outcome::Failure => self.conclude(ticket, true),
            Outcome::Ignored | Outcome::RetryAfter(_) => {
                self.settle_slowly(ticket, outcome);
            }
        }
    }

    #[inline]
    fn conclude(&self, ticket: &mut Option<Ticket>, failed: bool) {
        match ticket.as_ref().and_then(Ticket::plain) {
            Some((epoch, began)) => {
                *ticket = None;
                self.count(epoch, began, failed);
            }
            None if failed => self.settle_slowly(ticket, Outcome::Failure),
            None => self.settle_slowly(ticket, Outcome::Success),
        }
    }

    /// The same of any ticket and any outcome.
    #[inline(never)]
    fn settle_slowly(&self, ticket: &mut Option<Ticket>, outcome: Outcome) {
        let Some(ticket) = ticket.take() else { return };
        // Before the end, so that the ticket gives the place back if the clock panics.
        let now = ticket.is_probe().then(|| self.clock.now());
        // It is no longer in flight, whatever the outcome.
        let (epoch, began, probe) = ticket.end();
        if let (Some(lease), Some(now)) = (probe, now) {
            return self.engine.record_probe(epoch, lease, outcome, now);
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

    /// Counts a call that is not in flight any more and was no probe.
    #[inline]
    fn count(&self, epoch: Epoch, began: Began, failed: bool) {
        if let Some(epoch) = self.engine.transitions.counting(epoch) {
            self.engine.count(epoch, self.clock.now(), began, failed);
        }
    }

    /// Runs the primary's code with which a call begins. If it panics, that is one failure of the
    /// primary, and goes on unwinding.
    #[inline]
    pub(crate) fn call<T>(&self, stub: Stub, run: impl FnOnce() -> T) -> (T, Ticket) {
        let call = guard(run, || self.fail(stub));
        (call, stub.ticket(self.engine))
    }

    #[cold]
    #[inline(never)]
    fn fail(&self, stub: Stub) {
        self.record(stub.ticket(self.engine), Outcome::Failure);
    }

    /// The primary did not become ready for a call.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&self, Pass { epoch, probe }: Pass) {
        let probe = probe.map(Hold::end);
        self.fail(Stub { epoch, began: Began::UNKNOWN, counted: false, probe });
    }

    /// Runs the primary's code as long as a call goes on, as [`call`](Self::call) does.
    #[inline]
    pub(crate) fn guard<T>(&self, ticket: &mut Option<Ticket>, run: impl FnOnce() -> T) -> T {
        guard(run, || self.settle_slowly(ticket, Outcome::Failure))
    }

    /// The call of a ticket was dropped.
    #[cold]
    #[inline(never)]
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let failed = self.engine.transitions.options().dropped()
            && self.engine.is_failure_when_dropped(ticket.began(), self.clock.now());
        self.record(ticket, if failed { Outcome::Failure } else { Outcome::Ignored });
    }

    pub(crate) fn engine(&self) -> &'static Engine {
        self.engine
    }
}
