//! Wraps a primary with a fallback.

use std::sync::Arc;

use tower_layer::Layer;

use crate::classify::ErrorsAsFailures;
use crate::clock::{Clock, CoarseClock};
use crate::event::Observe;
use crate::monitor::Monitor;
use crate::monitor::handle::FailoverHandle;
use crate::policy::Policy;
use crate::service::Failover;

/// Wraps a primary into a [`Failover`].
///
/// The state belongs to the layer: **all services that one layer makes, and all their clones, share
/// one window and one route.** Use one layer per primary.
///
/// ```
/// use failover::{FailoverLayer, Policy};
/// use tower::{Layer, service_fn};
///
/// let primary = service_fn(|_: ()| async { Ok::<_, std::io::Error>("primary") });
/// let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>("fallback") });
/// let layer = FailoverLayer::with_fallback(fallback, Policy::default());
/// let handle = layer.handle();
/// let service = layer.layer(primary);
/// ```
#[derive(Clone, Debug)]
pub struct FailoverLayer<F, C = ErrorsAsFailures, Clk = CoarseClock> {
    pub(crate) fallback: F,
    pub(crate) classify: C,
    pub(crate) monitor: Monitor<Clk>,
}

impl<F> FailoverLayer<F> {
    /// A layer around a primary, with this fallback. Counts every error of the primary as a failure, and
    /// uses the [`CoarseClock`].
    #[must_use]
    pub fn with_fallback(fallback: F, policy: Policy) -> Self {
        Self::with_monitor(fallback, Monitor::new(policy))
    }
}

impl<F, Clk: Clock> FailoverLayer<F, ErrorsAsFailures, Clk> {
    /// Uses an existing monitor, shared with calls that don't go through tower or with another
    /// layer.
    #[must_use]
    pub fn with_monitor(fallback: F, monitor: Monitor<Clk>) -> Self {
        Self { fallback, classify: ErrorsAsFailures, monitor }
    }
}

impl<F, C, Clk: Clock> FailoverLayer<F, C, Clk> {
    /// Replaces the classifier, which decides whether a call failed.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> FailoverLayer<F, D, Clk> {
        FailoverLayer { fallback: self.fallback, classify, monitor: self.monitor }
    }

    /// Uses another clock. The policy, the name and the observers stay; the state starts anew: what
    /// [`force`](crate::monitor::handle::FailoverHandle::force) or
    /// [`restore`](crate::monitor::handle::FailoverHandle::restore) set is lost. Call them afterwards.
    ///
    /// ```
    /// use failover::{FailoverLayer, Policy};
    /// use failover::clock::FineClock;
    /// # let fallback = ();
    ///
    /// let layer = FailoverLayer::with_fallback(fallback, Policy::default()).clock(FineClock);
    /// ```
    ///
    /// # Panics
    /// If something else already uses the failover on its old clock: a handle, a service, a clone of
    /// the layer, or [`watch_fallback`](Self::watch_fallback). It would be left with a state that no
    /// call changes.
    #[must_use]
    pub fn clock<D: Clock>(self, clock: D) -> FailoverLayer<F, C, D> {
        let Self { fallback, classify, monitor } = self;
        FailoverLayer { fallback, classify, monitor: monitor.on_clock(clock) }
    }

    /// Names the failover, for operators, logs and metrics. Costs calls nothing. Errors have the name with
    /// [`boxed_errors`](Self::boxed_errors).
    ///
    /// ```
    /// use failover::{FailoverLayer, Policy};
    /// # use tower::service_fn;
    /// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
    ///
    /// let layer = FailoverLayer::with_fallback(fallback, Policy::default()).named("valuations");
    /// assert_eq!(layer.handle().name(), Some("valuations"));
    /// ```
    ///
    /// # Panics
    /// If it already has another name: two names for one state are a mistake.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.monitor = self.monitor.named(name);
        self
    }

    /// Adds an observer of transitions.
    #[must_use]
    pub fn observe(self, observer: impl Observe) -> Self {
        self.monitor.observe(observer);
        self
    }

    pub(crate) fn map_fallback<G>(self, map: impl FnOnce(F) -> G) -> FailoverLayer<G, C, Clk> {
        let Self { fallback, classify, monitor } = self;
        FailoverLayer { fallback: map(fallback), classify, monitor }
    }

    /// The operator's handle of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle {
        self.monitor.handle()
    }
}

impl<P, F: Clone, C: Clone, Clk: Clock> Layer<P> for FailoverLayer<F, C, Clk> {
    type Service = Failover<P, F, C, Clk>;

    fn layer(&self, primary: P) -> Self::Service {
        let (fallback, classify) = (self.fallback.clone(), self.classify.clone());
        Failover::from_parts(primary, fallback, classify, self.monitor.clone())
    }
}
