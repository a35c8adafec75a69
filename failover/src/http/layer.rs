//! Wraps an HTTP primary with a fallback.

use tower_layer::Layer;

use super::classify::{HttpClassify, ServerErrorsAsFailures};
use super::service::HttpFailover;
use crate::clock::{Clock, CoarseClock};
use crate::event::Observe;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::policy::Policy;
use crate::service::boxed::BoxedErrorsLayer;
use crate::service::layer::FailoverLayer;

/// Wraps an HTTP primary into an [`HttpFailover`].
///
/// The state belongs to the layer, as with [`FailoverLayer`]: all services that one layer makes
/// share one window and one route.
///
/// ```
/// use failover::http::HttpFailoverLayer;
/// use failover::{Policy, Route};
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # type Body = Full<bytes::Bytes>;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let primary = service_fn(|_: Request<()>| async {
///     Ok::<_, std::io::Error>(Response::new(Body::from("hello")))
/// });
/// let fallback = service_fn(|_: Request<()>| async {
///     Ok::<_, std::io::Error>(Response::new(Body::from("hello from the fallback")))
/// });
/// let layer = HttpFailoverLayer::with_fallback(fallback, Policy::default()).named("greetings");
/// let handle = layer.handle();
///
/// let response = layer.layer(primary).oneshot(Request::new(())).await?;
/// assert_eq!(response.extensions().get(), Some(&Route::Primary));
/// // The head has arrived; the call is not recorded yet.
/// assert_eq!(handle.snapshot().tally.calls(), 0);
///
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
/// assert_eq!(handle.snapshot().tally.successes, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HttpFailoverLayer<F, H = ServerErrorsAsFailures, Clk = CoarseClock> {
    pub(super) layer: FailoverLayer<F, HttpClassify<H>, Clk>,
    pub(super) mark: bool,
}

impl<F> HttpFailoverLayer<F> {
    /// A layer around a primary, with this fallback. Classifies by [`HttpClassify::new`], on the
    /// [`CoarseClock`].
    #[must_use]
    pub fn with_fallback(fallback: F, policy: Policy) -> Self {
        Self::with_monitor(fallback, Monitor::new(policy))
    }
}

impl<F, Clk: Clock> HttpFailoverLayer<F, ServerErrorsAsFailures, Clk> {
    /// Uses an existing monitor, shared with other calls.
    #[must_use]
    pub fn with_monitor(fallback: F, monitor: Monitor<Clk>) -> Self {
        let layer = FailoverLayer::with_monitor(fallback, monitor);
        Self { layer: layer.classify(HttpClassify::new()), mark: true }
    }
}

impl<F, H, Clk: Clock> HttpFailoverLayer<F, H, Clk> {
    /// Replaces the [`HttpClassify`] that decides whether a call failed.
    ///
    /// ```
    /// use failover::Policy;
    /// use failover::http::{GrpcErrorsAsFailures, HttpClassify, HttpFailoverLayer};
    /// # let fallback = ();
    ///
    /// let layer = HttpFailoverLayer::with_fallback(fallback, Policy::default())
    ///     .classify(HttpClassify::new().grpc(GrpcErrorsAsFailures::default()));
    /// ```
    #[must_use]
    pub fn classify<G>(self, classify: HttpClassify<G>) -> HttpFailoverLayer<F, G, Clk> {
        HttpFailoverLayer { layer: self.layer.classify(classify), mark: self.mark }
    }

    /// Does not store the [`Route`](crate::route::Route) and the [`Tiers`](crate::http::Tiers) in a
    /// response's extensions, which allocates, and removes those of an inner failover.
    /// [`HttpBody::route`](crate::http::HttpBody::route) is free.
    #[must_use]
    pub fn without_route_extension(self) -> Self {
        Self { mark: false, ..self }
    }

    /// Uses another clock: see [`FailoverLayer::clock`]. The state starts anew: call
    /// [`force`](crate::monitor::handle::FailoverHandle::force) and
    /// [`restore`](crate::monitor::handle::FailoverHandle::restore) afterwards.
    ///
    /// # Panics
    /// If something else already uses the failover on its old clock, as with [`FailoverLayer::clock`].
    #[must_use]
    pub fn clock<D: Clock>(self, clock: D) -> HttpFailoverLayer<F, H, D> {
        HttpFailoverLayer { layer: self.layer.clock(clock), mark: self.mark }
    }

    /// Names the failover: see [`FailoverLayer::named`].
    ///
    /// # Panics
    /// If it already has another name.
    #[must_use]
    pub fn named(self, name: impl Into<std::sync::Arc<str>>) -> Self {
        Self { layer: self.layer.named(name), ..self }
    }

    /// Adds an observer of transitions.
    #[must_use]
    pub fn observe(self, observer: impl Observe) -> Self {
        Self { layer: self.layer.observe(observer), ..self }
    }

    /// Boxes the errors, and gives them the failover's name: see [`FailoverLayer::boxed_errors`]. The
    /// errors of bodies stay as they are.
    #[must_use]
    pub fn boxed_errors(self) -> BoxedErrorsLayer<Self> {
        let handle = self.handle();
        BoxedErrorsLayer::new(self, handle)
    }

    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        self.layer.handle()
    }
}

impl<P, F: Clone, H: Clone, Clk: Clock> Layer<P> for HttpFailoverLayer<F, H, Clk> {
    type Service = HttpFailover<P, F, H, Clk>;

    fn layer(&self, primary: P) -> Self::Service {
        let FailoverLayer { fallback, classify, monitor } = self.layer.clone();
        HttpFailover::from_parts(primary, fallback, classify, monitor, self.mark)
    }
}
