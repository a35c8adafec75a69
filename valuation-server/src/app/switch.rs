//! The two providers and the failover between them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use failover::clock::{Clock, CoarseClock};
use failover::cluster::{ClusterError, View};
use failover::event::Cause;
use failover::policy::PolicyError;
use failover::watched::FallbackFailing;
use failover::{Event, FailoverHandle, FailoverLayer, Monitor, Policy, Route, Snapshot};

use super::attempts::{Attempts, classify};
use super::coverage::Coverage;
use super::doubt::Doubts;
use super::failed_calls::FailedCalls;
use super::fleet::Fleet;
use super::in_force::{Amendment, InForce, OperatorChanges};
use super::last_trip::LastTrip;
use super::orders::Orders;
use super::policy;
use super::preview;
use super::saved_policy::SavedPolicy;
use super::services::{self, Classify, CurrentQuotes, Monitors};
use super::transition::{Transition, by_fleet, report};
use crate::admin::{Journal, Refusal};
use crate::config::Config;
use crate::domain::NewestHead;
use crate::providers::ClientError;
use crate::telemetry::{ClientErrors, ProviderCalls};
use crate::valuer::Quotes;

/// SuperCar as the primary and Premium as the fallback, each call audited. Clones share everything.
#[derive(Clone, Debug)]
pub struct Providers<Clk: Clock = CoarseClock> {
    monitors: Monitors<Clk>,
    quotes: CurrentQuotes,
    in_force: Arc<Mutex<InForce>>,
    /// Held over each change of what is in force, so that two concurrent ones are both applied.
    changing: Arc<Mutex<()>>,
    /// The newest head of the log, which the calls carry if the configuration says so.
    pub(super) newest_head: NewestHead,
    pub(super) attempts: Arc<Attempts<Clk>>,
    pub(super) orders: Arc<Orders>,
    pub(super) coverage: Arc<Coverage<Clk>>,
    pub(super) saved_policy: Arc<SavedPolicy>,
    /// This node of the cluster, if there is one.
    pub(super) fleet: Option<Arc<Fleet>>,
}

/// The policies of both monitors.
pub(super) type Policies = (Policy, Policy);

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
        let (on_primary, on_fallback) = policies(config)?;
        let newest_head = NewestHead::default();
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
        let monitors = FailoverLayer::with_monitor((), Monitor::with_clock(on_primary, clock))
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
        monitors.fallback_handle().observe(move |event: &Event| {
            if let Cause::Tripped { tally, .. } | Cause::WouldTrip { tally, .. } = event.cause {
                seen.doubts.note_fallback(tally, seen.clock.now());
            }
        });
        let quotes = services::quotes(config, &monitors, &attempts, &newest_head)?;
        Ok(Self {
            monitors,
            quotes: CurrentQuotes::new(quotes),
            in_force: Arc::new(Mutex::new(InForce::new(config.clone()))),
            changing: Arc::default(),
            newest_head,
            attempts,
            orders,
            coverage,
            saved_policy: Arc::default(),
            fleet,
        })
    }

    /// Quotes from the provider that the route names, by the configuration that is in force when each is
    /// asked for.
    #[must_use]
    pub fn quotes(&self) -> Quotes {
        Quotes::new(self.quotes.clone())
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

    /// The configuration that is in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.lock().config().clone()
    }

    /// The configuration that is in force, and how it came about.
    pub(super) fn in_force(&self) -> InForce {
        self.lock().clone()
    }

    /// Excludes other changes of what is in force.
    // It guards no data, so poisoning is ignored.
    pub(super) fn one_change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The services for this configuration. Changes nothing. Reads the files that it names.
    pub(super) fn services(&self, config: &Config) -> Result<Quotes, ClientError> {
        services::quotes(config, &self.monitors, &self.attempts, &self.newest_head)
    }

    /// Puts a configuration in force with what was made of it, for requests from now on. To be called within
    /// [`one_change`](Self::one_change).
    pub(super) fn adopt(&self, quotes: Quotes, policies: Policies, next: InForce) {
        self.quotes.replace(quotes);
        self.coverage.set_limit(next.config().fallback_warning);
        self.adopt_policy(policies, next);
    }

    /// Applies an operator's changes of the policy, and has those saved that are to be.
    pub(super) fn amend_policy(&self, amendment: &Amendment) -> Result<(), Refusal> {
        let _one = self.one_change();
        let next = self.in_force().amended(amendment)?;
        let policies = policies(next.config())?;
        self.saved_policy.want(next.saved());
        self.adopt_policy(policies, next);
        Ok(())
    }

    /// Applies an operator's changes that were saved before the start.
    pub(super) fn recall_policy(&self, saved: OperatorChanges) -> Result<(), Refusal> {
        let _one = self.one_change();
        let next = self.in_force().with_saved(saved)?;
        self.adopt_policy(policies(next.config())?, next);
        Ok(())
    }

    fn adopt_policy(&self, (primary, fallback): Policies, next: InForce) {
        let config = next.config();
        self.attempts.last_trip.amend(policy::limits(config));
        self.attempts.client_errors.set_as_failures(config.client_errors_as_failures);
        *self.lock() = next;
        // Last: it may trip, and observers read the rest.
        for (handle, policy) in [(self.handle(), primary), (self.fallback(), fallback)] {
            if handle.policy() != policy {
                handle.swap_policy(policy);
            }
        }
    }

    /// What [`amend_policy`](Self::amend_policy) would make of the configuration, whether the window
    /// would trip, and why.
    pub(super) fn preview_policy(
        &self,
        amendment: &Amendment,
    ) -> Result<(Config, bool, String), Refusal> {
        let next = self.in_force().amended(amendment)?;
        let (primary, _) = policies(next.config())?;
        let (would_trip, because) =
            preview::of(&self.handle(), &primary, self.attempts.clock.clone());
        Ok((next.config().clone(), would_trip, because))
    }

    /// The fallback's own failover, which counts its calls.
    pub(super) fn fallback(&self) -> FailoverHandle {
        self.monitors.fallback_handle()
    }

    /// The operator's side of the failover.
    pub(super) fn handle(&self) -> FailoverHandle {
        self.monitors.handle()
    }

    // It is only replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a configuration makes of the failover.
pub(super) fn policies(config: &Config) -> Result<Policies, PolicyError> {
    Ok((policy::primary(config)?, policy::fallback(config)?))
}
