//! The HTTP service.

use std::future::poll_fn;
use std::task::{Context, Poll};

use http::Response;
use http_body::Body;
use tower_service::Service;

use super::body::HttpBody;
use super::classify::{HttpClassify, ServerErrorsAsFailures};
use super::future::{Call, HttpFuture};
use super::grpc::GrpcErrorsAsFailures;
use super::tiers::Mark;
use crate::classify::Classify;
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::policy::Policy;
use crate::service::readiness::Switch;

/// A [`Failover`](crate::service::Failover) for HTTP, which records a call at the end of the response
/// body. Made by [`HttpFailoverLayer`](crate::http::HttpFailoverLayer), or by [`new`](Self::new) and
/// [`grpc`](Self::grpc).
///
/// The type of a gRPC client over two channels of tonic is
/// `HealthClient<HttpFailover<Channel, Channel>>` (or any other generated client), without a box:
///
/// ```
/// # use failover::Policy;
/// # use failover::http::HttpFailover;
/// # #[derive(Clone)] struct Channel;
/// # struct HealthClient<T>(T);
/// # impl<T> HealthClient<T> { fn new(service: T) -> Self { Self(service) } }
/// struct Prices {
///     client: HealthClient<HttpFailover<Channel, Channel>>,
/// }
///
/// impl Prices {
///     fn new(primary: Channel, fallback: Channel) -> Self {
///         let failover = HttpFailover::grpc(primary, fallback, Policy::default());
///         Self { client: HealthClient::new(failover) }
///     }
/// }
/// ```
///
/// axum's `route_service` and `fallback_service` take a service whose error is `Infallible`. For two such
/// services: `ServiceExt::<Request<Body>>::map_err(failover, Infallible::from)`.
///
/// Readiness, clones and panics are as with [`Failover`](crate::service::Failover). The two services'
/// body types may differ; their `Data` types must not.
#[derive(Clone, Debug)]
pub struct HttpFailover<P, F, H = ServerErrorsAsFailures, Clk = CoarseClock>
where
    Clk: Clock,
{
    pub(super) switch: Switch<P, F, Clk>,
    pub(super) classify: HttpClassify<H>,
    pub(super) mark: Mark,
}

impl<P, F: Clone> HttpFailover<P, F> {
    /// A primary with its fallback, on the [`CoarseClock`], classified by [`HttpClassify::new`]. For
    /// anything else use a layer.
    #[must_use]
    pub fn new(primary: P, fallback: F, policy: Policy) -> Self {
        let monitor = Monitor::new(policy);
        Self::from_parts(primary, fallback, HttpClassify::new(), monitor, true)
    }

    /// As [`new`](Self::new), for gRPC: classified by `grpc-status` too, with the default
    /// [`GrpcErrorsAsFailures`].
    #[must_use]
    pub fn grpc(primary: P, fallback: F, policy: Policy) -> Self {
        let classify = HttpClassify::new().grpc(GrpcErrorsAsFailures::default());
        Self::from_parts(primary, fallback, classify, Monitor::new(policy), true)
    }
}

impl<P, F: Clone, H, Clk: Clock> HttpFailover<P, F, H, Clk> {
    pub(super) fn from_parts(
        primary: P,
        fallback: F,
        classify: HttpClassify<H>,
        monitor: Monitor<Clk>,
        mark: bool,
    ) -> Self {
        let mark = Mark::new(mark, &monitor);
        Self { switch: Switch::new(primary, fallback, monitor), classify, mark }
    }
}

impl<P, F, H, Clk: Clock> HttpFailover<P, F, H, Clk> {
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
    pub async fn send<R, PB, FB>(
        &mut self,
        request: R,
    ) -> Result<Response<HttpBody<PB, FB, Clk>>, Error<P::Error, F::Error>>
    where
        P: Service<R, Response = Response<PB>>,
        F: Service<R, Response = Response<FB>>,
        PB: Body,
        FB: Body<Data = PB::Data>,
        H: Classify<Response<PB>, P::Error> + Clone,
    {
        poll_fn(|context| self.poll_ready(context)).await?;
        self.call(request).await
    }
}

impl<R, P, F, H, Clk, PB, FB> Service<R> for HttpFailover<P, F, H, Clk>
where
    P: Service<R, Response = Response<PB>>,
    F: Service<R, Response = Response<FB>>,
    PB: Body,
    FB: Body<Data = PB::Data>,
    H: Classify<Response<PB>, P::Error> + Clone,
    Clk: Clock,
{
    type Response = Response<HttpBody<PB, FB, Clk>>;
    type Error = Error<P::Error, F::Error>;
    type Future = HttpFuture<P::Future, F::Future, H, Clk>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.switch.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let call = match self.switch.choose::<R>() {
            Some(admitted) => {
                let engine = self.switch.monitor.engine_ref();
                let (future, ticket) = engine.call(admitted, || self.switch.primary.call(request));
                let classify = self.classify.clone();
                let call = UnrecordedCall::future(future, ticket, engine.clone(), classify);
                Call::Primary { call }
            }
            None => Call::Fallback { call: self.switch.fallback.call(request) },
        };
        HttpFuture { call, mark: self.mark }
    }
}
