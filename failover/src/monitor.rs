//! Watches a primary without calling it: for those who drive calls themselves.

use std::borrow::Cow;
use std::sync::Arc;

use crate::clock::{Clock, CoarseClock};
use crate::phase::Epoch;
use crate::pool::Lease;
use crate::shared::Shared;
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
/// nothing. It belongs to the monitor that gave it.
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
    /// trip makes the revert.
    #[inline]
    pub fn admit(&self) -> Admission {
        self.watch.admit()
    }

    /// Records what a call said about the primary, and trips if the failure rate now exceeds the
    /// threshold. Does nothing if a transition was made since the call was admitted.
    #[inline]
    pub fn record(&self, ticket: Ticket, outcome: Outcome) {
        self.watch.record(ticket, outcome);
    }

    /// Where a call would go now. Changes nothing.
    #[must_use]
    pub fn route(&self) -> Route {
        let phase = self.watch.shared.phase();
        match phase.route() {
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
}

impl<K: Clock> Watch<K> {
    #[inline]
    pub(crate) fn admit(&self) -> Admission {
        match self.shared.admit(|| self.clock.now()) {
            (Route::Primary, epoch) => Admission::Primary(Ticket { epoch }),
            (Route::Fallback, _) => Admission::Fallback,
        }
    }

    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is spent by recording")]
    pub(crate) fn record(&self, ticket: Ticket, outcome: Outcome) {
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Ignored => return,
        };
        if self.shared.counts(ticket.epoch) {
            self.shared.count(ticket.epoch, self.clock.now(), failed);
        }
    }

    /// Whether no transition was made since the ticket was given.
    pub(crate) fn is_current(&self, ticket: &Ticket) -> bool {
        self.shared.phase().epoch() == ticket.epoch
    }

    pub(crate) fn shared(&self) -> &'static Shared {
        self.shared
    }
}
