//! A closure that is called for each call to one of the two services, when it has ended.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use crate::clock::{Clock, Moment};
use crate::monitor::handle::FailoverHandle;
use crate::outcome::Outcome;
use crate::route::Route;
use crate::service::Failover;
use crate::service::layer::FailoverLayer;
use crate::service::observed::{Attempt, ByResult, ObserveCalls, Observed};
use crate::service::rescue::standby::RescuedClone;
use crate::service::rescue::{RescueLayer, Rescuing};
use crate::service::timing::{Report, Timing};

/// A call to the primary or to the fallback that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The failover's [name](FailoverHandle::name); `None` without one.
    pub name: Option<&'a str>,
    /// The service that was called.
    pub route: Route,
    /// The outcome by the failover's classifier, for calls to the fallback too; `None` if the call was
    /// dropped before it ended. A panic is a failure.
    pub outcome: Option<Outcome>,
    /// From the beginning of the call to its outcome, without readiness; over HTTP, usually until the
    /// end of the body. By the [precise](Clock::now_precise) time of the failover's clock.
    pub duration: Duration,
    /// Whether this call is a [rescue](crate::service::rescue::Rescue): the second attempt of a call
    /// whose first one, to the other service, failed and was reported before.
    pub rescued: bool,
}

impl Call<'_> {
    /// A label for logs and metrics: `success`, `failure`, `ignored`, `dropped`.
    #[must_use]
    pub fn outcome_str(&self) -> &'static str {
        self.outcome.map_or("dropped", Outcome::as_str)
    }
}

/// Passes the calls of a failover to a closure: see [`FailoverLayer::on_call`].
#[derive(Clone)]
pub struct OnCall(Arc<Reporter<Then>>);

type Then = dyn Fn(&Call<'_>) + Send + Sync;

struct Reporter<T: ?Sized> {
    handle: FailoverHandle,
    then: T,
}

impl OnCall {
    pub(crate) fn new(
        handle: FailoverHandle,
        then: impl Fn(&Call<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Reporter { handle, then }))
    }
}

impl ObserveCalls for OnCall {
    type Call = Timing<Self>;

    fn start(&self, attempt: Attempt) -> Timing<Self> {
        Timing::start(self, attempt)
    }
}

impl Report for OnCall {
    fn now(&self) -> Moment {
        self.0.handle.now_precise()
    }

    fn report(&self, attempt: Attempt, outcome: Option<Outcome>, nanos: u64) {
        let Reporter { handle, then } = &*self.0;
        let (route, rescued) = (attempt.route(), attempt.is_rescue());
        let duration = Duration::from_nanos(nanos);
        let call = Call { name: handle.name(), route, outcome, duration, rescued };
        // Caught, since a call may end by a drop while its thread unwinds. The panic hook has reported
        // it.
        let _ = catch_unwind(AssertUnwindSafe(|| then(&call)));
    }
}

impl fmt::Debug for OnCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCall").field("name", &self.0.handle.name()).finish_non_exhaustive()
    }
}

/// A layer `L` whose two services `O` observes. Made by [`FailoverLayer::on_call`] and by `metered`
/// with the feature `prometheus`, and by the same methods of the other layers.
///
/// The service is that of `L`, with each of the two services in an
/// [`Observed`](crate::service::watched::Observed):
///
/// ```
/// use std::future::{Ready, ready};
/// use failover::on_call::OnCall;
/// use failover::watched::{ByResult, Observed};
/// use failover::{Failover, FailoverLayer, Policy};
/// # use failover::classify::ErrorsAsFailures;
/// use tower::Layer;
///
/// # #[derive(Clone)]
/// struct Client;
/// # impl tower::Service<u32> for Client {
/// #     type Response = u32;
/// #     type Error = String;
/// #     type Future = Ready<Result<u32, String>>;
/// #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), String>> {
/// #         std::task::Poll::Ready(Ok(()))
/// #     }
/// #     fn call(&mut self, request: u32) -> Self::Future { ready(Ok(request)) }
/// # }
/// type ObservedClient = Observed<Client, OnCall, ByResult<ErrorsAsFailures>>;
/// struct App {
///     client: Failover<ObservedClient, ObservedClient>,
/// }
/// let layer = FailoverLayer::with_fallback(Client, Policy::default()).on_call(|call| drop(call));
/// let app = App { client: layer.layer(Client) };
/// # let _ = app.client.handle();
/// ```
#[derive(Clone, Debug)]
pub struct ObservedLayer<L, O, D> {
    pub(crate) layer: L,
    pub(crate) observer: O,
    pub(crate) conclude: D,
    handle: FailoverHandle,
}

impl<L, O, D> ObservedLayer<L, O, D> {
    /// `conclude` decides the outcome that `observer` sees.
    pub(crate) fn new(layer: L, observer: O, conclude: D, handle: FailoverHandle) -> Self {
        Self { layer, observer, conclude, handle }
    }

    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        self.handle.clone()
    }

    /// Calls `then` for each call as well: see [`FailoverLayer::on_call`].
    #[must_use]
    pub fn on_call(
        self,
        then: impl Fn(&Call<'_>) + Send + Sync + 'static,
    ) -> ObservedLayer<L, (O, OnCall), D> {
        let on_call = OnCall::new(self.handle(), then);
        self.and(on_call)
    }

    /// Another observer as well.
    pub(crate) fn and<B>(self, observer: B) -> ObservedLayer<L, (O, B), D> {
        let Self { layer, observer: first, conclude, handle } = self;
        ObservedLayer { layer, observer: (first, observer), conclude, handle }
    }

    pub(crate) fn observe<S>(&self, service: S, route: Route) -> Observed<S, O, D>
    where
        O: Clone,
        D: Clone,
    {
        Observed::new(service, self.observer.clone(), self.conclude.clone(), route)
    }
}

impl<F, C: Clone, Clk: Clock> FailoverLayer<F, C, Clk> {
    /// Calls `then` for each call to one of the two services: once, when it has ended or is dropped.
    /// Call this last, after setting all options but `metered`.
    ///
    /// It runs on the thread that polls or drops the call, which waits for it: count, log, or send to
    /// a channel. A panic in it is caught, and changes nothing for the call. A service that fails to
    /// become ready is not a call.
    ///
    /// Costs a call two readings of the [precise](Clock::now_precise) clock (20 to 30 ns each), a
    /// reference count, and a second run of the classifier; without it a call pays nothing.
    ///
    /// The failover's classifier classifies each result of the primary a second time, for the closure: one
    /// with side effects, such as a counter, has them twice.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use failover::{FailoverLayer, Policy, Rescue};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let primary = service_fn(|_: u32| async { Err::<u32, _>("down") });
    /// let fallback = service_fn(|request: u32| async move { Ok::<_, &str>(request) });
    ///
    /// let lines = Arc::new(Mutex::new(Vec::new()));
    /// let log = Arc::clone(&lines);
    /// let service = FailoverLayer::with_fallback(fallback, Policy::default())
    ///     .named("valuations")
    ///     .rescue(Rescue::cloning())
    ///     .on_call(move |call| {
    ///         let (route, outcome) = (call.route.as_str(), call.outcome_str());
    ///         log.lock().unwrap().push((route, outcome, call.rescued));
    ///     })
    ///     .layer(primary);
    /// assert_eq!(service.oneshot(7).await, Ok(7));
    /// let expected = [("primary", "failure", false), ("fallback", "success", true)];
    /// assert_eq!(*lines.lock().unwrap(), expected);
    /// # }
    /// ```
    #[must_use]
    pub fn on_call(
        self,
        then: impl Fn(&Call<'_>) + Send + Sync + 'static,
    ) -> ObservedLayer<Self, OnCall, ByResult<C>> {
        let (handle, conclude) = (self.handle(), ByResult(self.classify.clone()));
        ObservedLayer::new(self, OnCall::new(handle.clone(), then), conclude, handle)
    }
}

impl<F, C: Clone, Clk: Clock, S> RescueLayer<FailoverLayer<F, C, Clk>, S> {
    /// Calls `then` for each call to one of the two services: see [`FailoverLayer::on_call`]. A rescued
    /// call is two calls.
    #[must_use]
    pub fn on_call(
        self,
        then: impl Fn(&Call<'_>) + Send + Sync + 'static,
    ) -> ObservedLayer<Self, OnCall, ByResult<C>> {
        let (handle, conclude) = (self.handle(), ByResult(self.layer.classify.clone()));
        ObservedLayer::new(self, OnCall::new(handle.clone(), then), conclude, handle)
    }
}

impl<P, F, C, Clk, O, D> Layer<P> for ObservedLayer<FailoverLayer<F, C, Clk>, O, D>
where
    F: Clone,
    C: Clone,
    Clk: Clock,
    O: Clone,
    D: Clone,
{
    type Service = Failover<Observed<P, O, D>, Observed<F, O, D>, C, Clk>;

    fn layer(&self, primary: P) -> Self::Service {
        let FailoverLayer { fallback, classify, monitor } = self.layer.clone();
        let primary = self.observe(primary, Route::Primary);
        Failover::from_parts(primary, self.observe(fallback, Route::Fallback), classify, monitor)
    }
}

impl<P, F, S, C, Clk, O, D> Layer<P>
    for ObservedLayer<RescueLayer<FailoverLayer<F, C, Clk>, S>, O, D>
where
    F: Clone,
    S: Clone,
    C: Clone,
    Clk: Clock,
    O: Clone,
    D: Clone,
{
    type Service =
        Rescuing<Observed<P, O, D>, Observed<F, O, D>, S, ByResult<C>, Clk, RescuedClone>;

    fn layer(&self, primary: P) -> Self::Service {
        let RescueLayer { layer, rescue } = self.layer.clone();
        let layer = layer.map_fallback(|fallback| self.observe(fallback, Route::Fallback));
        let layer = RescueLayer { layer, rescue };
        layer.rescuing(self.observe(primary, Route::Primary), RescuedClone)
    }
}
