//! Features `http` and `prometheus` together: calls counted and timed up to the end of the body.

use super::classify::HttpClassify;
use super::layer::HttpFailoverLayer;
use crate::clock::Clock;
use crate::prometheus::{MeteredLayer, Metrics};
use crate::service::rescue::RescueLayer;

impl<F, H: Clone, Clk: Clock> HttpFailoverLayer<F, H, Clk> {
    /// Exports the failover in [`Metrics`], including its calls. Call this last, after setting all
    /// options but `on_call`. A custom classifier must fit any body type, since it also sees the metered
    /// body: use [`HttpClassify::by_head`].
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
    pub fn metered<M: Clock>(self, metrics: &Metrics<M>) -> MeteredLayer<Self, HttpClassify<H>, M> {
        let (handle, conclude) = (self.handle(), self.layer.classify.clone());
        metrics.observe(self, conclude, handle)
    }
}

impl<F, H: Clone, Clk: Clock, S> RescueLayer<HttpFailoverLayer<F, H, Clk>, S> {
    /// Exports the failover in [`Metrics`]: see [`HttpFailoverLayer::metered`]. A rescued call counts
    /// as two calls, one on each route.
    #[must_use]
    pub fn metered<M: Clock>(self, metrics: &Metrics<M>) -> MeteredLayer<Self, HttpClassify<H>, M> {
        let (handle, conclude) = (self.handle(), self.layer.layer.classify.clone());
        metrics.observe(self, conclude, handle)
    }
}
