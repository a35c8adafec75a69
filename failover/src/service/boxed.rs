//! A failover whose errors are boxed, and have its name.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::clock::Clock;
use crate::error::boxed::BoxError;
use crate::error::{BoxedError, Error};
use crate::monitor::handle::FailoverHandle;
use crate::name::kept;
use crate::service::layer::FailoverLayer;
use crate::service::on_call::ObservedLayer;
use crate::service::rescue::RescueLayer;

/// Boxes the errors of the failover that `L` makes. Made by [`FailoverLayer::boxed_errors`].
#[derive(Clone, Debug)]
pub struct BoxedErrorsLayer<L> {
    layer: L,
    handle: FailoverHandle,
}

impl<L> BoxedErrorsLayer<L> {
    pub(crate) fn new(layer: L, handle: FailoverHandle) -> Self {
        Self { layer, handle }
    }

    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        self.handle.clone()
    }
}

impl<F, C, Clk: Clock> FailoverLayer<F, C, Clk> {
    /// Boxes the errors of both services, and gives them the failover's name: one type,
    /// [`BoxedError`], whatever the services' errors are. Call this last.
    ///
    /// For services whose errors are `Box<dyn Error + Send + Sync>`, as within tower's `timeout`, and for
    /// layers outside that need a `std::error::Error`, such as `buffer` and `timeout`. Only errors cost
    /// more. The name is kept for the rest of the process.
    ///
    /// ```
    /// use std::io;
    /// use std::time::Duration;
    /// use failover::{FailoverLayer, Policy};
    /// use failover::error::BoxedError;
    /// use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let primary = service_fn(|_: ()| async { Err::<(), BoxError>(io::Error::other("down").into()) });
    /// let fallback = service_fn(|_: ()| async { Ok::<_, io::Error>(()) });
    /// let layer = FailoverLayer::with_fallback(fallback, Policy::default()).named("prices");
    ///
    /// let service = ServiceBuilder::new()
    ///     .timeout(Duration::from_secs(5)) // whatever wants a `std::error::Error` below it
    ///     .layer(layer.boxed_errors())
    ///     .timeout(Duration::from_secs(2)) // around the primary
    ///     .service(primary);
    ///
    /// let error: BoxError = service.oneshot(()).await.unwrap_err();
    /// let error: &BoxedError = error.downcast_ref().unwrap();
    /// assert_eq!(error.to_string(), "primary of \"prices\" failed");
    /// assert!(error.primary().unwrap().is::<io::Error>());
    /// # }
    /// ```
    #[must_use]
    pub fn boxed_errors(self) -> BoxedErrorsLayer<Self> {
        let handle = self.handle();
        BoxedErrorsLayer::new(self, handle)
    }
}

impl<F, C, Clk: Clock, S> RescueLayer<FailoverLayer<F, C, Clk>, S> {
    /// Boxes the errors: see [`FailoverLayer::boxed_errors`].
    #[must_use]
    pub fn boxed_errors(self) -> BoxedErrorsLayer<Self> {
        let handle = self.handle();
        BoxedErrorsLayer::new(self, handle)
    }
}

impl<L, O, D> ObservedLayer<L, O, D> {
    /// Boxes the errors: see [`FailoverLayer::boxed_errors`].
    #[must_use]
    pub fn boxed_errors(self) -> BoxedErrorsLayer<Self> {
        let handle = self.handle();
        BoxedErrorsLayer::new(self, handle)
    }
}

impl<P, L: Layer<P>> Layer<P> for BoxedErrorsLayer<L> {
    type Service = BoxedErrors<L::Service>;

    fn layer(&self, primary: P) -> Self::Service {
        let name = self.handle.name().map(kept);
        BoxedErrors { service: self.layer.layer(primary), name }
    }
}

/// A failover `S` whose errors are boxed. Made by [`FailoverLayer::boxed_errors`].
#[derive(Clone, Debug)]
pub struct BoxedErrors<S> {
    service: S,
    name: Option<&'static str>,
}

impl<S> BoxedErrors<S> {
    /// The failover itself.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.service
    }

    /// Waits until the service that is to be called is ready, and calls it: tower's `ready` and `call`.
    ///
    /// # Errors
    /// The error of the service that was called, or that failed to become ready.
    ///
    /// # Cancel safety
    /// Dropping the future drops the call, if it has begun. If it waits for a service, the next call
    /// goes on waiting in its place.
    pub async fn send<R, P, F>(&mut self, request: R) -> Result<S::Response, BoxedError>
    where
        S: Service<R, Error = Error<P, F>>,
        P: Into<BoxError>,
        F: Into<BoxError>,
    {
        poll_fn(|context| self.poll_ready(context)).await?;
        self.call(request).await
    }
}

impl<R, S, P, F> Service<R> for BoxedErrors<S>
where
    S: Service<R, Error = Error<P, F>>,
    P: Into<BoxError>,
    F: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxedError;
    type Future = BoxedErrorsFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxedError>> {
        self.service.poll_ready(context).map_err(|error| error.into_boxed().named(self.name))
    }

    fn call(&mut self, request: R) -> Self::Future {
        BoxedErrorsFuture { call: self.service.call(request), name: self.name }
    }
}

pin_project! {
    /// The future of a call through a [`BoxedErrors`].
    ///
    /// # Cancel safety
    /// That of the failover's future.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct BoxedErrorsFuture<C> {
        #[pin]
        call: C,
        name: Option<&'static str>,
    }
}

impl<C, T, P, F> Future for BoxedErrorsFuture<C>
where
    C: Future<Output = Result<T, Error<P, F>>>,
    P: Into<BoxError>,
    F: Into<BoxError>,
{
    type Output = Result<T, BoxedError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.call.poll(context));
        Poll::Ready(result.map_err(|error| error.into_boxed().named(*this.name)))
    }
}
