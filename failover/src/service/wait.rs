//! A call that waits for a busy service: its route, and what wakes it.
//!
//! The service wakes it; so does each transition, and each permit of a probe that becomes free; and,
//! if the clock can sleep, the next moment at which a transition may be due.

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

/// Boxed and empty unless a call waits, since few calls do, and each move of a service moves this.
#[derive(Debug)]
pub(crate) struct Wait {
    engine: &'static Engine,
    state: Option<Box<State>>,
}

#[derive(Default)]
struct State {
    waiter: Option<Waiter>,
    sleep: Option<Sleeping>,
    /// The end of a sleep whose timer ran ahead of the clock, as in tokio's paused time: no other sleep
    /// begins before. By then the timer may be another one: a wait that is given up goes on with the
    /// service's next call.
    no_sleep_before: Moment,
    decision: Option<Decision>,
    queued: Queued,
}

/// A sleep until the time has to be looked at again.
struct Sleeping {
    began: Moment,
    until: Moment,
    sleep: Sleep,
}

/// The route of a waiting call. It stands for its epoch: during a ramp, a new decision at each poll would
/// send a share of the polls to the primary, not a share of the calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) route: Route,
    pub(crate) epoch: Epoch,
    /// The primary failed to become ready, or a probe's lease ended first: the fallback is asked too. A
    /// diverted probe has the fallback for its route.
    pub(crate) diverted: bool,
}

impl Decision {
    pub(crate) fn new(route: Route, epoch: Epoch) -> Self {
        Self { route, epoch, diverted: false }
    }

    /// If not, each poll while probing tries to take a probe's permit.
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

    /// The next poll decides again.
    pub(crate) fn forget(&mut self) {
        if let Some(state) = &mut self.state {
            state.decision = None;
        }
    }

    /// The decision, if it still stands at this time.
    pub(crate) fn standing<Clk: Clock>(&self, engine_ref: &EngineRef<Clk>) -> Option<Decision> {
        let decision = self.state.as_ref()?.decision?;
        let while_probing = decision.stands_while_probing();
        let stands = self.engine.stands(decision.epoch, while_probing, engine_ref.now());
        stands.then_some(decision)
    }

    /// Waits for a change. False if one came since the decision, which woke no task.
    ///
    /// Compares epochs, not routes: the ramp may have sent this call to the fallback.
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

    /// Ends the wait. Returns the services that may have queued the call.
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
        let now = engine_ref.now();
        let next = engine_ref.engine().next_look(lease, now);
        if next.is_some_and(|next| next <= now) {
            // The time came since the decision.
            return context.waker().wake_by_ref();
        }
        if let Some(mut sleeping) = self.sleep.take() {
            let asleep = sleeping.sleep.as_mut().poll(context).is_pending();
            // A sleep that ends sooner is kept until then: most waits end before.
            if asleep && next.is_some_and(|next| sleeping.until <= next) {
                self.sleep = Some(sleeping);
                return;
            }
            if !asleep && sleeping.is_early(now) {
                self.no_sleep_before = sleeping.until;
            }
        }
        let Some(until) = next.filter(|_| self.no_sleep_before <= now) else { return };
        let Some(mut sleep) = engine_ref.sleep_until(until) else { return };
        if sleep.as_mut().poll(context).is_pending() {
            self.sleep = Some(Sleeping { began: now, until, sleep });
        } else if engine_ref.now() < until {
            self.no_sleep_before = until;
        } else {
            context.waker().wake_by_ref();
        }
    }
}

impl Sleeping {
    /// Whether it ended before half of its time had passed. With less to make up for, sleeping again
    /// ends after a few times.
    fn is_early(&self, now: Moment) -> bool {
        let time = self.until.nanos_since(self.began);
        now.nanos_since(self.began) < time / 2
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("decision", &self.decision).finish_non_exhaustive()
    }
}
