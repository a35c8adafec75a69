//! The service: a primary and a fallback, and a monitor between them.

use std::task::{Context, Poll};

use tower_service::Service;

use crate::clock::{Clock, CoarseClock};
use crate::switch::{Choice, Switch};
use crate::{Classify, Error, ErrorIsFailure, FailoverHandle, Monitor, ResponseFuture};

/// Calls the primary, and the fallback while the primary fails too often.
///
/// Made by [`FailoverLayer`](crate::FailoverLayer). Clones share the window and the route.
///
/// # Readiness
/// `poll_ready` chooses the route and makes that service ready, and no other: the other's permits
/// stay untouched. The service that was made ready is the one that is called, whatever happens to
/// the route in between. A clone carries no readiness. While the chosen service is busy, the task
/// is woken by that service or by a change of the route, whichever comes first.
///
/// An error from the primary's `poll_ready` is a failure of the primary, and the call goes to the
/// fallback. An error from the fallback's is returned.
///
/// # Cancel safety
/// Dropping the future of a call drops the service's own future, and records nothing, unless the
/// policy says [`dropped_after`](crate::PolicyBuilder::dropped_after).
///
/// # Panics
/// `call` panics if `poll_ready` has not returned `Ready(Ok(()))` before. A panic of the primary,
/// in `poll_ready`, in `call` or in its future, counts as one failure and goes on unwinding.
#[derive(Clone, Debug)]
pub struct Failover<P, F, C = ErrorIsFailure, K = CoarseClock>
where
    K: Clock,
{
    switch: Switch<P, F, K>,
    classify: C,
}

impl<P, F: Clone, C, K: Clock> Failover<P, F, C, K> {
    pub(crate) fn new(primary: P, fallback: F, classify: C, monitor: Monitor<K>) -> Self {
        Self { switch: Switch::new(primary, fallback, monitor), classify }
    }
}

impl<P, F, C, K: Clock> Failover<P, F, C, K> {
    /// The operator's side.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<K> {
        self.switch.monitor.handle()
    }
}

impl<R, P, F, C, K> Service<R> for Failover<P, F, C, K>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    C: Classify<P::Response, P::Error> + Clone,
    K: Clock,
{
    type Response = P::Response;
    type Error = Error<P::Error, F::Error>;
    type Future = ResponseFuture<P::Future, F::Future, C, K>;

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
                let watch = self.switch.monitor.watch();
                let (call, ticket) = watch.call(stub, || self.switch.primary.call(request));
                ResponseFuture::primary(call, ticket, watch.clone(), self.classify.clone())
            }
            Choice::Fallback => ResponseFuture::fallback(self.switch.fallback.call(request)),
        }
    }
}
