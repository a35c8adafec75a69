//! The services that a valuation asks, for one configuration.
//!
//! All of a configuration is replaced at once: a request takes its services when it asks, and keeps them to its
//! end, a rescue included.

use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use failover::clock::Clock;
use failover::watched::WatchedFallback;
use failover::{Error, FailoverLayer, Outcome, Rescue};
use tower::util::Oneshot;
use tower::{Layer, Service, ServiceExt};

use super::attempts::Attempts;
use crate::audit::{Audit, Hooks};
use crate::config::Config;
use crate::domain::{NewestHead, Quote, QuoteError, QuoteRequest};
use crate::providers::{ClientError, premium, supercar};
use crate::valuer::Quotes;

/// What a result says about its provider.
pub(super) type Classify = fn(&Result<Quote, QuoteError>) -> Outcome;

/// The failover without its services: its monitors, for any number of configurations.
pub(super) type Monitors<Clk> = FailoverLayer<WatchedFallback<(), Classify, Clk>, Classify, Clk>;

/// Quotes by the providers of `config`, between which the failover of `monitors` chooses. Reads the files that
/// the configuration names.
pub(super) fn quotes<Clk: Clock>(
    config: &Config,
    monitors: &Monitors<Clk>,
    attempts: &Arc<Attempts<Clk>>,
    newest_head: &NewestHead,
) -> Result<Quotes, ClientError> {
    let (deadline, transport) = (config.provider_timeout, &config.transport());
    let mut supercar = supercar(&config.supercar_url, deadline, transport)?;
    let mut premium = premium(&config.premium_url, config.premium_range, deadline, transport)?;
    if config.anchor_log {
        supercar = supercar.anchored(newest_head.clone());
        premium = premium.anchored(newest_head.clone());
    }
    let hooks = || Arc::clone(attempts) as Arc<dyn Hooks>;
    let layer = monitors.replace_fallback(Audit::new(premium, hooks()));
    let supercar = Audit::new(supercar, hooks());
    Ok(if config.rescue {
        let rescuing = layer.rescue(Rescue::cloning().both_ways()).layer(supercar);
        Quotes::new(rescuing.map_err(informative))
    } else {
        Quotes::new(layer.layer(supercar).map_err(informative))
    })
}

/// The services in force.
#[derive(Clone, Debug)]
pub(super) struct CurrentQuotes(Arc<ArcSwap<Quotes>>);

impl CurrentQuotes {
    pub(super) fn new(quotes: Quotes) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(quotes)))
    }

    /// Replaces the services for requests from now on.
    pub(super) fn replace(&self, quotes: Quotes) {
        self.0.store(Arc::new(quotes));
    }
}

impl Service<QuoteRequest> for CurrentQuotes {
    type Response = Quote;
    type Error = QuoteError;
    type Future = Oneshot<Quotes, QuoteRequest>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), QuoteError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: QuoteRequest) -> Self::Future {
        Quotes::clone(&self.0.load()).oneshot(request)
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
