//! A call that waits for a busy service: where it was sent, and what wakes it.
//!
//! It is woken by the service; by each change of the route, and each place of a probe that comes
//! free; and, if the clock can sleep, when it has to look at the time again.

use std::fmt;
use std::task::Context;

use crate::clock::{Clock, Moment, Sleep};
use crate::engine::Engine;
use crate::engine::look::Permit;
use crate::engine::recovery::ProbeLease;
use crate::engine::time::Epoch;
use crate::engine::waiters::Waiter;
use crate::monitor::EngineRef;
use crate::route::Route;

/// Empty unless a call waits: few calls do, and what is moved with a service costs each clone.
#[derive(Debug)]
pub(crate) struct Wait {
    engine: &'static Engine,
    state: Option<Box<State>>,
}

#[derive(Default)]
struct State {
    waiter: Option<Waiter>,
    sleep: Option<(Moment, Sleep)>,
    decision: Option<Decision>,
    queued: Queued,
}

/// Where a call that waits was sent. It stands as long as its epoch: if each poll were dealt a route, a
/// share of the polls would go to the primary, and not one of the calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) route: Route,
    pub(crate) epoch: Epoch,
    /// The primary failed to become ready for it, or not before a probe's lease was over: the fallback
    /// is asked as well. A probe that was diverted has the fallback for its route.
    pub(crate) diverted: bool,
}

impl Decision {
    pub(crate) fn new(route: Route, epoch: Epoch) -> Self {
        Self { route, epoch, diverted: false }
    }

    /// Or a place of a probe, while probing, is tried for at each poll.
    fn stands_while_probing(self) -> bool {
        self.diverted || self.route == Route::Primary
    }
}

/// The services that answered `Pending`, and may have queued the call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queued {
    pub(crate) primary: bool,
    pub(crate) fallback: bool,
}

impl Wait {
    pub(crate) fn new(engine: &'static Engine) -> Self {
        Self { engine, state: None }
    }

    fn state(&mut self) -> &mut State {
        self.state.get_or_insert_default()
    }

    pub(crate) fn queued(&mut self) -> &mut Queued {
        &mut self.state().queued
    }

    pub(crate) fn decide(&mut self, decision: Decision) -> Decision {
        *self.state().decision.insert(decision)
    }

    /// The next poll decides anew.
    pub(crate) fn forget(&mut self) {
        if let Some(state) = &mut self.state {
            state.decision = None;
        }
    }

    /// The decision, if it still stands; looks at the time.
    pub(crate) fn standing<Clk: Clock>(&self, engine_ref: &EngineRef<Clk>) -> Option<Decision> {
        let decision = self.state.as_ref()?.decision?;
        engine_ref.look(decision.epoch, decision.stands_while_probing()).then_some(decision)
    }

    /// Waits for a change of the route. False if there was one already since the decision: a
    /// transition before this woke nobody.
    ///
    /// Not the route is asked, which a call that was dealt to the fallback differs from.
    pub(crate) fn begin<Clk: Clock>(
        &mut self,
        decision: Decision,
        lease: Option<ProbeLease>,
        engine_ref: &EngineRef<Clk>,
        context: &mut Context<'_>,
    ) -> bool {
        let engine = self.engine;
        let state = self.state();
        let permit = match lease {
            Some(lease) => Permit::Held(lease),
            None if decision.stands_while_probing() => Permit::None,
            None => Permit::Wanted,
        };
        let waiter = state.waiter.take();
        let (waiter, waits) = engine.wait_in(decision.epoch, permit, waiter, context.waker());
        state.waiter = Some(waiter);
        if waits {
            state.sleep(engine_ref, lease, context);
        }
        waits
    }

    /// The call waits no more. The services that it was queued by, of which it takes one at most.
    pub(crate) fn end(&mut self) -> Queued {
        let Some(mut state) = self.state.take() else { return Queued::default() };
        if let Some(waiter) = state.waiter.take() {
            self.engine.transitions.waiters.leave(&waiter);
        }
        state.queued
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        if self.state.is_some() {
            self.end();
        }
    }
}

impl State {
    fn sleep<Clk: Clock>(
        &mut self,
        engine_ref: &EngineRef<Clk>,
        lease: Option<ProbeLease>,
        context: &mut Context<'_>,
    ) {
        let Some(moment) = engine_ref.next_look(lease) else { return self.sleep = None };
        let mut asleep = |sleep: &mut Sleep| sleep.as_mut().poll(context).is_pending();
        // One that ends sooner is kept until it has ended: most waits are over before.
        if let Some((earlier, sleep)) = &mut self.sleep
            && *earlier < moment
            && asleep(sleep)
        {
            return;
        }
        if self.sleep.as_ref().is_none_or(|(other, _)| *other != moment) {
            self.sleep = engine_ref.sleep_until(moment).map(|sleep| (moment, sleep));
        }
        if let Some((_, sleep)) = &mut self.sleep
            && !asleep(sleep)
        {
            // The time has come since it was looked at.
            self.sleep = None;
            context.waker().wake_by_ref();
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("decision", &self.decision).finish_non_exhaustive()
    }
}
