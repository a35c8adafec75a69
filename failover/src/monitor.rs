//! Watches a primary without calling it: for those who drive calls themselves.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

use crate::clock::{Clock, CoarseClock};
use crate::phase::Epoch;
use crate::pool::Lease;
use crate::recovery::{Admitted, ProbeLease};
use crate::shared::{Began, Shared};
use crate::{FailoverHandle, Observe, Outcome, Policy};

/// Which of the two services a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The service that calls should go to.
    Primary,
    /// The service that calls go to while the primary fails too often.
    Fallback,
}

impl Route {
    /// The route in one word, for logs and metrics: `primary`, `fallback`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
        }
    }
}

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

/// The right to record one outcome, in the epoch in which the call was admitted.
///
/// It can't be copied and is consumed by [`Monitor::record`]. A ticket that is dropped records
/// nothing, and its call is no longer in flight. It belongs to the monitor that gave it.
///
/// ```compile_fail
/// # use failover::{Monitor, Outcome, Policy};
/// # let monitor = Monitor::new(Policy::default());
/// # let ticket = monitor.admit().ticket().unwrap();
/// monitor.record(ticket, Outcome::Success);
/// monitor.record(ticket, Outcome::Success); // used after move
/// ```
#[derive(Debug)]
#[must_use = "a ticket that is dropped records nothing"]
pub struct Ticket {
    epoch: Epoch,
    began: Began,
    /// Where the call is counted as in flight, if it is.
    flight: Option<&'static Shared>,
    /// The place that the call holds, if it is a probe.
    probe: Option<Hold>,
}

impl Ticket {
    /// A ticket for a call that has not begun.
    #[inline]
    pub(crate) fn unbegun(Pass { epoch, probe }: Pass) -> Self {
        Self { epoch, began: Began::UNKNOWN, flight: None, probe }
    }

    /// The right to begin the call, out of a ticket that is used no more.
    #[inline]
    pub(crate) fn pass(&mut self) -> Pass {
        Pass { epoch: self.epoch, probe: self.probe.take() }
    }

    /// Whether it is a probe's.
    #[inline]
    pub(crate) fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = self.flight {
            shared.land(self.epoch, self.began);
        }
    }
}

/// The right to begin one call to the primary, in the epoch in which it was admitted.
#[derive(Debug)]
pub(crate) struct Pass {
    epoch: Epoch,
    probe: Option<Hold>,
}

/// A probe's hold of its place, which comes free when this is dropped.
#[derive(Debug)]
struct Hold {
    shared: &'static Shared,
    lease: ProbeLease,
}

impl Hold {
    /// The lease, for the probe that ended to give back itself.
    fn end(self) -> ProbeLease {
        let lease = self.lease;
        mem::forget(self);
        lease
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.give_back(self.lease);
    }
}

/// Keeps the failure rate of a primary and says which route calls take. Clones share all of it.
///
/// This is the algorithm without tower: [`Failover`](crate::Failover) is a thin layer over it.
///
/// ```
/// use failover::{Admission, Monitor, Outcome, Policy};
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
pub struct Monitor<K = CoarseClock> {
    lease: Arc<Lease>,
    watch: Watch<K>,
}

/// What the future of a call needs of a monitor: it shares no reference count.
#[derive(Clone, Debug)]
pub(crate) struct Watch<K> {
    shared: &'static Shared,
    clock: K,
}

impl Monitor {
    /// A monitor on the [`CoarseClock`].
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self::with_clock(policy, CoarseClock)
    }
}

impl<K: Clock> Monitor<K> {
    /// A monitor on a clock of your own.
    #[must_use]
    pub fn with_clock(policy: Policy, clock: K) -> Self {
        let lease = Arc::new(Lease::take(policy, clock.now()));
        let watch = Watch { shared: lease.shared(), clock };
        Self { lease, watch }
    }

    /// Decides the route of a call that starts now. The first admission after the deadline of a
    /// trip makes the revert; one that finds too many stalled calls trips.
    #[inline]
    pub fn admit(&self) -> Admission {
        match self.watch.admit() {
            Some(pass) => Admission::Primary(self.watch.begin(pass)),
            None => Admission::Fallback,
        }
    }

    /// Records what a call said about the primary, and trips if a condition of the policy now
    /// holds. Does nothing if a transition was made since the call was admitted.
    #[inline]
    pub fn record(&self, ticket: Ticket, outcome: Outcome) {
        self.watch.record(ticket, outcome);
    }

    /// Ends a call that was dropped before its outcome was known: a failure if it has run for
    /// longer than the policy's [`dropped_after`](crate::PolicyBuilder::dropped_after), and nothing
    /// otherwise.
    #[inline]
    pub fn abandon(&self, ticket: Ticket) {
        self.watch.abandon(ticket);
    }

    /// Where a call would go now. Changes nothing.
    #[must_use]
    pub fn route(&self) -> Route {
        let phase = self.watch.shared.phase();
        match self.watch.shared.route(phase) {
            Route::Primary => Route::Primary,
            Route::Fallback => self.handle().snapshot().route,
        }
    }

    /// The operator's side.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<K> {
        FailoverHandle::new(Arc::clone(&self.lease), self.watch.clock.clone())
    }

    /// Gives it a name, by which operators, logs and metrics tell it from others. A call does not
    /// touch the name.
    ///
    /// # Panics
    /// If it has another name already: two names for one state are a mistake.
    #[must_use]
    pub fn named(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.lease.name(name.into());
        self
    }

    /// Adds someone to be told of transitions, as long as the monitor lives.
    pub fn observe(&self, observer: impl Observe) {
        self.watch.shared.observers.add(Arc::new(observer));
    }

    /// The memory that it holds, in bytes: the same after any number of calls. Observers, waiting
    /// tasks, and this value itself, which is two pointers and a clock, are not included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.watch.shared.bytes()
    }

    pub(crate) fn watch(&self) -> &Watch<K> {
        &self.watch
    }

    /// Whether no service, no handle and no other monitor shares it. Only the one who asks can
    /// change that then.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.lease) == 1
    }
}

impl<K: Clock> Watch<K> {
    /// Decides the route: the pass with which a call to the primary is still to
    /// [`begin`](Self::begin), or none for the fallback.
    #[inline]
    pub(crate) fn admit(&self) -> Option<Pass> {
        let Admitted { route, epoch, probe } = self.shared.admit(|| self.clock.now());
        match route {
            Route::Primary => {
                let probe = probe.map(|lease| Hold { shared: self.shared, lease });
                Some(Pass { epoch, probe })
            }
            Route::Fallback => None,
        }
    }

    /// A call to the primary begins now.
    #[inline]
    pub(crate) fn begin(&self, Pass { epoch, probe }: Pass) -> Ticket {
        if self.shared.options().timed() {
            let (began, counted) = self.shared.begin(epoch, self.clock.now());
            Ticket { epoch, began, flight: counted.then_some(self.shared), probe }
        } else {
            Ticket { epoch, began: Began::UNKNOWN, flight: None, probe }
        }
    }

    #[inline]
    pub(crate) fn record(&self, ticket: Ticket, outcome: Outcome) {
        self.settle(&mut Some(ticket), outcome);
    }

    /// Records the outcome of a ticket, if there is one, and leaves none. In place, as a ticket
    /// that is moved soon after it was made costs more than all the rest of recording.
    #[inline]
    pub(crate) fn settle(&self, ticket: &mut Option<Ticket>, outcome: Outcome) {
        let Some(held) = ticket else { return };
        let (epoch, began) = (held.epoch, held.began);
        let probe = held.probe.take();
        // It is no longer in flight, whatever the outcome.
        *ticket = None;
        if let Some(hold) = probe {
            return self.shared.record_probe(epoch, hold.end(), outcome, self.clock.now());
        }
        if outcome == Outcome::Ignored {
            return;
        }
        let Some(epoch) = self.shared.counting(epoch) else { return };
        let now = self.clock.now();
        if let Outcome::FailureWithHint { retry_after } = outcome
            && self.shared.options().hints()
        {
            self.shared.hint(epoch, now, retry_after);
        }
        self.shared.count(epoch, now, began, outcome.is_failure());
    }

    /// The call of a ticket was dropped.
    #[cold]
    #[inline(never)]
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let failed = self.shared.options().dropped()
            && self.shared.is_failure_when_dropped(ticket.began, self.clock.now());
        self.record(ticket, if failed { Outcome::Failure } else { Outcome::Ignored });
    }

    /// Whether no transition was made since that epoch began.
    pub(crate) fn is_current(&self, ticket: &Ticket) -> bool {
        self.shared.phase().admits_in() == ticket.epoch
    }

    pub(crate) fn shared(&self) -> &'static Shared {
        self.shared
    }
}
