//! Features `http` and `prometheus` together: calls counted and timed up to the end of the body.

use super::classify::HttpClassify;
use super::layer::HttpFailoverLayer;
use crate::clock::Clock;
use crate::prometheus::{Metered, MeteredLayer, Metrics};

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
