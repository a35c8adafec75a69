//! Rescue: a single failed call is sent to the other service as well.

mod future;
mod respond;
pub(crate) mod standby;

use std::future::poll_fn;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

pub use future::RescueFuture;
pub use respond::Respond;
pub use standby::{PlainClone, RescuedClone};

pub use crate::service::observed::ByResult;

use crate::classify::ErrorsAsFailures;
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::monitor::handle::FailoverHandle;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::service::layer::FailoverLayer;
use crate::service::readiness::Switch;
use crate::service::rescue::standby::CloneStandby;

/// Rescues single calls: a call that the primary failed is sent to the fallback at once, long before
/// the failure rate trips. It still counts as a failure of the primary.
///
/// Off by default, since a failed call becomes two calls. Each call clones the request before
/// the first service is called, and the other service after it.
///
/// If both fail, the caller gets [`Error::Both`](crate::error::Error::Both). If the first service returned a response that the
/// classifier calls a failure and the second an error, the caller gets that response.
///
/// ```
/// use failover::{FailoverLayer, Policy, Rescue};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let primary = service_fn(|_: u32| async { Err::<&str, _>("down") });
/// let fallback = service_fn(|_: u32| async { Ok::<_, &str>("from the fallback") });
/// let service = FailoverLayer::with_fallback(fallback, Policy::default())
///     .rescue(Rescue::cloning())
///     .layer(primary);
/// let handle = service.handle();
///
/// assert_eq!(service.oneshot(7).await, Ok("from the fallback"));
/// assert_eq!(handle.snapshot().tally.failures, 1);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rescue<S = AlwaysClone> {
    clone_request: S,
    both_ways: bool,
}

impl Rescue {
    /// Rescues every request, by cloning it.
    #[must_use]
    pub fn cloning() -> Self {
        Self::with(AlwaysClone)
    }
}

impl<S> Rescue<S> {
    /// Rescues only requests that `clone_request` clones. Return `None` for a request that must not be
    /// sent twice.
    ///
    /// ```
    /// use failover::Rescue;
    /// # #[derive(Clone)] struct Request { idempotent: bool }
    /// let rescue = Rescue::with(|request: &Request| request.idempotent.then(|| request.clone()));
    /// ```
    pub fn with(clone_request: S) -> Self {
        Self { clone_request, both_ways: false }
    }

    /// Also sends a call that the fallback failed to the primary. The outcome is not counted: the
    /// route was the fallback.
    #[must_use]
    pub fn both_ways(self) -> Self {
        Self { both_ways: true, ..self }
    }
}

/// Clones a request that is about to be sent, or declines.
#[diagnostic::on_unimplemented(
    message = "a request of type `{R}` can't be cloned for a rescue by `{Self}`",
    note = "`Rescue::cloning()` needs a request that is `Clone`; `Rescue::with` takes a closure `|request: &{R}| -> Option<{R}>`",
    note = "`Rescue::safe()` needs an `http::Request` whose body is `Default`, which hyper's `Incoming` is not: `map_request` to a body that is, such as axum's `Body`"
)]
pub trait CloneRequest<R> {
    /// The clone; `None` if the request must not be sent twice.
    fn clone_request(&self, request: &R) -> Option<R>;
}

impl<R, S: Fn(&R) -> Option<R>> CloneRequest<R> for S {
    fn clone_request(&self, request: &R) -> Option<R> {
        self(request)
    }
}

/// Clones every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysClone;

impl<R: Clone> CloneRequest<R> for AlwaysClone {
    fn clone_request(&self, request: &R) -> Option<R> {
        Some(request.clone())
    }
}

/// Wraps a primary into a [`Rescuing`] failover. Made by [`FailoverLayer::rescue`] and, with feature
/// `http`, by `HttpFailoverLayer::rescue`.
#[derive(Clone, Debug)]
pub struct RescueLayer<L, S = AlwaysClone> {
    pub(crate) layer: L,
    pub(crate) rescue: Rescue<S>,
}

impl<F, C, Clk: Clock> FailoverLayer<F, C, Clk> {
    /// Rescues single calls: see [`Rescue`]. Call it after [`named`](Self::named),
    /// [`observe`](Self::observe), [`classify`](Self::classify) and [`clock`](Self::clock), and before
    /// `metered`, [`on_call`](Self::on_call) and [`boxed_errors`](Self::boxed_errors).
    #[must_use]
    pub fn rescue<S>(self, rescue: Rescue<S>) -> RescueLayer<Self, S> {
        RescueLayer { layer: self, rescue }
    }
}

impl<F, C, Clk: Clock, S> RescueLayer<FailoverLayer<F, C, Clk>, S> {
    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        self.layer.handle()
    }
}

impl<P, F, C, Clk, S> Layer<P> for RescueLayer<FailoverLayer<F, C, Clk>, S>
where
    F: Clone,
    C: Clone,
    Clk: Clock,
    S: Clone,
{
    type Service = Rescuing<P, F, S, ByResult<C>, Clk>;

    fn layer(&self, primary: P) -> Self::Service {
        self.clone().rescuing(primary, PlainClone)
    }
}

impl<F: Clone, C, Clk: Clock, S> RescueLayer<FailoverLayer<F, C, Clk>, S> {
    /// The service, which clones the other service for a rescue by `standby`.
    pub(crate) fn rescuing<P, M>(
        self,
        primary: P,
        standby: M,
    ) -> Rescuing<P, F, S, ByResult<C>, Clk, M> {
        let FailoverLayer { fallback, classify, monitor } = self.layer;
        let switch = Switch::new(primary, fallback, monitor);
        Rescuing { switch, rescue: self.rescue, respond: ByResult(classify), standby }
    }
}

/// A [`Failover`](crate::service::Failover) that rescues single calls. Otherwise the contract is the
/// same. `A` decides which results are failures, and makes the responses: see [`Respond`].
///
/// # Cancel safety
/// Dropping the future of a call drops the attempt in flight. A finished attempt of the primary is
/// recorded already; one in flight records nothing unless the policy sets
/// [`dropped_after`](crate::policy::PolicyBuilder::dropped_after).
#[derive(Clone, Debug)]
pub struct Rescuing<
    P,
    F,
    S = AlwaysClone,
    A = ByResult<ErrorsAsFailures>,
    Clk = CoarseClock,
    M = PlainClone,
> where
    Clk: Clock,
{
    pub(crate) switch: Switch<P, F, Clk>,
    pub(crate) rescue: Rescue<S>,
    pub(crate) respond: A,
    pub(crate) standby: M,
}

impl<P, F, S, A, Clk: Clock, M> Rescuing<P, F, S, A, Clk, M> {
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
    pub async fn send<R>(&mut self, request: R) -> Result<A::Response, Error<P::Error, F::Error>>
    where
        P: Service<R> + Clone,
        F: Service<R> + Clone,
        S: CloneRequest<R>,
        M: CloneStandby<P> + CloneStandby<F>,
        A: Respond<R, P, F, Clk> + Clone,
    {
        poll_fn(|context| self.poll_ready(context)).await?;
        self.call(request).await
    }
}

impl<R, P, F, S, A, Clk, M> Service<R> for Rescuing<P, F, S, A, Clk, M>
where
    P: Service<R> + Clone,
    F: Service<R> + Clone,
    S: CloneRequest<R>,
    M: CloneStandby<P> + CloneStandby<F>,
    A: Respond<R, P, F, Clk> + Clone,
    Clk: Clock,
{
    type Response = A::Response;
    type Error = Error<P::Error, F::Error>;
    type Future = RescueFuture<R, P, F, A, Clk>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.switch.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let respond = self.respond.clone();
        let Self { switch, rescue, standby: clone, .. } = self;
        let standby = if rescue.both_ways || switch.is_for_primary() {
            switch.prepare(|| rescue.clone_request.clone_request(&request))
        } else {
            None
        };
        let admitted = switch.choose::<R>();
        let engine = switch.monitor.engine_ref();
        match admitted {
            Some(admitted) => {
                let (attempt, ticket) = engine.call(admitted, || switch.primary.call(request));
                let call = UnrecordedCall::new(Some(ticket), engine.clone());
                let standby =
                    standby.map(|request| (clone.clone_standby(&switch.fallback), request));
                RescueFuture::primary(attempt, call, respond, standby)
            }
            None => {
                let call = UnrecordedCall::new(None, engine.clone());
                let standby = standby.filter(|_| rescue.both_ways);
                let standby =
                    standby.map(|request| (clone.clone_standby(&switch.primary), request));
                RescueFuture::fallback(switch.fallback.call(request), call, respond, standby)
            }
        }
    }
}
