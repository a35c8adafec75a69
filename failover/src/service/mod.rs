//! The service: a primary and a fallback, and a monitor between them.

pub mod future;
pub mod keyed;
pub(crate) mod layer;
pub mod observed;
pub(crate) mod oneshot;
pub(crate) mod readiness;
pub mod rescue;
pub(crate) mod wait;
pub mod watched;

use std::task::{Context, Poll};

use tower_service::Service;

use crate::classify::{Classify, ErrorsAsFailures};
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::service::future::ResponseFuture;
use crate::service::readiness::{Choice, Switch};

/// Calls the primary, and the fallback while the primary fails too often.
///
/// Made by [`FailoverLayer`](crate::service::layer::FailoverLayer). Clones share the window and the route.
///
/// # Readiness
/// `poll_ready` chooses the route and makes that service ready; the other one is not polled, except as
/// follows. The service that was made ready is the one that is called, whatever happens to the route in
/// between. A clone carries no readiness.
///
/// - An error from the primary's `poll_ready` is a failure of the primary, counted once a call, and the
///   call goes to the fallback. If the fallback is busy, the primary is asked again at each poll, and the
///   one that is ready first takes the call. An error from the fallback's is returned, and the next poll
///   begins anew.
/// - While [probing](crate::policy::PolicyBuilder::probing), a probe waits for a busy primary until its lease is
///   over, and then goes to the fallback. A probe that was ready for so long that it lost its place calls
///   the fallback if that is ready at once, unless there is a place by then. If the fallback is busy, it
///   calls the primary, and its outcome is not counted.
///
/// # Waiting
/// A route is chosen once a call, and stands until the call is made or a transition begins another
/// epoch. A call that waits for a busy service is woken by that service, by each transition, and, with a
/// clock that can [sleep](crate::clock::Clock#waking-calls-that-wait), when a transition is due. With a clock
/// that can't, such as the default one, a call that waits looks at the time when it is woken: if all
/// calls wait for a service that hangs, and no other call comes, none of them is sent to the other one.
///
/// A service that has queued the call (tower's `ConcurrencyLimit` and `Buffer` do) and is left for the
/// other one would be assigned a permit that nobody uses. It is replaced by a clone of itself, which is
/// queued nowhere. For the primary this needs `P: Clone`, and a `Failover` that is a clone or has been
/// cloned: one service for each connection should be a clone of the first, and not made by the layer. A
/// primary that is not `Clone` keeps its place in the queue until the route is the primary again. A call
/// that is given up while it waits, by dropping what polls, keeps its place until the next poll, or until
/// the service is dropped, as with any tower service.
///
/// A call that waits allocates.
///
/// # Cancel safety
/// Dropping the future of a call drops the service's own future, and records nothing, unless the
/// policy says [`dropped_after`](crate::policy::PolicyBuilder::dropped_after).
///
/// # Panics
/// `call` panics if `poll_ready` has not returned `Ready(Ok(()))` before. A panic of the primary,
/// in `poll_ready`, in `call` or in its future, counts as one failure and goes on unwinding.
#[derive(Clone, Debug)]
pub struct Failover<P, F, C = ErrorsAsFailures, Clk = CoarseClock>
where
    Clk: Clock,
{
    switch: Switch<P, F, Clk>,
    classify: C,
}

impl<P, F: Clone, C, Clk: Clock> Failover<P, F, C, Clk> {
    pub(crate) fn new(primary: P, fallback: F, classify: C, monitor: Monitor<Clk>) -> Self {
        Self { switch: Switch::new(primary, fallback, monitor), classify }
    }
}

impl<P, F, C, Clk: Clock> Failover<P, F, C, Clk> {
    /// The operator's side.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<Clk> {
        self.switch.monitor.handle()
    }
}

impl<R, P, F, C, Clk> Service<R> for Failover<P, F, C, Clk>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    C: Classify<P::Response, P::Error> + Clone,
    Clk: Clock,
{
    type Response = P::Response;
    type Error = Error<P::Error, F::Error>;
    type Future = ResponseFuture<P::Future, F::Future, C, Clk>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.switch.poll_ready(context)
    }

    // Always inlined: a future that comes back from a function is copied to where it is awaited, and
    // what was written just before in other widths makes that copy wait, for 10 ns and more.
    #[inline(always)]
    fn call(&mut self, request: R) -> Self::Future {
        match self.switch.choose::<R>() {
            Choice::Primary(stub) => {
                let engine = self.switch.monitor.engine_ref();
                let (call, ticket) = engine.call(stub, || self.switch.primary.call(request));
                ResponseFuture::primary(call, ticket, engine.clone(), self.classify.clone())
            }
            Choice::Fallback => ResponseFuture::fallback(self.switch.fallback.call(request)),
        }
    }
}
