//! The two providers and the failover between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock};
use failover::policy::PolicyError;
use failover::watched::{FallbackFailing, WatchedFallback};
use failover::{Error, Event, FailoverHandle, FailoverLayer, Monitor, Outcome, Rescue, State};
use tower::{Layer, ServiceExt};

use super::client_errors::{Watch, Watched};
use super::policy;
use super::transition::{Transition, log, note, provider};
use crate::admin::{Journal, Refusal};
use crate::audit::{Audit, AuditLayer};
use crate::config::{Config, Setting};
use crate::domain::{CallOutcome, ErrorCode, Provider, ProviderCall, Quote, QuoteError};
use crate::providers::{ClientError, Premium, SuperCar};
use crate::telemetry::{ClientErrors, ProviderCalls};
use crate::valuer::Quotes;

/// SuperCar as the primary and Premium as the fallback, each call audited.
#[derive(Clone, Debug)]
pub struct Providers<Clk: Clock = CoarseClock> {
    layer: FailoverLayer<Fallback<Clk>, Classify, Clk>,
    supercar: Audit<Watched<SuperCar, Clk>>,
    rescue: bool,
    /// The configuration whose policy is in force. Locked where an operator changes it or looks.
    config: Arc<Mutex<Config>>,
    events: Arc<Journal>,
    calls: Arc<ProviderCalls>,
    client_errors: Arc<ClientErrors>,
}

/// Premium, with a window of its own.
type Fallback<Clk> = WatchedFallback<Audit<Watched<Premium, Clk>>, Classify, Clk>;

/// What a result says about its provider.
type Classify = fn(&Result<Quote, QuoteError>) -> Outcome;

/// Why there is no failover between the providers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvidersError {
    /// The policy makes no sense.
    #[error("{}", policy::message(.0))]
    Policy(#[from] PolicyError),
    /// The HTTP client can't be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Where calls go, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteStatus {
    /// The provider that is asked first; SuperCar during a ramp.
    pub provider: Provider,
    /// How calls are routed: unlike the provider, it tells probing and a ramp apart.
    pub state: State,
    /// Calls to SuperCar in the window.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// How long until the revert, or until the end of a ramp; `None` in every other state.
    pub reverts_in: Option<Duration>,
}

impl RouteStatus {
    /// The share of SuperCar's calls that failed, from 0 to 1; `None` without calls.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    pub fn failure_rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.failures as f64 / self.calls as f64)
    }
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
        let (primary, fallback) = (policy::primary(config)?, policy::fallback(config)?);
        let (deadline, transport) = (config.provider_timeout, &config.transport());
        let supercar = SuperCar::new(&config.supercar_url, deadline, transport)?;
        let premium = Premium::new(&config.premium_url, config.premium_range, deadline, transport)?;
        let calls = Arc::new(ProviderCalls::default());
        let tell = || {
            let calls = Arc::clone(&calls);
            move |call: &ProviderCall| calls.note(call)
        };
        let events = Arc::new(Journal::default());
        let client_errors = Arc::new(ClientErrors::new(config.client_errors_as_failures));
        let watch = Arc::new(Watch {
            client_errors: Arc::clone(&client_errors),
            clock: clock.clone(),
            events: Arc::clone(&events),
        });
        let layer = FailoverLayer::with_monitor(
            AuditLayer.layer(Watched::new(premium, &watch)).classifying(outcome).telling(tell()),
            Monitor::with_clock(primary, clock),
        )
        .named(Self::NAME)
        .classify(classify as Classify)
        .watch_fallback_by(fallback, FallbackFailing::GoBack, classify as Classify)
        .observe(log)
        .observe({
            let events = Arc::clone(&events);
            move |event: &Event| note(&events, event)
        });
        let supercar =
            AuditLayer.layer(Watched::new(supercar, &watch)).classifying(outcome).telling(tell());
        let config_in_force = Arc::new(Mutex::new(config.clone()));
        let rescue = config.rescue;
        Ok(Self { layer, supercar, rescue, config: config_in_force, events, calls, client_errors })
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

    /// Where calls go now.
    #[must_use]
    pub fn status(&self) -> RouteStatus {
        let snapshot = self.handle().snapshot();
        RouteStatus {
            provider: provider(snapshot.route),
            state: snapshot.state,
            calls: snapshot.tally.calls(),
            failures: snapshot.tally.failures,
            reverts_in: snapshot.reverts_in,
        }
    }

    /// Calls `tell` with every later change of the route, in the request that causes it.
    pub fn on_transition(&self, tell: impl Fn(&Transition) + Send + Sync + 'static) {
        self.handle().observe(move |event: &Event| {
            if let Some(transition) = Transition::of(event) {
                tell(&transition);
            }
        });
    }

    /// The counts of calls to them.
    #[must_use]
    pub fn calls(&self) -> &Arc<ProviderCalls> {
        &self.calls
    }

    /// The streaks of client errors of both.
    #[must_use]
    pub fn client_errors(&self) -> &Arc<ClientErrors> {
        &self.client_errors
    }

    /// The last events of the failover.
    #[must_use]
    pub fn events(&self) -> &Journal {
        &self.events
    }

    /// The configuration, with the policy that is in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.lock().clone()
    }

    /// Replaces the policy by one that differs in these settings.
    pub(super) fn amend_policy(&self, changes: &BTreeMap<Setting, String>) -> Result<(), Refusal> {
        // Held over the swap, so that two concurrent changes are both applied.
        let mut config = self.lock();
        let amended = config.amended(changes)?;
        let refused = |error| Refusal {
            field: policy::field(&error).into(),
            message: policy::message(&error),
        };
        let primary = policy::primary(&amended).map_err(refused)?;
        let fallback = policy::fallback(&amended).map_err(refused)?;
        self.handle().swap_policy(primary);
        self.layer.fallback_handle().swap_policy(fallback);
        self.client_errors.set_as_failures(amended.client_errors_as_failures);
        *config = amended;
        Ok(())
    }

    /// The operator's side of the failover.
    pub(super) fn handle(&self) -> FailoverHandle<Clk> {
        self.layer.handle()
    }

    // It is only replaced as a whole, so poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider that answers is up, whatever it answers; an error on our side says nothing about it.
/// `Retry-After` is followed only if the policy says so.
fn classify(result: &Result<Quote, QuoteError>) -> Outcome {
    match result {
        Err(QuoteError::Unavailable { code: ErrorCode::Local, .. }) => Outcome::Ignored,
        Err(QuoteError::Unavailable { retry_after: Some(time), .. }) => Outcome::RetryAfter(*time),
        Err(QuoteError::Unavailable { retry_after: None, .. }) => Outcome::Failure,
        Err(QuoteError::NotAsked) => Outcome::Ignored,
        Ok(_) | Err(QuoteError::NotFound | QuoteError::Refused(_)) => Outcome::Success,
    }
}

/// The outcome as it is stored in the log of calls.
fn outcome(result: &Result<Quote, QuoteError>) -> CallOutcome {
    match classify(result) {
        Outcome::Success => CallOutcome::Success,
        Outcome::Failure | Outcome::RetryAfter(_) => CallOutcome::Failure,
        Outcome::Ignored => CallOutcome::Ignored,
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
