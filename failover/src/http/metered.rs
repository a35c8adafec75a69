//! Features `http` and `prometheus` together: calls counted and timed up to the end of the body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::classify::{Head, HttpClassify, ServerErrorsAsFailures};
use super::end::{ObservedBody, OnEos};
use super::layer::HttpFailoverLayer;
use crate::classify::Classify;
use crate::clock::{Clock, FineClock};
use crate::monitor::handle::FailoverHandle;
use crate::outcome::Outcome;
use crate::prometheus::{Ended, Meter, Metrics, Timing};
use crate::route::Route;

impl<Clk: Clock> OnEos for Timing<Clk> {
    fn on_eos(&mut self, outcome: Outcome) {
        self.end(Ended::With(outcome));
    }

    fn abandon(&mut self) {
        self.end(Ended::Dropped);
    }
}

/// The primary or the fallback of an [`HttpFailover`](crate::http::HttpFailover), with its calls
/// counted and timed. Made by [`HttpFailoverLayer::metered`].
///
/// A call lasts until it is recorded, as the [module's documentation](crate::http) lists: usually
/// until the end of the body.
#[derive(Clone, Debug)]
pub struct HttpMetered<S, H = ServerErrorsAsFailures, Clk = FineClock> {
    service: S,
    classify: HttpClassify<H>,
    meter: Meter<Clk>,
}

impl<R, S, H, Clk, B> Service<R> for HttpMetered<S, H, Clk>
where
    S: Service<R, Response = Response<B>>,
    B: Body,
    H: Classify<Response<B>, S::Error> + Clone,
    Clk: Clock,
{
    type Response = Response<MeteredBody<B, Clk>>;
    type Error = S::Error;
    type Future = HttpMeteredFuture<S::Future, H, Clk>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let mut timing = self.meter.start();
        let call = timing.inside(|| self.service.call(request));
        HttpMeteredFuture { call, timing: Some(timing), classify: self.classify.clone() }
    }
}

pin_project! {
    /// The future of an [`HttpMetered`] call. It ends with the head of the response.
    ///
    /// # Cancel safety
    /// Dropping it drops the service's future and counts the call as dropped.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct HttpMeteredFuture<F, H, Clk = FineClock>
    where
        Clk: Clock,
    {
        #[pin]
        call: F,
        // Moves into the body when the head has arrived.
        timing: Option<Timing<Clk>>,
        classify: HttpClassify<H>,
    }
}

impl<F, H, Clk, B, E> Future for HttpMeteredFuture<F, H, Clk>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    H: Classify<Response<B>, E>,
    Clk: Clock,
{
    type Output = Result<Response<MeteredBody<B, Clk>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let timing = this.timing.as_mut().expect("a future is not polled after its end");
        let result = ready!(timing.inside(|| this.call.poll(context)));
        let (head, eos) = (this.classify.head(&result), this.classify.eos);
        if let Head::Final(outcome) = head {
            timing.on_eos(outcome);
        }
        let timing = this.timing.take().expect("it was there above");
        Poll::Ready(result.map(|response| {
            response.map(|body| MeteredBody {
                body: match head {
                    Head::Open => ObservedBody::new(body, timing, eos),
                    Head::Final(_) => ObservedBody::over(body, timing, eos),
                },
            })
        }))
    }
}

pin_project! {
    /// The body of an [`HttpMetered`] service's response. Its end is the end of the call.
    #[derive(Debug)]
    pub struct MeteredBody<B, Clk = FineClock>
    where
        Clk: Clock,
    {
        #[pin]
        body: ObservedBody<B, Timing<Clk>>,
    }
}

impl<B: Body, Clk: Clock> Body for MeteredBody<B, Clk> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts and times the calls of an HTTP failover. Made by [`HttpFailoverLayer::metered`].
#[derive(Clone, Debug)]
pub struct HttpMeteredLayer<L, H = ServerErrorsAsFailures, Clk = FineClock> {
    layer: L,
    classify: HttpClassify<H>,
    primary: Meter<Clk>,
}

impl<L, P, H, Clk> Layer<P> for HttpMeteredLayer<L, H, Clk>
where
    L: Layer<HttpMetered<P, H, Clk>>,
    H: Clone,
    Clk: Clone,
{
    type Service = L::Service;

    fn layer(&self, primary: P) -> L::Service {
        let (classify, meter) = (self.classify.clone(), self.primary.clone());
        self.layer.layer(HttpMetered { service: primary, classify, meter })
    }
}

impl<F, H, Clk: Clock, G, M> HttpMeteredLayer<HttpFailoverLayer<F, H, Clk>, G, M> {
    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<Clk> {
        self.layer.handle()
    }
}

impl<F, H: Clone, Clk: Clock> HttpFailoverLayer<F, H, Clk> {
    /// Exports the failover in [`Metrics`], including its calls. Call this last, after setting all
    /// options. A custom classifier of heads must accept any body type, since it also sees the
    /// metered body.
    ///
    /// ```
    /// use failover::Policy;
    /// use failover::http::HttpFailoverLayer;
    /// use failover::prometheus::Metrics;
    /// # let fallback = ();
    ///
    /// let metrics = Metrics::new();
    /// let layer = HttpFailoverLayer::new(fallback, Policy::default())
    ///     .named("greetings")
    ///     .metered(&metrics);
    /// ```
    #[must_use]
    #[expect(clippy::type_complexity, reason = "the type names each wrapper")]
    pub fn metered<M: Clock>(
        self,
        metrics: &Metrics<M>,
    ) -> HttpMeteredLayer<HttpFailoverLayer<HttpMetered<F, H, M>, H, Clk>, H, M> {
        let (cells, clock) = metrics.meter(&self.handle());
        let meter = |route| Meter { cells, route, clock: clock.clone() };
        let (fallback, classify, monitor, mark) = self.into_parts();
        let (meter, primary) = (meter(Route::Fallback), meter(Route::Primary));
        let fallback = HttpMetered { service: fallback, classify: classify.clone(), meter };
        let layer = HttpFailoverLayer::from_parts(fallback, classify.clone(), monitor, mark);
        HttpMeteredLayer { layer, classify, primary }
    }
}
