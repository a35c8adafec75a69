//! Calls over HTTP that are observed up to the end of the body.

use tower_layer::Layer;

use super::classify::HttpClassify;
use super::layer::HttpFailoverLayer;
use super::rescue::HttpRescuing;
use super::service::HttpFailover;
use crate::clock::Clock;
use crate::route::Route;
use crate::service::observed::Observed;
use crate::service::on_call::{Call, ObservedLayer, OnCall};
use crate::service::rescue::RescueLayer;
use crate::service::rescue::standby::RescuedClone;

impl<F, H: Clone, Clk: Clock> HttpFailoverLayer<F, H, Clk> {
    /// Calls `then` for each call to one of the two services: see
    /// [`FailoverLayer::on_call`](crate::service::layer::FailoverLayer::on_call). The call ends with
    /// its body, or at the head if that is final, as in the [module's documentation](crate::http);
    /// this holds for the fallback's calls too. A custom classifier must fit any body type, since it
    /// also sees the observed body: use [`HttpClassify::by_head`]. It classifies each call twice.
    ///
    /// ```
    /// use failover::Policy;
    /// use failover::http::HttpFailoverLayer;
    /// # let fallback = ();
    ///
    /// let layer = HttpFailoverLayer::with_fallback(fallback, Policy::default())
    ///     .named("greetings")
    ///     .on_call(|call| println!("{} {:?}", call.route.as_str(), call.duration));
    /// ```
    #[must_use]
    pub fn on_call(
        self,
        then: impl Fn(&Call<'_>) + Send + Sync + 'static,
    ) -> ObservedLayer<Self, OnCall, HttpClassify<H>> {
        let (handle, conclude) = (self.handle(), self.layer.classify.clone());
        ObservedLayer::new(self, OnCall::new(handle.clone(), then), conclude, handle)
    }
}

impl<F, H: Clone, Clk: Clock, S> RescueLayer<HttpFailoverLayer<F, H, Clk>, S> {
    /// Calls `then` for each call to one of the two services: see [`HttpFailoverLayer::on_call`]. A
    /// rescued call is two calls.
    #[must_use]
    pub fn on_call(
        self,
        then: impl Fn(&Call<'_>) + Send + Sync + 'static,
    ) -> ObservedLayer<Self, OnCall, HttpClassify<H>> {
        let (handle, conclude) = (self.handle(), self.layer.layer.classify.clone());
        ObservedLayer::new(self, OnCall::new(handle.clone(), then), conclude, handle)
    }
}

impl<P, F, H, Clk, O, D> Layer<P> for ObservedLayer<HttpFailoverLayer<F, H, Clk>, O, D>
where
    F: Clone,
    H: Clone,
    Clk: Clock,
    O: Clone,
    D: Clone,
{
    type Service = HttpFailover<Observed<P, O, D>, Observed<F, O, D>, H, Clk>;

    fn layer(&self, primary: P) -> Self::Service {
        let HttpFailoverLayer { layer, mark } = self.layer.clone();
        let layer = layer.map_fallback(|fallback| self.observe(fallback, Route::Fallback));
        HttpFailoverLayer { layer, mark }.layer(self.observe(primary, Route::Primary))
    }
}

impl<P, F, H, Clk, S, O, D> Layer<P>
    for ObservedLayer<RescueLayer<HttpFailoverLayer<F, H, Clk>, S>, O, D>
where
    F: Clone,
    H: Clone,
    Clk: Clock,
    S: Clone,
    O: Clone,
    D: Clone,
{
    type Service = HttpRescuing<Observed<P, O, D>, Observed<F, O, D>, S, H, Clk, RescuedClone>;

    fn layer(&self, primary: P) -> Self::Service {
        let RescueLayer { layer: HttpFailoverLayer { layer, mark }, rescue } = self.layer.clone();
        let layer = layer.map_fallback(|fallback| self.observe(fallback, Route::Fallback));
        let layer = RescueLayer { layer: HttpFailoverLayer { layer, mark }, rescue };
        layer.rescuing(self.observe(primary, Route::Primary), RescuedClone)
    }
}
