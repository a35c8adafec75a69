//! Features `http` and `prometheus` together: calls counted and timed up to the end of the body.

use super::classify::HttpClassify;
use super::layer::HttpFailoverLayer;
use crate::clock::Clock;
use crate::prometheus::{Metered, MeteredLayer, Metrics};
use crate::service::rescue::RescueLayer;

impl<F, H: Clone, Clk: Clock> HttpFailoverLayer<F, H, Clk> {
    /// Exports the failover in [`Metrics`], including its calls. Call this last, after setting all
    /// options. A custom classifier must fit any body type, since it also sees the metered body: use
    /// [`HttpClassify::by_head`].
    ///
    /// ```
    /// use failover::Policy;
    /// use failover::http::HttpFailoverLayer;
    /// use failover::prometheus::Metrics;
    /// # let fallback = ();
    ///
    /// let metrics = Metrics::new();
    /// let layer = HttpFailoverLayer::with_fallback(fallback, Policy::default())
    ///     .named("greetings")
    ///     .metered(&metrics);
    /// ```
    #[must_use]
    #[expect(clippy::type_complexity, reason = "the type names each wrapper")]
    pub fn metered<M: Clock>(
        self,
        metrics: &Metrics<M>,
    ) -> MeteredLayer<HttpFailoverLayer<Metered<F, HttpClassify<H>, M>, H, Clk>, HttpClassify<H>, M>
    {
        let Self { layer, mark } = self;
        let classify = layer.classify.clone();
        layer.metered_by(metrics, classify).map(|layer| HttpFailoverLayer { layer, mark })
    }
}

impl<F, H: Clone, Clk: Clock, S> RescueLayer<HttpFailoverLayer<F, H, Clk>, S> {
    /// Exports the failover in [`Metrics`]: see [`HttpFailoverLayer::metered`]. A rescued call counts
    /// as two calls, one on each route.
    #[must_use]
    #[expect(clippy::type_complexity, reason = "the type names each wrapper")]
    pub fn metered<M: Clock>(
        self,
        metrics: &Metrics<M>,
    ) -> MeteredLayer<
        RescueLayer<HttpFailoverLayer<Metered<F, HttpClassify<H>, M>, H, Clk>, S>,
        HttpClassify<H>,
        M,
    > {
        let Self { layer, rescue } = self;
        layer.metered(metrics).map(|layer| layer.rescue(rescue))
    }
}
