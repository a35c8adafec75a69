//! Rescue of HTTP calls whose head failed.

use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::HttpBody;
use super::classify::{HttpClassify, ServerErrorsAsFailures};
use super::layer::HttpFailoverLayer;
use super::tiers::Mark;
use crate::classify::Classify;
use crate::clock::{Clock, CoarseClock};
use crate::monitor::handle::FailoverHandle;
use crate::monitor::unrecorded::UnrecordedCall;
use crate::outcome::Outcome;
use crate::route::Route;
use crate::service::boxed::BoxedErrorsLayer;
use crate::service::layer::FailoverLayer;
use crate::service::readiness::Switch;
use crate::service::rescue::{CloneRequest, PlainClone, Rescue, RescueLayer, Rescuing, Respond};

/// Clones requests with a safe method (GET, HEAD, OPTIONS, TRACE) and without a body: head and
/// extensions are cloned, and the body is the default one of its type.
///
/// Each other request is sent once: a method that changes something must not be repeated unasked, and
/// a body can be read only once. gRPC is `POST` and therefore never rescued by this.
///
/// hyper's `Incoming` is not `Default`: convert the request's body outside the failover to one that is,
/// such as axum's `Body`, with `ServiceExt::map_request(|request: Request<Incoming>| request.map(Body::new))`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SafeRequests;

impl<B: Body + Default> CloneRequest<Request<B>> for SafeRequests {
    fn clone_request(&self, request: &Request<B>) -> Option<Request<B>> {
        let safe = request.method().is_safe() && request.body().is_end_stream();
        safe.then(|| {
            let mut clone = Request::new(B::default());
            *clone.method_mut() = request.method().clone();
            *clone.uri_mut() = request.uri().clone();
            *clone.version_mut() = request.version();
            *clone.headers_mut() = request.headers().clone();
            *clone.extensions_mut() = request.extensions().clone();
            clone
        })
    }
}

impl Rescue<SafeRequests> {
    /// Feature `http`: rescues requests with a safe method and without a body. See [`SafeRequests`].
    #[must_use]
    pub fn safe() -> Self {
        Self::with(SafeRequests)
    }
}

impl<F, H, Clk: Clock> HttpFailoverLayer<F, H, Clk> {
    /// Sends a call whose head failed (an error, or a status or gRPC code that is a failure) to the
    /// fallback at once: see [`Rescue`]. A call whose head is good is watched to the end of its body
    /// as without rescue; a body that breaks off is a failure, but too late for a rescue.
    ///
    /// The answer, its body and the [`Route`] in its extensions are those of the service that answered
    /// last.
    ///
    /// Call it after [`named`](Self::named), [`observe`](Self::observe), [`classify`](Self::classify),
    /// [`clock`](Self::clock) and [`without_route_extension`](Self::without_route_extension), and before
    /// `metered`, [`on_call`](Self::on_call) and [`boxed_errors`](Self::boxed_errors).
    ///
    /// ```
    /// use failover::http::HttpFailoverLayer;
    /// use failover::{Policy, Rescue, Route};
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::{Empty, Full};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # type Bytes = bytes::Bytes;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let answer = |status| async move {
    ///     let mut response = Response::new(Full::<Bytes>::from("hello"));
    ///     *response.status_mut() = status;
    ///     Ok::<_, std::io::Error>(response)
    /// };
    /// let primary = service_fn(move |_: Request<Empty<Bytes>>| answer(StatusCode::BAD_GATEWAY));
    /// let fallback = service_fn(move |_: Request<Empty<Bytes>>| answer(StatusCode::OK));
    /// let service = HttpFailoverLayer::with_fallback(fallback, Policy::default())
    ///     .rescue(Rescue::safe())
    ///     .layer(primary);
    ///
    /// let response = service.clone().oneshot(Request::get("/").body(Empty::new())?).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// assert_eq!(response.extensions().get(), Some(&Route::Fallback));
    /// // A POST is not sent twice.
    /// let response = service.clone().oneshot(Request::post("/").body(Empty::new())?).await?;
    /// assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    /// assert_eq!(service.handle().snapshot().tally.failures, 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn rescue<S>(self, rescue: Rescue<S>) -> RescueLayer<Self, S> {
        RescueLayer { layer: self, rescue }
    }
}

impl<F, H, Clk: Clock, S> RescueLayer<HttpFailoverLayer<F, H, Clk>, S> {
    /// Boxes the errors: see [`FailoverLayer::boxed_errors`].
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

impl<P, F, H, Clk, S> Layer<P> for RescueLayer<HttpFailoverLayer<F, H, Clk>, S>
where
    F: Clone,
    H: Clone,
    Clk: Clock,
    S: Clone,
{
    type Service = HttpRescuing<P, F, S, H, Clk>;

    fn layer(&self, primary: P) -> Self::Service {
        self.clone().rescuing(primary, PlainClone)
    }
}

impl<F: Clone, H, Clk: Clock, S> RescueLayer<HttpFailoverLayer<F, H, Clk>, S> {
    /// The service, which clones the other service for a rescue by `standby`.
    pub(super) fn rescuing<P, M>(self, primary: P, standby: M) -> HttpRescuing<P, F, S, H, Clk, M> {
        let FailoverLayer { fallback, classify, monitor } = self.layer.layer;
        let mark = Mark::new(self.layer.mark, &monitor);
        let switch = Switch::new(primary, fallback, monitor);
        Rescuing { switch, rescue: self.rescue, respond: ByHttp { classify, mark }, standby }
    }
}

/// An HTTP failover that rescues single calls. Made by [`HttpFailoverLayer::rescue`].
pub type HttpRescuing<
    P,
    F,
    S = SafeRequests,
    H = ServerErrorsAsFailures,
    Clk = CoarseClock,
    M = PlainClone,
> = Rescuing<P, F, S, ByHttp<H>, Clk, M>;

/// A rescue is decided by the head; the body of the primary's response is watched to its end.
#[derive(Clone, Debug)]
pub struct ByHttp<H> {
    classify: HttpClassify<H>,
    mark: Mark,
}

impl<R, P, F, H, Clk, PB, FB> Respond<R, P, F, Clk> for ByHttp<H>
where
    P: Service<R, Response = Response<PB>>,
    F: Service<R, Response = Response<FB>>,
    PB: Body,
    FB: Body<Data = PB::Data>,
    H: Classify<Response<PB>, P::Error> + Classify<Response<FB>, F::Error>,
    Clk: Clock,
{
    type Response = Response<HttpBody<PB, FB, Clk>>;

    fn primary(
        &self,
        result: Result<Response<PB>, P::Error>,
        call: &mut UnrecordedCall<Clk>,
    ) -> (Result<Self::Response, P::Error>, Outcome) {
        let (result, outcome) = self.classify.watch(result, call);
        let marked = result.map(|response| {
            let mut response = response.map(HttpBody::primary);
            self.mark.mark(&mut response, Route::Primary);
            response
        });
        (marked, outcome.unwrap_or(Outcome::Success))
    }

    fn classify_fallback(&self, result: &Result<Response<FB>, F::Error>) -> Outcome {
        self.classify.classify(result)
    }

    fn fallback(&self, response: Response<FB>) -> Self::Response {
        let mut response = response.map(HttpBody::fallback);
        self.mark.mark(&mut response, Route::Fallback);
        response
    }
}
