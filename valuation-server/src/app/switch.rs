//! The two providers and the failover between them.

use std::time::Duration;

use failover::{
    Cause, Clock, CoarseClock, Error, Event, FailoverHandle, FailoverLayer, Monitor, Outcome,
    Policy, PolicyError, Rescue, Route,
};
use tower::{Layer, ServiceExt};

use crate::audit::{Audit, AuditLayer};
use crate::config::Config;
use crate::domain::{Provider, Quote, QuoteError};
use crate::providers::{ClientError, Premium, SuperCar};
use crate::valuer::Quotes;

/// SuperCar as the primary and Premium as the fallback, each call audited.
#[derive(Clone, Debug)]
pub struct Providers<K: Clock = CoarseClock> {
    layer: FailoverLayer<Audit<Premium>, Judge, K>,
    supercar: Audit<SuperCar>,
    rescue: bool,
}

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
    /// Who is asked first.
    pub provider: Provider,
    /// Calls to SuperCar in the window.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// How long until SuperCar is asked first again; `None` while it is.
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

/// A change of the provider that is asked first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Who is asked first from now on.
    pub to: Provider,
    /// Why, in words.
    pub because: String,
}

impl<K: Clock> Providers<K> {
    /// The providers of a configuration, with SuperCar as the route. Calls are counted, and the
    /// time until the revert runs, by `clock`.
    ///
    /// # Errors
    /// [`ProvidersError`] names the setting that makes no sense, or says why no client can be made.
    pub fn new(config: &Config, clock: K) -> Result<Self, ProvidersError> {
        let policy = Policy::builder()
            .failure_rate(config.failure_rate)
            .minimum_calls(config.min_calls.into())
            .window(config.window, Policy::default().buckets())
            .revert_after(config.revert_after)
            .build()?;
        let supercar = SuperCar::new(config.supercar_url.clone(), config.provider_timeout)?;
        let premium = Premium::new(
            config.premium_url.clone(),
            config.premium_range,
            config.provider_timeout,
        )?;
        let layer = FailoverLayer::with_monitor(
            AuditLayer.layer(premium),
            Monitor::with_clock(policy, clock),
        )
        .classify(judge as Judge)
        .observe(|event: &Event| log(&Transition::from(event)));
        Ok(Self { layer, supercar: AuditLayer.layer(supercar), rescue: config.rescue })
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
            calls: snapshot.tally.calls(),
            failures: snapshot.tally.failures,
            reverts_in: snapshot.reverts_in,
        }
    }

    /// Has every later change of the route told to `tell`, by the request that causes it.
    pub fn on_transition(&self, tell: impl Fn(&Transition) + Send + Sync + 'static) {
        self.handle().observe(move |event: &Event| tell(&Transition::from(event)));
    }

    fn handle(&self) -> FailoverHandle<K> {
        self.layer.handle()
    }
}

/// A provider that answers is up, whatever it answers; a question that it can't be asked says
/// nothing about it.
fn judge(result: &Result<Quote, QuoteError>) -> Outcome {
    match result {
        Err(QuoteError::Unavailable { .. }) => Outcome::Failure,
        Err(QuoteError::NotAsked) => Outcome::Ignored,
        Ok(_) | Err(QuoteError::NotFound | QuoteError::Refused(_)) => Outcome::Success,
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

fn provider(route: Route) -> Provider {
    match route {
        Route::Primary => Provider::SuperCar,
        Route::Fallback => Provider::Premium,
    }
}

impl From<&Event> for Transition {
    fn from(event: &Event) -> Self {
        let because = match &event.cause {
            Cause::Tripped { tally, revert_after, .. } => {
                let (failures, calls) = (tally.failures, tally.calls());
                let back = humantime::format_duration(*revert_after);
                format!("{failures} of its last {calls} calls failed; back in {back}")
            }
            Cause::Reverted => "the time on the fallback is over; counts start from zero".into(),
            Cause::Forced => "forced by an operator".into(),
            Cause::Released => "released by an operator; counts start from zero".into(),
            _ => "the route changed".into(),
        };
        Self { to: provider(event.route), because }
    }
}

fn log(transition: &Transition) {
    let Transition { to, because } = transition;
    match to {
        Provider::SuperCar => tracing::info!("revert: SuperCar is asked first: {because}"),
        Provider::Premium => {
            tracing::warn!("failover: Premium is asked instead of SuperCar: {because}");
        }
    }
}

/// The setting of the server that a field of the library's policy comes from.
fn setting(error: &PolicyError) -> String {
    let setting = match error {
        PolicyError::FailureRate(_) => "failure-rate",
        PolicyError::MinimumCalls => "min-calls",
        PolicyError::Window { .. } | PolicyError::Buckets(_) => "window",
        PolicyError::RevertAfter(_) => "revert-after",
        _ => "the failover settings",
    };
    format!("{setting} makes no sense: {error}")
}
