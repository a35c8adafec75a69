//! What a call carries from its admission to its end.
//!
//! An [`Admitted`] is a plain value that stays in registers until the call has begun; the [`Ticket`]
//! is made of it in place, in the future of the call. A value that is written to memory and moved
//! at once stalls store forwarding, for longer than the rest of a call takes.

use std::mem;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::recovery::ProbeLease;
use crate::engine::time::{Began, Epoch};

/// The right to record one outcome, in the epoch in which the call was admitted.
///
/// It can't be copied and is consumed by [`Monitor::record`](crate::monitor::Monitor::record). A ticket that
/// is dropped records nothing, not even a [dropped call](crate::monitor::Tally::dropped), and its call is
/// no longer in flight; see [`Monitor::abandon`](crate::monitor::Monitor::abandon). It belongs to the monitor that
/// gave it.
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
    /// What has to be given back, which few calls have: the permit of a probe, or, without one, the
    /// place among the calls in flight.
    held: Option<(&'static Engine, Option<ProbeLease>)>,
}

impl Ticket {
    /// Epoch and beginning of a call that holds nothing.
    #[inline]
    pub(crate) fn plain(&self) -> Option<(Epoch, Began)> {
        self.held.is_none().then_some((self.epoch, self.began))
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn began(&self) -> Began {
        self.began
    }

    /// The lease of a probe.
    pub(crate) fn lease(&self) -> Option<ProbeLease> {
        self.held.and_then(|(_, lease)| lease)
    }

    /// Begins a probe's lease anew. False if the probe has lost its permit, or its epoch is over.
    pub(crate) fn renew(&mut self, now: Moment) -> bool {
        let Some((engine, Some(lease))) = &mut self.held else { return false };
        let renewed = engine.renew_lease(self.epoch, *lease, now);
        renewed.map(|renewed| *lease = renewed).is_some()
    }

    #[inline(never)]
    fn give_back(&self) {
        match self.held {
            Some((engine, Some(lease))) => engine.give_back(lease),
            Some((engine, None)) => engine.land(self.epoch, self.began),
            None => {}
        }
    }

    /// What it was made of. The caller gives back what it holds.
    pub(crate) fn into_admitted(self) -> Admitted {
        let (epoch, began, probe) = (self.epoch, self.began, self.lease());
        let in_flight = self.held.is_some() && probe.is_none();
        mem::forget(self);
        Admitted { epoch, began, in_flight, probe }
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if self.held.is_some() {
            self.give_back();
        }
    }
}

/// A call that was admitted to the primary. At most one ticket is made of each.
#[derive(Clone, Copy, Debug)]
#[must_use = "it may hold a permit"]
pub(crate) struct Admitted {
    pub(crate) epoch: Epoch,
    pub(crate) began: Began,
    /// Whether the call is counted as in flight. A probe never is: its epoch is not evaluated.
    pub(crate) in_flight: bool,
    pub(crate) probe: Option<ProbeLease>,
}

impl Admitted {
    /// A call that has not begun and is not a probe.
    #[inline]
    pub(crate) fn plain(epoch: Epoch) -> Self {
        Self { epoch, began: Began::UNKNOWN, in_flight: false, probe: None }
    }

    #[inline]
    pub(crate) fn ticket(self, engine: &'static Engine) -> Ticket {
        let Self { epoch, began, in_flight, probe } = self;
        let holds = in_flight || probe.is_some();
        Ticket { epoch, began, held: holds.then_some((engine, probe)) }
    }
}

/// Runs the primary's code, and `failed` if that panics.
#[inline]
pub(crate) fn guard<T>(run: impl FnOnce() -> T, failed: impl FnMut()) -> T {
    struct OnPanic<F: FnMut()>(F);

    impl<F: FnMut()> Drop for OnPanic<F> {
        #[cold]
        fn drop(&mut self) {
            self.0();
        }
    }

    let on_panic = OnPanic(failed);
    let result = run();
    mem::forget(on_panic);
    result
}
