//! Watches a primary without calling it: for those who drive calls themselves.

use std::sync::Arc;

use crate::clock::{Clock, CoarseClock};
use crate::phase::Epoch;
use crate::pool::Lease;
use crate::recover::Admitted;
use crate::recovery::ProbeLease;
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
    /// The place that the call holds if it is a probe.
    probe: Option<ProbeLease>,
    /// Whether the call is counted as in flight.
    in_flight: bool,
    /// Where either is to be given back; `None` where there is nothing.
    shared: Option<&'static Shared>,
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            self.give_back(shared);
        }
    }
}

impl Ticket {
    /// Whether it is a probe's.
    pub(crate) fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    fn give_back(&mut self, shared: &Shared) {
        if self.in_flight {
            shared.land(self.epoch, self.began);
        }
        if let Some(lease) = self.probe.take() {
            shared.give_back(lease);
        }
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
            Admission::Primary(mut ticket) => {
                self.watch.begin(&mut ticket);
                Admission::Primary(ticket)
            }
            Admission::Fallback => Admission::Fallback,
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
}

impl<K: Clock> Watch<K> {
    /// Decides the route. The call itself is still to [`begin`](Self::begin).
    #[inline]
    pub(crate) fn admit(&self) -> Admission {
        let Admitted { route, epoch, probe } = self.shared.admit(|| self.clock.now());
        match route {
            Route::Primary => Admission::Primary(Ticket {
                epoch,
                began: Began::UNKNOWN,
                probe,
                in_flight: false,
                shared: probe.map(|_| self.shared),
            }),
            Route::Fallback => Admission::Fallback,
        }
    }

    /// The call of a ticket begins now.
    #[inline]
    pub(crate) fn begin(&self, ticket: &mut Ticket) {
        if self.shared.options().timed() {
            let (began, counted) = self.shared.begin(ticket.epoch, self.clock.now());
            ticket.began = began;
            ticket.in_flight = counted;
            if counted {
                ticket.shared = Some(self.shared);
            }
        }
    }

    #[inline]
    pub(crate) fn record(&self, mut ticket: Ticket, outcome: Outcome) {
        let (epoch, began, probe) = (ticket.epoch, ticket.began, ticket.probe.take());
        // It is no longer in flight, whatever the outcome.
        drop(ticket);
        if let Some(lease) = probe {
            return self.shared.record_probe(epoch, lease, outcome, self.clock.now());
        }
        if outcome == Outcome::Ignored || !self.shared.counts(epoch) {
            return;
        }
        let now = self.clock.now();
        if let Outcome::FailureWithHint { retry_after } = outcome
            && self.shared.options().hints()
        {
            self.shared.hint(epoch, now, retry_after);
        }
        self.shared.count(epoch, now, began, outcome.is_failure());
    }

    /// The call of a ticket was dropped.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        let failed = self.shared.options().dropped()
            && self.shared.is_failure_when_dropped(ticket.began, self.clock.now());
        self.record(ticket, if failed { Outcome::Failure } else { Outcome::Ignored });
    }

    /// Whether no transition was made since the ticket was given.
    pub(crate) fn is_current(&self, ticket: &Ticket) -> bool {
        self.shared.phase().epoch() == ticket.epoch
    }

    pub(crate) fn shared(&self) -> &'static Shared {
        self.shared
    }
}
