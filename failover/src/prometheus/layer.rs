//! Wraps a primary and its fallback so that their calls are counted and timed.

use tower_layer::Layer;

use super::metered::{Meter, Metered};
use super::registry::Metrics;
use crate::clock::{Clock, FineClock};
use crate::monitor::handle::FailoverHandle;
use crate::route::Route;
use crate::service::layer::FailoverLayer;
use crate::service::rescue::RescueLayer;

/// Counts and times the calls of the failover that `L` makes. Made by
/// [`FailoverLayer::metered`] and [`RescueLayer::metered`].
#[derive(Clone, Debug)]
pub struct MeteredLayer<L, C, Clk = FineClock> {
    layer: L,
    classify: C,
    primary: Meter<Clk>,
}

impl<L, P, C, Clk> Layer<P> for MeteredLayer<L, C, Clk>
where
    L: Layer<Metered<P, C, Clk>>,
    C: Clone,
    Clk: Clone,
{
    type Service = L::Service;

    fn layer(&self, primary: P) -> L::Service {
        self.layer.layer(Metered::new(primary, self.classify.clone(), self.primary.clone()))
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
    ) -> MeteredLayer<FailoverLayer<Metered<F, C, M>, C, Clk>, C, M> {
        let (cells, clock) = metrics.meter(&self.handle());
        let meter = |route| Meter { cells, route, clock: clock.clone() };
        let (fallback, classify, monitor) = self.into_parts();
        let fallback = Metered::new(fallback, classify.clone(), meter(Route::Fallback));
        MeteredLayer {
            layer: FailoverLayer::with_monitor(fallback, monitor).classify(classify.clone()),
            classify,
            primary: meter(Route::Primary),
        }
    }
}

impl<F, S, C: Clone, Clk: Clock> RescueLayer<F, S, C, Clk> {
    /// Exports the failover in [`Metrics`]: see [`FailoverLayer::metered`]. A rescued call counts
    /// as two calls, one on each route.
    ///
    /// ```
    /// use failover::prometheus::Metrics;
    /// use failover::{FailoverLayer, Policy, Rescue};
    /// # use tower::service_fn;
    /// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
    ///
    /// let layer = FailoverLayer::new(fallback, Policy::default())
    ///     .named("valuations")
    ///     .rescue(Rescue::cloning())
    ///     .metered(&Metrics::new());
    /// ```
    #[must_use]
    #[expect(clippy::type_complexity, reason = "the type names each wrapper")]
    pub fn metered<M: Clock>(
        self,
        metrics: &Metrics<M>,
    ) -> MeteredLayer<RescueLayer<Metered<F, C, M>, S, C, Clk>, C, M> {
        let (layer, rescue) = self.into_parts();
        let MeteredLayer { layer, classify, primary } = layer.metered(metrics);
        MeteredLayer { layer: layer.rescue(rescue), classify, primary }
    }
}

impl<F, C, Clk: Clock, D, M> MeteredLayer<FailoverLayer<F, C, Clk>, D, M> {
    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<Clk> {
        self.layer.handle()
    }
}

impl<F, S, C, Clk: Clock, D, M> MeteredLayer<RescueLayer<F, S, C, Clk>, D, M> {
    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<Clk> {
        self.layer.handle()
    }
}
