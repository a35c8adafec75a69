//! A failover per key, the key taken from each request.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::classify::{Classify, ErrorsAsFailures};
use crate::clock::{Clock, CoarseClock};
use crate::error::Error;
use crate::monitor::Monitor;
use crate::monitor::keyed::KeyedMonitors;
use crate::service::Failover;
use crate::service::oneshot::Oneshot;

/// Wraps a primary into a [`KeyedFailover`]. Made by [`KeyedMonitors::layer`].
#[derive(Clone, Debug)]
pub struct KeyedLayer<F, S, K, C = ErrorsAsFailures, Clk = CoarseClock> {
    fallback: F,
    key: S,
    classify: C,
    registry: KeyedMonitors<K, Clk>,
}

impl<K: Clone, Clk: Clock> KeyedMonitors<K, Clk> {
    /// Wraps a primary into a [`KeyedFailover`] with the key that `key` returns for each request.
    pub fn layer<F, S>(&self, fallback: F, key: S) -> KeyedLayer<F, S, K, ErrorsAsFailures, Clk> {
        KeyedLayer { fallback, key, classify: ErrorsAsFailures, registry: self.clone() }
    }
}

impl<F, S, K, C, Clk> KeyedLayer<F, S, K, C, Clk> {
    /// Replaces the [`Classify`] that decides whether a call failed.
    #[cfg_attr(
        feature = "http",
        doc = "
Over HTTP, by the head of the response:

```
use failover::Policy;
use failover::http::HttpClassify;
use failover::monitor::KeyedMonitors;
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};

# #[tokio::main(flavor = \"current_thread\")]
# async fn main() -> Result<(), Box<dyn std::error::Error>> {
let busy = service_fn(|_: Request<()>| async {
    Response::builder().status(503).body(()).map_err(std::io::Error::other)
});
let fallback = service_fn(|_: Request<()>| async { Ok::<_, std::io::Error>(Response::new(())) });

let hosts = KeyedMonitors::new(Policy::default(), 1_000);
let service = hosts
    .layer(fallback, |request: &Request<()>| request.uri().host().map(str::to_owned))
    .classify(HttpClassify::new())
    .layer(busy);
service.oneshot(Request::get(\"http://a.example/\").body(())?).await?;
assert_eq!(hosts.handle(&Some(\"a.example\".to_owned())).unwrap().snapshot().tally.failures, 1);
# Ok(())
# }
```"
    )]
    #[must_use]
    pub fn classify<D>(self, classify: D) -> KeyedLayer<F, S, K, D, Clk> {
        KeyedLayer { fallback: self.fallback, key: self.key, classify, registry: self.registry }
    }
}

impl<P, F: Clone, S: Clone, K: Clone, C: Clone, Clk: Clone> Layer<P>
    for KeyedLayer<F, S, K, C, Clk>
{
    type Service = KeyedFailover<P, F, S, K, C, Clk>;

    fn layer(&self, primary: P) -> Self::Service {
        KeyedFailover { primary, layer: self.clone() }
    }
}

/// A [`Failover`] per key, the key taken from each request: a failing host sends only its own calls
/// to the fallback.
///
/// # Readiness
/// Tower polls readiness before it passes the request, but the request decides the route, and
/// making both services ready would take permits that no call uses. So `poll_ready` is always
/// ready; each call clones the two services, chooses the route by its key, and waits in its future
/// until that service is ready. Therefore:
///
/// - Back-pressure does not reach the caller: any number of calls wait. Bound them with a
///   concurrency limit around this service.
/// - Services whose permits belong to one clone, such as a rate limit, must share them (tower's
///   `Buffer` does).
/// - An error of the fallback's readiness is returned as the call's result.
///
/// Otherwise the contract is that of a [`Failover`]. For rescue or other options, build one service
/// per key: `FailoverLayer::with_monitor(fallback, registry.monitor(&key))`.
///
/// # Over HTTP
/// By default only errors are failures, so a 503 is a success. With feature `http`, pass
/// `HttpClassify::new()` to [`classify`](KeyedLayer::classify): it classifies by the head of the response. The
/// end of the body is not seen; for that, build one `HttpFailoverLayer::with_monitor` per key.
///
/// # Cost
/// Per call: a lookup in the [`KeyedMonitors`], clones of both services and the classifier, and two
/// reference counts.
///
/// ```
/// use failover::{Policy, Route};
/// use failover::monitor::KeyedMonitors;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// type Request = (&'static str, u32);
/// let primary = service_fn(|(host, _): Request| async move {
///     if host == "down.example" { Err("refused") } else { Ok("primary") }
/// });
/// let fallback = service_fn(|_: Request| async { Ok::<_, &str>("fallback") });
///
/// let hosts = KeyedMonitors::new(Policy::default(), 1_000);
/// let service = hosts.layer(fallback, |request: &Request| request.0).layer(primary);
/// for call in 0..10 {
///     assert!(service.clone().oneshot(("down.example", call)).await.is_err());
/// }
/// assert_eq!(service.clone().oneshot(("down.example", 10)).await, Ok("fallback"));
/// assert_eq!(service.oneshot(("up.example", 11)).await, Ok("primary"));
/// assert_eq!(hosts.handle(&"down.example").unwrap().snapshot().route, Route::Fallback);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KeyedFailover<P, F, S, K, C = ErrorsAsFailures, Clk = CoarseClock> {
    primary: P,
    layer: KeyedLayer<F, S, K, C, Clk>,
}

impl<P, F, S, K, C, Clk> KeyedFailover<P, F, S, K, C, Clk> {
    /// The monitors of all keys.
    #[must_use]
    pub fn registry(&self) -> &KeyedMonitors<K, Clk> {
        &self.layer.registry
    }

    /// Calls the service of the key's route, once it is ready: tower's `ready` and `call`.
    ///
    /// # Errors
    /// The error of the service that was called, or that failed to become ready.
    ///
    /// # Cancel safety
    /// Dropping the future drops the call.
    pub async fn send<R>(&mut self, request: R) -> Result<P::Response, Error<P::Error, F::Error>>
    where
        P: Service<R> + Clone,
        F: Service<R, Response = P::Response> + Clone,
        S: Fn(&R) -> K,
        K: Hash + Eq + Clone + Send + Sync + 'static,
        Clk: Clock,
        C: Classify<P::Response, P::Error> + Clone,
    {
        self.call(request).await
    }
}

impl<R, P, F, S, K, C, Clk> Service<R> for KeyedFailover<P, F, S, K, C, Clk>
where
    P: Service<R> + Clone,
    F: Service<R, Response = P::Response> + Clone,
    S: Fn(&R) -> K,
    K: Hash + Eq + Clone + Send + Sync + 'static,
    Clk: Clock,
    C: Classify<P::Response, P::Error> + Clone,
{
    type Response = P::Response;
    type Error = Error<P::Error, F::Error>;
    type Future = KeyedFuture<R, P, F, C, Clk>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let KeyedLayer { fallback, key, classify, registry } = &self.layer;
        let monitor = registry.monitor(&key(&request));
        let (primary, fallback) = (self.primary.clone(), fallback.clone());
        let service = Failover::from_parts(primary, fallback, classify.clone(), monitor.clone());
        KeyedFuture { call: Oneshot::new(service, request), _monitor: monitor }
    }
}

pin_project! {
    /// The future of a call through a [`KeyedFailover`]. Its key is not evicted while it lives.
    ///
    /// # Cancel safety
    /// The same as for a [`Failover`].
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyedFuture<R, P, F, C, Clk>
    where
        P: Service<R>,
        F: Service<R, Response = P::Response>,
        C: Classify<P::Response, P::Error>,
        C: Clone,
        Clk: Clock,
    {
        #[pin]
        call: Oneshot<Failover<P, F, C, Clk>, R>,
        _monitor: Monitor<Clk>,
    }
}

impl<R, P, F, C, Clk> Future for KeyedFuture<R, P, F, C, Clk>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    C: Classify<P::Response, P::Error> + Clone,
    Clk: Clock,
{
    type Output = Result<P::Response, Error<P::Error, F::Error>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().call.poll(context)
    }
}

impl<R, P, F, C, Clk> fmt::Debug for KeyedFuture<R, P, F, C, Clk>
where
    P: Service<R>,
    F: Service<R, Response = P::Response>,
    C: Classify<P::Response, P::Error> + Clone,
    Clk: Clock,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedFuture").finish_non_exhaustive()
    }
}
