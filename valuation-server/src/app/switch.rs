//! The two providers and the failover between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use failover::clock::{Clock, CoarseClock};
use failover::cluster::{ClusterError, View};
use failover::event::Cause;
use failover::policy::PolicyError;
use failover::watched::{FallbackFailing, WatchedFallback};
use failover::{
    Error, Event, FailoverHandle, FailoverLayer, Monitor, Outcome, Rescue, Route, Snapshot,
};
use tower::{Layer, ServiceExt};

use super::attempts::{Attempts, classify};
use super::coverage::Coverage;
use super::doubt::Doubts;
use super::failed_calls::FailedCalls;
use super::fleet::Fleet;
use super::last_trip::LastTrip;
use super::orders::Orders;
use super::policy;
use super::preview;
use super::transition::{Transition, by_fleet, report};
use crate::admin::{Journal, Refusal};
use crate::audit::{Audit, Hooks};
use crate::config::{Config, Setting};
use crate::domain::{NewestHead, Quote, QuoteError};
use crate::providers::{ClientError, ProviderClient, premium, supercar};
use crate::telemetry::{ClientErrors, ProviderCalls};
use crate::valuer::Quotes;

/// SuperCar as the primary and Premium as the fallback, each call audited.
#[derive(Clone, Debug)]
pub struct Providers<Clk: Clock = CoarseClock> {
    layer: FailoverLayer<Fallback<Clk>, Classify, Clk>,
    supercar: Audit<ProviderClient>,
    rescue: bool,
    /// The configuration whose policy is in force. Locked when an operator reads or changes it.
    config: Arc<Mutex<Config>>,
    /// The newest head of the log, which the calls carry if the configuration says so.
    pub(super) newest_head: NewestHead,
    pub(super) attempts: Arc<Attempts<Clk>>,
    pub(super) orders: Arc<Orders>,
    pub(super) coverage: Arc<Coverage<Clk>>,
    /// This node of the cluster, if there is one.
    pub(super) fleet: Option<Arc<Fleet>>,
}

/// Premium, with a window of its own.
type Fallback<Clk> = WatchedFallback<Audit<ProviderClient>, Classify, Clk>;

/// What a result says about its provider.
type Classify = fn(&Result<Quote, QuoteError>) -> Outcome;

/// Why there is no failover between the providers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvidersError {
    /// The policy makes no sense.
    #[error("{}", policy::message(.0))]
    Policy(#[from] PolicyError),
    /// This node can't join the cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The HTTP client can't be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl<Clk: Clock> Providers<Clk> {
    /// What the failover between them is called, on the admin pages and in the metrics.
    pub const NAME: &str = "valuations";

    /// The providers of a configuration, with SuperCar as the route. Calls are counted, and the
    /// time until the revert runs, by `clock`.
    ///
    /// # Errors
    /// [`ProvidersError`] names the setting that makes no sense, or says why no client can be made.
    pub fn new(config: &Config, clock: Clk) -> Result<Self, ProvidersError> {
        let (on_primary, on_fallback) = (policy::primary(config)?, policy::fallback(config)?);
        let (deadline, transport) = (config.provider_timeout, &config.transport());
        let mut supercar = supercar(&config.supercar_url, deadline, transport)?;
        let mut premium = premium(&config.premium_url, config.premium_range, deadline, transport)?;
        let newest_head = NewestHead::default();
        if config.anchor_log {
            supercar = supercar.anchored(newest_head.clone());
            premium = premium.anchored(newest_head.clone());
        }
        let attempts = Arc::new(Attempts {
            calls: ProviderCalls::default(),
            client_errors: Arc::new(ClientErrors::new(config.client_errors_as_failures)),
            journal: Journal::default(),
            failed_calls: FailedCalls::default(),
            last_trip: LastTrip::new(policy::limits(config)),
            doubts: Doubts::default(),
            clock: clock.clone(),
        });
        let orders = Arc::new(Orders::default());
        let coverage = Arc::new(Coverage::new(clock.clone(), config.fallback_warning));
        let fleet = Fleet::new(config, clock.clone())?;
        let hooks = || Arc::clone(&attempts) as Arc<dyn Hooks>;
        let layer = FailoverLayer::with_monitor(
            Audit::new(premium, hooks()),
            Monitor::with_clock(on_primary, clock),
        )
        .named(Self::NAME)
        .classify(classify as Classify)
        .watch_fallback_by(on_fallback, FallbackFailing::GoBack, classify as Classify)
        .observe({
            let (attempts, orders) = (Arc::clone(&attempts), Arc::clone(&orders));
            let coverage = Arc::clone(&coverage);
            // The cluster keeps the failover, and so its observers.
            let fleet = fleet.as_ref().map(Arc::downgrade);
            move |event: &Event| {
                let fleet = fleet.as_ref().filter(|_| by_fleet(event)).and_then(Weak::upgrade);
                let nodes = fleet.map(|fleet| fleet.nodes(event.scope.as_deref()));
                attempts.last_trip.note(event, nodes);
                report(&attempts.journal, event, &orders.current(), nodes);
                if event.route == Route::Fallback {
                    coverage.on_fallback();
                }
            }
        });
        let seen = Arc::clone(&attempts);
        layer.fallback_handle().observe(move |event: &Event| {
            if let Cause::Tripped { tally, .. } | Cause::WouldTrip { tally, .. } = event.cause {
                seen.doubts.note_fallback(tally, seen.clock.now());
            }
        });
        let supercar = Audit::new(supercar, hooks());
        let (rescue, config) = (config.rescue, Arc::new(Mutex::new(config.clone())));
        Ok(Self { layer, supercar, rescue, config, newest_head, attempts, orders, coverage, fleet })
    }

    /// Quotes from the provider that the route names.
    #[must_use]
    pub fn quotes(&self) -> Quotes {
        let (layer, supercar) = (self.layer.clone(), self.supercar.clone());
        if self.rescue {
            let rescuing = layer.rescue(Rescue::cloning().both_ways()).layer(supercar);
            Quotes::new(rescuing.map_err(informative))
        } else {
            Quotes::new(layer.layer(supercar).map_err(informative))
        }
    }

    /// Where calls go now, and why.
    #[must_use]
    pub fn status(&self) -> Snapshot {
        self.handle().snapshot()
    }

    /// The same providers, as if there was no cluster.
    pub(super) fn alone(&self) -> Self {
        Self { fleet: None, ..self.clone() }
    }

    /// What this node knows of its cluster; `None` without one.
    #[must_use]
    pub fn cluster(&self) -> Option<View> {
        self.fleet.as_ref().map(|fleet| fleet.view())
    }

    /// Calls `tell` with every later change of the route, in the request that causes it.
    pub fn on_transition(&self, tell: impl Fn(&Transition) + Send + Sync + 'static) {
        self.handle().observe(move |event: &Event| {
            if let Some(transition) = Transition::of(event) {
                tell(&transition);
            }
        });
    }

    /// The configuration, with the policy that is in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.lock().clone()
    }

    /// Replaces the policy by one that differs in these settings.
    pub(super) fn amend_policy(&self, changes: &BTreeMap<Setting, String>) -> Result<(), Refusal> {
        // Held over the update, so that two concurrent changes are both applied.
        let mut config = self.lock();
        let amended = config.amended(changes)?;
        let (primary, fallback) = (policy::primary(&amended)?, policy::fallback(&amended)?);
        self.attempts.last_trip.amend(policy::limits(&amended));
        self.handle().swap_policy(primary);
        self.layer.fallback_handle().swap_policy(fallback);
        self.attempts.client_errors.set_as_failures(amended.client_errors_as_failures);
        *config = amended;
        Ok(())
    }

    /// What [`amend_policy`](Self::amend_policy) would make of the configuration, whether the window
    /// would trip, and why.
    pub(super) fn preview_policy(
        &self,
        changes: &BTreeMap<Setting, String>,
    ) -> Result<(Config, bool, String), Refusal> {
        let amended = self.config().amended(changes)?;
        let (primary, _) = (policy::primary(&amended)?, policy::fallback(&amended)?);
        let (would_trip, because) =
            preview::of(&self.handle(), &primary, self.attempts.clock.clone());
        Ok((amended, would_trip, because))
    }

    /// The fallback's own failover, which counts its calls.
    pub(super) fn fallback(&self) -> FailoverHandle {
        self.layer.fallback_handle()
    }

    /// The operator's side of the failover.
    pub(super) fn handle(&self) -> FailoverHandle {
        self.layer.handle()
    }

    // It is only replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error that is an answer, if one of two is: "not found" says more than "no connection".
fn informative(error: Error<QuoteError, QuoteError>) -> QuoteError {
    match error {
        Error::Both {
            primary: answer @ (QuoteError::NotFound | QuoteError::Refused(_)), ..
        } => answer,
        other => other.into_inner(),
    }
}
