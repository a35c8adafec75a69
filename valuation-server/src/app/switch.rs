//! The two providers and the failover between them.

use failover::policy::{RetryAfter, SlowCalls};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock};
use failover::policy::{PolicyBuilder, PolicyError, Probing};
use failover::watched::{FallbackFailing, WatchedFallback};
use failover::{
    Error, Event, FailoverHandle, FailoverLayer, Monitor, Outcome, Policy, Ratio, Rescue, Route,
    State,
};
use tower::{Layer, ServiceExt};

use super::client_errors::{Watch, Watched};
use super::transition::{Transition, log, note};
use crate::admin::{Journal, Refusal};
use crate::audit::{Audit, AuditLayer};
use crate::config::{Config, Setting};
use crate::domain::{CallOutcome, ErrorCode, Provider, ProviderCall, Quote, QuoteError, Trace};
use crate::providers::{ClientError, Premium, SuperCar};
use crate::telemetry::{ClientErrors, ProviderCalls};
use crate::valuer::Quotes;

/// How long a probe holds its place beyond a provider's deadline, by which it has ended: longer
/// than the clock is coarse.
const PROBE_GRACE: Duration = Duration::from_secs(1);
/// How many probes must succeed before the other calls return.
const SUCCESSES: u32 = 3;
/// The share of calls that a gradual return begins with.
const FIRST_SHARE: Ratio = match Ratio::new(1, 10) {
    Ok(tenth) => tenth,
    Err(_) => panic!("ten is not zero"),
};
/// Within which times SuperCar's `Retry-After` is followed, where it is.
const HINTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// SuperCar as the primary and Premium as the fallback, each call audited.
#[derive(Clone, Debug)]
pub struct Providers<Clk: Clock = CoarseClock> {
    layer: FailoverLayer<Fallback<Clk>, Judge, Clk>,
    supercar: Audit<Watched<SuperCar, Clk>>,
    rescue: bool,
    /// The configuration whose policy is in force. Locked where an operator changes it or looks.
    config: Arc<Mutex<Config>>,
    events: Arc<Journal>,
    calls: Arc<ProviderCalls>,
    client_errors: Arc<ClientErrors>,
}

/// Premium, with a window of its own.
type Fallback<Clk> = WatchedFallback<Audit<Watched<Premium, Clk>>, Judge, Clk>;

/// Which results speak against a provider.
type Judge = fn(&Result<Quote, QuoteError>) -> Outcome;

/// Why there is no failover between the providers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvidersError {
    /// The policy makes no sense.
    #[error("{}", setting(.0))]
    Policy(#[from] PolicyError),
    /// The HTTP client can't be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Where calls go, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteStatus {
    /// Who is asked first; SuperCar while calls return to it gradually.
    pub provider: Provider,
    /// How calls are routed, where that is finer: probing and a gradual return are states as well.
    pub state: State,
    /// Calls to SuperCar in the window.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// How long until the time on the fallback is over, or until all calls have returned; `None`
    /// in every other state.
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
        let policy = policy(config)?;
        let (deadline, transport) = (config.provider_timeout, &config.transport());
        let supercar = SuperCar::new(&config.supercar_url, deadline, transport)?;
        let premium = Premium::new(&config.premium_url, config.premium_range, deadline, transport)?;
        let calls = Arc::new(ProviderCalls::default());
        let tell = || {
            let calls = Arc::clone(&calls);
            move |call: &ProviderCall, trace: &Trace| calls.note(call, trace)
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
            Monitor::with_clock(policy, clock),
        )
        .named(Self::NAME)
        .classify(judge as Judge)
        .watch_fallback_by(fallback_policy(config)?, FallbackFailing::GoBack, judge as Judge)
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

    /// Quotes from whichever provider the route says.
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

    /// Has every later change of the route told to `tell`, by the request that causes it.
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

    /// What happened to the failover lately.
    #[must_use]
    pub fn events(&self) -> &Journal {
        &self.events
    }

    /// The configuration, with the policy that is in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.lock().clone()
    }

    /// Puts a policy in force that differs from the present one in these settings.
    pub(super) fn amend_policy(&self, changes: &BTreeMap<Setting, String>) -> Result<(), Refusal> {
        // Held over the swap, so that of two changes at once neither is lost.
        let mut config = self.lock();
        let amended = config.amended(changes)?;
        let refused = |error| Refusal { field: field(&error).into(), message: setting(&error) };
        let (policy, fallback) = (policy(&amended), fallback_policy(&amended));
        let (policy, fallback) = (policy.map_err(refused)?, fallback.map_err(refused)?);
        self.handle().swap_policy(policy);
        self.layer.fallback_handle().swap_policy(fallback);
        self.client_errors.set_as_failures(amended.client_errors_as_failures);
        *config = amended;
        Ok(())
    }

    /// The operator's side of the failover.
    pub(super) fn handle(&self) -> FailoverHandle<Clk> {
        self.layer.handle()
    }

    // It is replaced as a whole: poison says nothing here.
    fn lock(&self) -> MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thresholds that hold for both providers.
fn thresholds(config: &Config) -> PolicyBuilder {
    let policy = Policy::builder()
        .failure_rate(config.failure_rate)
        .minimum_calls(config.min_calls.into())
        .window(config.window, Policy::default().buckets());
    match config.stalled_calls {
        Some(after) => policy.stalled_calls(after, config.stalled_limit),
        None => policy,
    }
}

/// When Premium is failing too. A dry run counts its calls, and ends no time on the fallback. Slow
/// calls are not in it: the time is SuperCar's, and Premium may be slower all the time.
fn fallback_policy(config: &Config) -> Result<Policy, PolicyError> {
    let policy = thresholds(config);
    if config.watch_fallback { policy.build() } else { policy.dry_run().build() }
}

/// The policy of a configuration: what it does not ask for stays off.
fn policy(config: &Config) -> Result<Policy, PolicyError> {
    let mut policy = thresholds(config).revert_after(config.revert_after);
    if let Some(probes) = config.probes {
        let lease = config.provider_timeout.saturating_add(PROBE_GRACE);
        policy = policy.probing(Probing::new(probes).successes(SUCCESSES).lease(lease));
    }
    if let Some(over) = config.ramp_up {
        policy = policy.ramp_up(FIRST_SHARE, over);
    }
    if let Some(after) = config.slow_call {
        policy = policy.slow_calls(SlowCalls::longer_than(after).more_than(config.slow_rate));
    }
    if config.follow_retry_after {
        let (shortest, longest) = HINTS;
        policy = policy.retry_after(RetryAfter::between(shortest, longest));
    }
    policy.build()
}

/// A provider that answers is up, whatever it answers; a question that it can't be asked says
/// nothing about it. Its own word on when to come back is followed only if the policy says so.
fn judge(result: &Result<Quote, QuoteError>) -> Outcome {
    match result {
        Err(QuoteError::Unavailable { code: ErrorCode::Local, .. }) => Outcome::Ignored,
        Err(QuoteError::Unavailable { retry_after: Some(time), .. }) => Outcome::RetryAfter(*time),
        Err(QuoteError::Unavailable { retry_after: None, .. }) => Outcome::Failure,
        Err(QuoteError::NotAsked) => Outcome::Ignored,
        Ok(_) | Err(QuoteError::NotFound | QuoteError::Refused(_)) => Outcome::Success,
    }
}

/// What the log of calls says of a result: what the failover makes of it.
fn outcome(result: &Result<Quote, QuoteError>) -> CallOutcome {
    match judge(result) {
        Outcome::Success => CallOutcome::Success,
        Outcome::Failure | Outcome::RetryAfter(_) => CallOutcome::Failure,
        Outcome::Ignored => CallOutcome::Ignored,
    }
}

/// Of two errors, the one that is an answer: "not found" says more than "no connection".
fn informative(error: Error<QuoteError, QuoteError>) -> QuoteError {
    match error {
        Error::Both {
            primary: answer @ (QuoteError::NotFound | QuoteError::Refused(_)), ..
        } => answer,
        other => other.into_inner(),
    }
}

pub(super) fn provider(route: Route) -> Provider {
    match route {
        Route::Primary => Provider::SuperCar,
        Route::Fallback => Provider::Premium,
    }
}

fn setting(error: &PolicyError) -> String {
    format!("{} makes no sense: {error}", field(error))
}

/// The setting of the server that a field of the library's policy comes from.
fn field(error: &PolicyError) -> &'static str {
    match error {
        PolicyError::FailureRate(_) => "failure-rate",
        PolicyError::MinimumCalls => "min-calls",
        PolicyError::Window { .. } | PolicyError::Buckets(_) => "window",
        PolicyError::RevertAfter(_) => "revert-after",
        PolicyError::Probing(_) => "probes",
        PolicyError::RampUp { .. } => "ramp-up",
        PolicyError::SlowerThan(_) => "slow-call",
        PolicyError::SlowRate(_) => "slow-rate",
        PolicyError::RetryAfter(_) => "follow-retry-after",
        PolicyError::StalledAfter(_) => "stalled-calls",
        PolicyError::StallLimit(_) => "stalled-limit",
        _ => "the failover settings",
    }
}
