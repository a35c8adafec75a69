//! Wraps a primary with a fallback.

use std::borrow::Cow;

use tower_layer::Layer;

use crate::clock::{Clock, CoarseClock};
use crate::rescue::{Rescue, RescueLayer};
use crate::{ErrorIsFailure, Failover, FailoverHandle, Monitor, Observe, Policy};

/// Wraps a primary into a [`Failover`].
///
/// The state belongs to the layer: **all services that one layer makes, and all their clones,
/// share one window and one route.** For primaries of their own, use a layer each.
///
/// ```
/// use failover::{FailoverLayer, Policy};
/// use tower::{Layer, service_fn};
///
/// let primary = service_fn(|_: ()| async { Ok::<_, std::io::Error>("primary") });
/// let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>("fallback") });
/// let layer = FailoverLayer::new(fallback, Policy::default());
/// let handle = layer.handle();
/// let service = layer.layer(primary);
/// ```
#[derive(Clone, Debug)]
pub struct FailoverLayer<F, C = ErrorIsFailure, K = CoarseClock> {
    fallback: F,
    classify: C,
    monitor: Monitor<K>,
}

impl<F> FailoverLayer<F> {
    /// Every error of the primary counts as a failure, and the clock is the [`CoarseClock`].
    #[must_use]
    pub fn new(fallback: F, policy: Policy) -> Self {
        Self::with_monitor(fallback, Monitor::new(policy))
    }
}

impl<F, K: Clock> FailoverLayer<F, ErrorIsFailure, K> {
    /// Follows a monitor that exists: with a clock of your own, or shared with calls that don't go
    /// through tower.
    #[must_use]
    pub fn with_monitor(fallback: F, monitor: Monitor<K>) -> Self {
        Self { fallback, classify: ErrorIsFailure, monitor }
    }
}

impl<F, C, K: Clock> FailoverLayer<F, C, K> {
    /// Decides by another [`Classify`](crate::Classify) what counts as a failure.
    #[must_use]
    pub fn classify<D>(self, classify: D) -> FailoverLayer<F, D, K> {
        FailoverLayer { fallback: self.fallback, classify, monitor: self.monitor }
    }

    /// Rescues single calls as well: see [`Rescue`].
    #[must_use]
    pub fn rescue<S>(self, rescue: Rescue<S>) -> RescueLayer<F, S, C, K> {
        RescueLayer::new(self, rescue)
    }

    /// Gives the failover a name, by which operators, logs and metrics tell it from others. Calls
    /// do not touch the name.
    ///
    /// ```
    /// use failover::{FailoverLayer, Policy};
    /// # use tower::service_fn;
    /// # let fallback = service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
    ///
    /// let layer = FailoverLayer::new(fallback, Policy::default()).named("valuations");
    /// assert_eq!(layer.handle().name(), Some("valuations"));
    /// ```
    ///
    /// # Panics
    /// If it has another name already: two names for one state are a mistake.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.monitor = self.monitor.named(name);
        self
    }

    /// Adds someone to be told of transitions.
    #[must_use]
    pub fn observe(self, observer: impl Observe) -> Self {
        self.monitor.observe(observer);
        self
    }

    pub(crate) fn fallback(&self) -> &F {
        &self.fallback
    }

    pub(crate) fn into_parts(self) -> (F, C, Monitor<K>) {
        (self.fallback, self.classify, self.monitor)
    }

    /// The operator's side of all services that this layer makes.
    #[must_use]
    pub fn handle(&self) -> FailoverHandle<K> {
        self.monitor.handle()
    }
}

impl<P, F: Clone, C: Clone, K: Clock> Layer<P> for FailoverLayer<F, C, K> {
    type Service = Failover<P, F, C, K>;

    fn layer(&self, primary: P) -> Self::Service {
        let (fallback, classify) = (self.fallback.clone(), self.classify.clone());
        Failover::new(primary, fallback, classify, self.monitor.clone())
    }
}
