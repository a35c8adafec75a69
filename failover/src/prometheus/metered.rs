//! The two services of a failover, with their calls counted and timed.

use std::mem;

use tower_layer::Layer;

use super::cells::Cells;
use super::registry::Metrics;
use crate::clock::{Clock, FineClock, Moment};
use crate::engine::ticket::guard;
use crate::monitor::handle::FailoverHandle;
use crate::outcome::Outcome;
use crate::route::Route;
use crate::service::layer::FailoverLayer;
use crate::service::observed::{ByResult, ObserveCalls, Observed, ObservedCall};
use crate::service::rescue::RescueLayer;

/// Counts and times the calls of one route.
#[derive(Clone, Debug)]
pub struct Meter<Clk = FineClock> {
    cells: &'static Cells,
    route: Route,
    clock: Clk,
}

impl<Clk: Clock> ObserveCalls for Meter<Clk> {
    type Call = Timing<Clk>;

    #[inline]
    fn start(&self) -> Timing<Clk> {
        Timing { since: self.clock.now(), meter: self.clone(), over: false }
    }
}

/// A call in flight. It is counted once: when it ends, or when it is dropped.
#[derive(Debug)]
pub struct Timing<Clk: Clock> {
    meter: Meter<Clk>,
    since: Moment,
    over: bool,
}

impl<Clk: Clock> Timing<Clk> {
    #[inline]
    fn count(&mut self, outcome: Option<Outcome>) {
        if !self.over {
            self.over = true;
            let nanos = self.meter.clock.now().nanos_since(self.since);
            self.meter.cells.count(self.meter.route, outcome, nanos);
        }
    }
}

impl<Clk: Clock> ObservedCall for Timing<Clk> {
    #[inline]
    fn guard<T>(&mut self, run: impl FnOnce() -> T) -> T {
        guard(run, || self.count(Some(Outcome::Failure)))
    }

    #[inline]
    fn end(&mut self, outcome: Outcome) {
        self.count(Some(outcome));
    }

    fn take(&mut self) -> Self {
        let over = mem::replace(&mut self.over, true);
        Self { meter: self.meter.clone(), since: self.since, over }
    }
}

impl<Clk: Clock> Drop for Timing<Clk> {
    #[inline]
    fn drop(&mut self) {
        self.count(None);
    }
}

/// The primary or the fallback of a failover, with its calls counted and timed. Made by
/// [`FailoverLayer::metered`].
///
/// A call lasts from `call` to its outcome, without readiness; over HTTP, usually until the end of
/// the body. A panic is a failure. A primary that fails to become ready is not counted.
pub type Metered<S, D, Clk = FineClock> = Observed<S, Meter<Clk>, D>;

/// Counts and times the calls of the failover that `L` makes. Made by [`FailoverLayer::metered`],
/// [`RescueLayer::metered`] and `HttpFailoverLayer::metered`.
#[derive(Clone, Debug)]
pub struct MeteredLayer<L, D, M = FineClock> {
    layer: L,
    conclude: D,
    meter: Meter<M>,
    handle: FailoverHandle,
}

impl<L, D, M> MeteredLayer<L, D, M> {
    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        self.handle.clone()
    }

    /// With another layer around the failover.
    pub(crate) fn map<N>(self, map: impl FnOnce(L) -> N) -> MeteredLayer<N, D, M> {
        let Self { layer, conclude, meter, handle } = self;
        MeteredLayer { layer: map(layer), conclude, meter, handle }
    }
}

impl<L, P, D, M> Layer<P> for MeteredLayer<L, D, M>
where
    L: Layer<Metered<P, D, M>>,
    D: Clone,
    M: Clone,
{
    type Service = L::Service;

    fn layer(&self, service: P) -> L::Service {
        let (observer, conclude) = (self.meter.clone(), self.conclude.clone());
        self.layer.layer(Observed { service, observer, conclude })
    }
}

impl<F, C: Clone, Clk: Clock> FailoverLayer<F, C, Clk> {
    /// Exports the failover in [`Metrics`], including its calls: both services are wrapped. The
    /// [module's documentation](crate::prometheus) lists the cost.
    ///
    /// Call this last, after setting all options.
    #[must_use]
    #[expect(clippy::type_complexity, reason = "the type names each wrapper")]
    pub fn metered<M: Clock>(
        self,
        metrics: &Metrics<M>,
    ) -> MeteredLayer<FailoverLayer<Metered<F, ByResult<C>, M>, C, Clk>, ByResult<C>, M> {
        let conclude = ByResult(self.classify.clone());
        self.metered_by(metrics, conclude)
    }

    #[expect(clippy::type_complexity, reason = "the type names each wrapper")]
    pub(crate) fn metered_by<D: Clone, M: Clock>(
        self,
        metrics: &Metrics<M>,
        conclude: D,
    ) -> MeteredLayer<FailoverLayer<Metered<F, D, M>, C, Clk>, D, M> {
        let handle = self.handle();
        let (cells, clock) = metrics.meter(&handle);
        let meter = Meter { cells, clock, route: Route::Primary };
        let observer = Meter { route: Route::Fallback, ..meter.clone() };
        let of_fallback = conclude.clone();
        let layer =
            self.map_fallback(|service| Observed { service, observer, conclude: of_fallback });
        MeteredLayer { layer, conclude, meter, handle }
    }
}

impl<F, C: Clone, Clk: Clock, S> RescueLayer<FailoverLayer<F, C, Clk>, S> {
    /// Exports the failover in [`Metrics`]: see [`FailoverLayer::metered`]. A rescued call counts
    /// as two calls, one on each route.
    ///
    /// ```
    /// use failover::prometheus::Metrics;
    /// use failover::{FailoverLayer, Policy, Rescue};
    /// # use tower::service_fn;
    /// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
    ///
    /// let layer = FailoverLayer::with_fallback(fallback, Policy::default())
    ///     .named("valuations")
    ///     .rescue(Rescue::cloning())
    ///     .metered(&Metrics::new());
    /// ```
    #[must_use]
    #[expect(clippy::type_complexity, reason = "the type names each wrapper")]
    pub fn metered<M: Clock>(
        self,
        metrics: &Metrics<M>,
    ) -> MeteredLayer<
        RescueLayer<FailoverLayer<Metered<F, ByResult<C>, M>, C, Clk>, S>,
        ByResult<C>,
        M,
    > {
        let Self { layer, rescue } = self;
        layer.metered(metrics).map(|layer| layer.rescue(rescue))
    }
}
