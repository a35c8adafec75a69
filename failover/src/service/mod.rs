//! The service: a primary and a fallback, and a monitor between them.

pub mod boxed;
pub mod future;
pub mod keyed;
pub(crate) mod layer;
pub(crate) mod observed;
pub mod on_call;
pub(crate) mod oneshot;
pub(crate) mod readiness;
pub mod rescue;
pub(crate) mod timing;
pub(crate) mod wait;
pub mod watched;

use std::future::poll_fn;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::classify::{Classify, ErrorsAsFailures};
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::policy::Policy;
use crate::service::future::ResponseFuture;
use crate::service::readiness::Switch;

/// Calls the primary, and the fallback while the primary fails too often.
///
/// Made by [`FailoverLayer`](crate::service::layer::FailoverLayer). Clones share the window and the
/// route.
///
/// # In a struct
/// Its type names the two services and nothing else. Tests let time pass by
/// [`advance`](FailoverHandle::advance), so they need no other clock.
///
/// ```
/// use std::time::Duration;
/// use failover::{Error, Failover, FailoverHandle, Policy};
/// use tower::util::BoxCloneSyncService;
/// use tower::{BoxError, ServiceExt, service_fn};
///
/// type Provider = BoxCloneSyncService<u32, &'static str, BoxError>;
///
/// struct Prices {
///     failover: Failover<Provider, Provider>,
/// }
///
/// impl Prices {
///     fn new(first: Provider, second: Provider) -> Self {
///         Self { failover: Failover::new(first, second, Policy::default()) }
///     }
///
///     async fn price(&self, item: u32) -> Result<&'static str, BoxError> {
///         self.failover.clone().oneshot(item).await.map_err(Error::into_inner)
///     }
///
///     fn handle(&self) -> FailoverHandle {
///         self.failover.handle()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let down = Provider::new(service_fn(async |_| Err("down".into())));
/// let up = Provider::new(service_fn(async |_| Ok("from the second")));
/// let prices = Prices::new(down, up);
/// for _ in 0..10 {
///     assert!(prices.price(7).await.is_err());
/// }
/// assert_eq!(prices.price(7).await.unwrap(), "from the second");
/// prices.handle().advance(Duration::from_secs(5 * 60));
/// assert!(prices.price(7).await.is_err(), "the first is asked again");
/// # }
/// ```
///
/// # Readiness
/// `poll_ready` chooses the route and makes that service ready. `call` uses that service, even if the
/// route changes in between. The other service is polled in two cases only. A clone carries no
/// readiness.
///
/// - An error from the primary's `poll_ready` is a failure of the primary, counted once per call, and
///   the call goes to the fallback. If the fallback is busy, each poll tries the primary again, and the
///   first service that is ready takes the call. An error from the fallback's `poll_ready` is
///   returned; the next poll starts over.
/// - While [probing](crate::policy::PolicyBuilder::probing), a probe waits for a busy primary until
///   its lease ends, then goes to the fallback. A probe that was ready but called only after its lease
///   takes another permit, if one is free; otherwise it calls the fallback. If the fallback is busy,
///   it calls the primary, and its outcome is not counted.
///
/// # Waiting
/// A route is chosen once per call, and kept until the call is made or a transition begins another
/// epoch. A waiting call wakes when its service is ready, at each transition, and, if the clock can
/// [sleep](crate::clock::Clock#waking-calls-that-wait), when a transition is due. The default clock
/// can with the feature `tokio`, in a runtime. Otherwise, if all calls wait for a service that hangs
/// and no new call comes, none of them changes its route.
///
/// tower's `ConcurrencyLimit` and `Buffer` queue a waiting call. If the call then takes the other
/// service, the queue would assign it a permit that is never used. So the abandoned service is replaced
/// by a clone of itself, which is not queued. For the primary this needs `P: Clone` and a `Failover`
/// that is a clone or was cloned: make one service with the layer, and clone it per connection. A
/// primary that is not `Clone` stays in the queue until the route is the primary again. A waiting call
/// whose task is dropped stays in the queue until the next poll or the service's drop, as with any
/// tower service.
///
/// A waiting call allocates.
///
/// # Cancel safety
/// Dropping the future of a call drops the service's own future, and records no outcome unless the
/// policy sets [`dropped_after`](crate::policy::PolicyBuilder::dropped_after). A call to the primary
/// that is dropped without one, as by a time-out *outside* the layer, is seen in
/// [`Tally::dropped`](crate::monitor::Tally::dropped); with feature `tracing` a warning says so once,
/// when 100 calls in a row were dropped. Put time-outs inside the layer, around the primary.
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

impl<P, F: Clone> Failover<P, F> {
    /// A primary with its fallback, on the [`CoarseClock`]. Every error of the primary is a failure. For
    /// anything else use a [`FailoverLayer`](crate::service::layer::FailoverLayer).
    #[must_use]
    pub fn new(primary: P, fallback: F, policy: Policy) -> Self {
        Self::from_parts(primary, fallback, ErrorsAsFailures, Monitor::new(policy))
    }
}

impl<P, F: Clone, C, Clk: Clock> Failover<P, F, C, Clk> {
    pub(crate) fn from_parts(primary: P, fallback: F, classify: C, monitor: Monitor<Clk>) -> Self {
        Self { switch: Switch::new(primary, fallback, monitor), classify }
    }
}

impl<P, F, C, Clk: Clock> Failover<P, F, C, Clk> {
    /// The operator's handle.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        self.switch.monitor.handle()
    }

    /// Waits until the service of the route is ready, and calls it: tower's `ready` and `call`.
    ///
    /// # Errors
    /// The error of the service that was called, or that failed to become ready.
    ///
    /// # Cancel safety
    /// Dropping the future drops the call, if it has begun. If it waits for a service, the next call
    /// goes on waiting in its place.
    pub async fn send<R>(&mut self, request: R) -> Result<P::Response, Error<P::Error, F::Error>>
    where
        P: Service<R>,
        F: Service<R, Response = P::Response>,
        C: Classify<P::Response, P::Error> + Clone,
    {
        poll_fn(|context| self.poll_ready(context)).await?;
        self.call(request).await
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

    // Always inlined: a future returned by a function is copied, and loading what was just stored in
    // other widths stalls store forwarding, for 10 ns and more.
    #[inline(always)]
    fn call(&mut self, request: R) -> Self::Future {
        match self.switch.choose::<R>() {
            Some(admitted) => {
                let engine = self.switch.monitor.engine_ref();
                let (call, ticket) = engine.call(admitted, || self.switch.primary.call(request));
                ResponseFuture::primary(call, ticket, engine.clone(), self.classify.clone())
            }
            None => ResponseFuture::fallback(self.switch.fallback.call(request)),
        }
    }
}
