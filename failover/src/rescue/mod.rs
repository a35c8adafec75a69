//! Rescue of single calls: the one call that failed is sent to the other service as well.

mod future;

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

pub use future::RescueFuture;

use crate::clock::{Clock, CoarseClock};
use crate::switch::{Choice, Switch};
use crate::{Classify, Error, ErrorIsFailure, FailoverHandle, FailoverLayer, Monitor};

/// Rescues single calls: a call that the primary failed is sent to the fallback at once, long
/// before the failure rate sends all calls there. The failure counts against the primary all the
/// same.
///
/// Off unless asked for, since it makes a second call of a failed one and needs the request twice.
/// With it each call clones the request and the other service before it starts.
///
/// When both fail, the caller gets [`Error::Both`]; where the first service *answered* something
/// that the classifier calls a failure and the other has no answer at all, the first answer.
///
/// ```
/// use failover::{FailoverLayer, Policy, Rescue};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let primary = service_fn(|_: u32| async { Err::<&str, _>("down") });
/// let fallback = service_fn(|_: u32| async { Ok::<_, &str>("from the fallback") });
/// let service = FailoverLayer::new(fallback, Policy::default())
///     .rescue(Rescue::cloning())
///     .layer(primary);
/// let handle = service.handle();
///
/// assert_eq!(service.oneshot(7).await, Ok("from the fallback"));
/// assert_eq!(handle.snapshot().tally.failures, 1);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rescue<S = CloneRequest> {
    spare: S,
    both_ways: bool,
}

impl Rescue {
    /// Rescues every request, by cloning it.
    #[must_use]
    pub fn cloning() -> Self {
        Self::with(CloneRequest)
    }
}

impl<S> Rescue<S> {
    /// Rescues the requests that `spare` makes a second one of, and no others: a request that must
    /// not be made twice is declined by `None`.
    ///
    /// ```
    /// use failover::Rescue;
    /// # #[derive(Clone)] struct Request { idempotent: bool }
    /// let rescue = Rescue::with(|request: &Request| request.idempotent.then(|| request.clone()));
    /// ```
    pub fn with(spare: S) -> Self {
        Self { spare, both_ways: false }
    }

    /// Asks the primary as the last resort, too, when a call on the fallback route failed. Its
    /// outcome is not counted: it was the fallback's call.
    #[must_use]
    pub fn both_ways(self) -> Self {
        Self { both_ways: true, ..self }
    }
}

/// Makes a second request of one that is about to be sent, or declines.
pub trait Spare<R> {
    /// The same request once more, or `None` if it must not be sent twice.
    fn spare(&self, request: &R) -> Option<R>;
}

impl<R, S: Fn(&R) -> Option<R>> Spare<R> for S {
    fn spare(&self, request: &R) -> Option<R> {
        self(request)
    }
}

/// Clones every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneRequest;

impl<R: Clone> Spare<R> for CloneRequest {
    fn spare(&self, request: &R) -> Option<R> {
        Some(request.clone())
    }
}

/// Wraps a primary into a [`Rescuing`] failover. Made by [`FailoverLayer::rescue`].
#[derive(Clone, Debug)]
pub struct RescueLayer<F, S, C = ErrorIsFailure, K = CoarseClock> {
    layer: FailoverLayer<F, C, K>,
    rescue: Rescue<S>,
}

impl<F, S, C, K: Clock> RescueLayer<F, S, C, K> {
    pub(crate) fn new(layer: FailoverLayer<F, C, K>, rescue: Rescue<S>) -> Self {
        Self { layer, rescue }
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn into_parts(self) -> (FailoverLayer<F, C, K>, Rescue<S>) {
        (self.layer, self.rescue)
    }

    /// The operator's side of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<K> {
        self.layer.handle()
    }
}

impl<P, F: Clone, S: Clone, C: Clone, K: Clock> Layer<P> for RescueLayer<F, S, C, K> {
    type Service = Rescuing<P, F, S, C, K>;

    fn layer(&self, primary: P) -> Self::Service {
        let (fallback, classify, monitor) = self.layer.clone().into_parts();
        Rescuing::new(primary, fallback, self.rescue.clone(), classify, monitor)
    }
}

/// A [`Failover`](crate::Failover) that rescues single calls, with the same contract otherwise.
///
/// # Cancel safety
/// Dropping the future of a call drops whatever is under way. What the primary's attempt said
/// before is recorded; an attempt that was still running records nothing, unless the policy says
/// [`dropped_after`](crate::PolicyBuilder::dropped_after).
#[derive(Clone, Debug)]
pub struct Rescuing<P, F, S = CloneRequest, C = ErrorIsFailure, K = CoarseClock>
where
    K: Clock,
{
    switch: Switch<P, F, K>,
    rescue: Rescue<S>,
    classify: C,
}

impl<P, F: Clone, S, C, K: Clock> Rescuing<P, F, S, C, K> {
    fn new(primary: P, fallback: F, rescue: Rescue<S>, classify: C, monitor: Monitor<K>) -> Self {
        Self { switch: Switch::new(primary, fallback, monitor), rescue, classify }
    }
}

impl<P, F, S, C, K: Clock> Rescuing<P, F, S, C, K> {
    /// The operator's side.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<K> {
        self.switch.monitor.handle()
    }
}

impl<R, P, F, S, C, K> Service<R> for Rescuing<P, F, S, C, K>
where
    P: Service<R> + Clone,
    F: Service<R, Response = P::Response> + Clone,
    S: Spare<R>,
    C: Classify<P::Response, P::Error> + Classify<P::Response, F::Error> + Clone,
    K: Clock,
{
    type Response = P::Response;
    type Error = Error<P::Error, F::Error>;
    type Future = RescueFuture<R, P, F, C, K>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.switch.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let classify = self.classify.clone();
        let Self { switch, rescue, .. } = self;
        let spare = if rescue.both_ways || switch.is_for_primary() {
            switch.prepare(|| rescue.spare.spare(&request))
        } else {
            None
        };
        match switch.choose::<R>() {
            Choice::Primary(stub) => {
                let watch = switch.monitor.watch();
                let (call, ticket) = watch.call(stub, || switch.primary.call(request));
                let spare = spare.map(|request| (switch.fallback.clone(), request));
                RescueFuture::primary(call, ticket, watch.clone(), classify, spare)
            }
            Choice::Fallback => {
                let spare = spare.filter(|_| rescue.both_ways);
                let spare = spare.map(|request| (switch.primary.clone(), request));
                RescueFuture::fallback(switch.fallback.call(request), classify, spare)
            }
        }
    }
}
