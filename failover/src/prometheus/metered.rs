//! The two services of a failover, with their calls counted and timed.

use super::cells::Cells;
use super::registry::Metrics;
use crate::clock::{Clock, FineClock, Moment};
use crate::monitor::handle::FailoverHandle;
use crate::outcome::Outcome;
use crate::service::layer::FailoverLayer;
use crate::service::observed::{Attempt, ByResult, ObserveCalls, Observed};
use crate::service::on_call::ObservedLayer;
use crate::service::rescue::RescueLayer;
use crate::service::timing::{Report, Timing};

/// Counts and times the calls of a failover.
#[derive(Clone, Debug)]
pub struct Meter<Clk = FineClock> {
    cells: &'static Cells,
    clock: Clk,
}

impl<Clk: Clock> ObserveCalls for Meter<Clk> {
    type Call = Timing<Self>;

    #[inline]
    fn start(&self, attempt: Attempt) -> Timing<Self> {
        Timing::start(self, attempt)
    }
}

impl<Clk: Clock> Report for Meter<Clk> {
    #[inline]
    fn now(&self) -> Moment {
        self.clock.now()
    }

    #[inline]
    fn report(&self, attempt: Attempt, outcome: Option<Outcome>, nanos: u64) {
        self.cells.count(attempt.route(), outcome, nanos);
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
pub type MeteredLayer<L, D, M = FineClock> = ObservedLayer<L, Meter<M>, D>;

impl<Clk: Clock> Metrics<Clk> {
    /// Observes the calls of the failover that `layer` makes.
    pub(crate) fn observe<L, D>(
        &self,
        layer: L,
        conclude: D,
        handle: FailoverHandle,
    ) -> MeteredLayer<L, D, Clk> {
        let meter = self.meter(&handle);
        ObservedLayer::new(layer, meter, conclude, handle)
    }

    fn meter(&self, handle: &FailoverHandle) -> Meter<Clk> {
        let (cells, clock) = self.cells(handle);
        Meter { cells, clock }
    }
}

impl<F, C: Clone, Clk: Clock> FailoverLayer<F, C, Clk> {
    /// Exports the failover in [`Metrics`], including its calls: both services are wrapped. The
    /// [module's documentation](crate::prometheus) lists the cost.
    ///
    /// Call this last, after setting all options but `on_call`.
    #[must_use]
    pub fn metered<M: Clock>(self, metrics: &Metrics<M>) -> MeteredLayer<Self, ByResult<C>, M> {
        let (handle, conclude) = (self.handle(), ByResult(self.classify.clone()));
        metrics.observe(self, conclude, handle)
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
    pub fn metered<M: Clock>(self, metrics: &Metrics<M>) -> MeteredLayer<Self, ByResult<C>, M> {
        let (handle, conclude) = (self.handle(), ByResult(self.layer.classify.clone()));
        metrics.observe(self, conclude, handle)
    }
}

impl<L, O, D> ObservedLayer<L, O, D> {
    /// Exports the failover in [`Metrics`] as well: see [`FailoverLayer::metered`].
    #[must_use]
    pub fn metered<M: Clock>(self, metrics: &Metrics<M>) -> ObservedLayer<L, (O, Meter<M>), D> {
        let meter = metrics.meter(&self.handle());
        self.and(meter)
    }
}
