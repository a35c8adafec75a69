//! What a call carries from its admission to its end.
//!
//! A call's way from [`Pass`] to [`Stub`] to [`Ticket`] lies in registers: what is written to memory
//! and moved on at once makes the processor wait, for longer than all the rest of a call takes.

use std::mem;

use crate::engine::Engine;
use crate::engine::phase::Epoch;
use crate::engine::recovery::ProbeLease;
use crate::engine::time::Began;

/// The right to record one outcome, in the epoch in which the call was admitted.
///
/// It can't be copied and is consumed by [`Monitor::record`](crate::monitor::Monitor::record). A ticket that
/// is dropped records nothing, and its call is no longer in flight. It belongs to the monitor that
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
    held: Option<Held>,
}

/// What hardly a call holds, and gives back when it has ended.
#[derive(Clone, Copy, Debug)]
struct Held {
    engine: &'static Engine,
    /// Whether the call is counted as in flight.
    counted: bool,
    /// The permit of a probe.
    probe: Option<ProbeLease>,
}

impl Ticket {
    /// Epoch and beginning of a call that holds nothing.
    #[inline]
    pub(crate) fn plain(&self) -> Option<(Epoch, Began)> {
        self.held.is_none().then_some((self.epoch, self.began))
    }

    pub(crate) fn began(&self) -> Began {
        self.began
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.held.is_some_and(|held| held.probe.is_some())
    }

    /// Ends the flight, and leaves it to the caller to give a probe's permit back.
    pub(crate) fn end(mut self) -> (Epoch, Began, Option<ProbeLease>) {
        let probe = self.held.as_mut().and_then(|held| held.probe.take());
        (self.epoch, self.began, probe)
    }

    #[inline(never)]
    fn give_back(&self, held: Held) {
        if held.counted {
            held.engine.land(self.epoch, self.began);
        }
        if let Some(lease) = held.probe {
            held.engine.give_back(lease);
        }
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if let Some(held) = self.held {
            self.give_back(held);
        }
    }
}

/// What a ticket is made of. Of each exactly one ticket is made: it may hold a permit.
#[derive(Clone, Copy, Debug)]
#[must_use = "it may hold a permit"]
pub(crate) struct Stub {
    pub(crate) epoch: Epoch,
    pub(crate) began: Began,
    /// Whether the call is counted as in flight.
    pub(crate) counted: bool,
    pub(crate) probe: Option<ProbeLease>,
}

impl Stub {
    #[inline]
    pub(crate) fn ticket(self, engine: &'static Engine) -> Ticket {
        let Self { epoch, began, counted, probe } = self;
        let holds = counted || probe.is_some();
        Ticket { epoch, began, held: holds.then_some(Held { engine, counted, probe }) }
    }
}

/// The right to begin one call to the primary, in the epoch in which it was admitted.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) epoch: Epoch,
    pub(crate) probe: Option<Hold>,
}

impl Pass {
    /// Of a call that is no probe.
    #[inline]
    pub(crate) fn plain(epoch: Epoch) -> Self {
        Self { epoch, probe: None }
    }
}

/// A probe's hold of its permit, which comes free when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    engine: &'static Engine,
    lease: ProbeLease,
}

impl Hold {
    pub(crate) fn new(engine: &'static Engine, lease: ProbeLease) -> Self {
        Self { engine, lease }
    }

    pub(crate) fn lease(&self) -> ProbeLease {
        self.lease
    }

    /// The lease, for a caller that gives the permit back itself.
    pub(crate) fn end(self) -> ProbeLease {
        let lease = self.lease;
        mem::forget(self);
        lease
    }
}

impl Drop for Hold {
    #[inline(never)]
    fn drop(&mut self) {
        self.engine.give_back(self.lease);
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
