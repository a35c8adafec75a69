//! Puts another configuration in force while the server runs.
//!
//! All of it is checked and built first: the policies, the clients with their files, the rules between settings.
//! What fails there leaves everything as it was. Then the parts are replaced one after the other. A request keeps
//! the services that it has; none waits, and none fails because of a change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use failover::clock::{Clock, CoarseClock};

use super::GRACE;
use super::in_force::InForce;
use super::switch::{Providers, ProvidersError, policies};
use crate::admin::{Guard, Kind};
use crate::config::{Applied, Config, ConfigError, Durability, Secret, Setting, Status};
use crate::http::LiveOptions;
use crate::system::{Room, room_for};
use crate::telemetry;
use crate::valuer::{Bounds, Valuer};

/// A running server, for whoever has another configuration for it. Clones are handles of the same server.
#[derive(Clone, Debug)]
pub struct Live<Clk: Clock = CoarseClock> {
    pub(super) providers: Providers<Clk>,
    pub(super) valuer: Valuer,
    pub(super) options: LiveOptions,
    /// Of the operators' side, if there is one.
    pub(super) guard: Option<Guard>,
    /// The permits of the writer's queue, which are those of the start.
    pub(super) queue: usize,
    pub(super) status: Status,
    /// Held over a call of [`apply`](Self::apply).
    pub(super) applying: Arc<Mutex<()>>,
}

/// Why a configuration was not applied. The text names the setting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A setting makes no sense together with those that wait for a restart.
    #[error(transparent)]
    Config(ConfigError),
    /// An operator's change of a setting makes no sense together with the others.
    #[error("{0}; it is an operator's change: take it back with null, and send SIGHUP")]
    Operator(ConfigError),
    /// The policy makes no sense, or a client can't be made.
    #[error(transparent)]
    Providers(#[from] ProvidersError),
}

impl<Clk: Clock> Live<Clk> {
    /// Puts what `config` has for each setting in force, as far as a running server can: the rest waits for a
    /// restart, and an operator's changes of the policy stay. Several calls are executed one after the other.
    ///
    /// The files of certificates are read anew, so that a renewed one takes effect, too.
    ///
    /// Blocks for the files: call it off the runtime's threads.
    ///
    /// # Errors
    /// [`ApplyError`] names the setting that can't be applied. Nothing has changed then.
    pub fn apply(&self, config: Config) -> Result<Applied, ApplyError> {
        // It guards no data, so poisoning is ignored.
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.providers.in_force();
        let kept = self.kept(&before, &config);
        let next = with_sources(before, config.clone(), &kept)?;
        // Before operators' changes are excluded: a file on a network may block, and operators' changes are made on
        // the runtime's threads. None is of a setting that the services have.
        let quotes = self.providers.services(next.config()).map_err(ProvidersError::from)?;

        let _one = self.providers.one_change();
        let before = self.providers.in_force();
        let next = with_sources(before.clone(), config, &kept)?;
        let policies = policies(next.config()).map_err(ProvidersError::from)?;

        // From here on nothing fails.
        let changed = next.config().changes(before.config());
        let waiting = next.at_restart().changes(next.config());
        self.replace(&next, &changed);
        self.providers.adopt(quotes, policies, next);
        let applied = Applied { changed, waiting };
        self.note(&applied);
        Ok(applied)
    }

    /// What became of the configuration's document. To be kept up to date by whoever calls
    /// [`apply`](Self::apply).
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// As [`App::longest_stop`](super::App::longest_stop), by the configuration in force.
    #[must_use]
    pub fn longest_stop(&self) -> Duration {
        super::longest_stop(self.options.get().limits.drain_timeout)
    }

    /// The settings whose new value only a restart can apply.
    fn kept(&self, before: &InForce, config: &Config) -> Vec<Setting> {
        let more_puts = config.differs(before.config(), Setting::MaxPuts);
        if more_puts && config.max_puts > self.queue { vec![Setting::MaxPuts] } else { Vec::new() }
    }

    /// Replaces all but what the providers have.
    fn replace(&self, next: &InForce, changed: &[Setting]) {
        let (config, has) = (next.config(), |setting| changed.contains(&setting));
        let mut options = self.options.get();
        if has(Setting::MaxConnections) || has(Setting::MaxPuts) {
            let wanted = Room { connections: config.max_connections, valuations: config.max_puts };
            let Room { connections, valuations } = room_for(wanted);
            options.limits.max_connections = connections;
            let flights = valuations.min(self.queue);
            self.valuer.set_bounds(Bounds { flights, cache: config.cache });
        } else if has(Setting::Cache) {
            let flights = self.valuer.max_flights();
            self.valuer.set_bounds(Bounds { flights, cache: config.cache });
        }
        // Never shorter: valuations that began with a longer deadline may be running at the stop.
        let drain_timeout = drain_timeout(config).max(options.limits.drain_timeout);
        options.limits.drain_timeout = drain_timeout;
        options.watch.access_log = config.access_log;
        options.allow_origins.clone_from(&config.allow_origins);
        self.options.replace(options);
        if has(Setting::LogLevel)
            && let Err(error) = telemetry::set_log_level(&config.log_level)
        {
            tracing::error!(%error, "the log's level cannot be changed");
        }
        if has(Setting::AnchorLog) {
            warn_of_weak_anchors(config);
        }
        if let Some(guard) = self.guard.as_ref().filter(|_| has(Setting::AdminToken)) {
            guard.set_token(config.admin_token.as_ref().map(Secret::expose));
        }
    }

    /// Logs what was applied, and adds it to the events.
    fn note(&self, Applied { changed, waiting }: &Applied) {
        if changed.is_empty() && waiting.is_empty() {
            return tracing::debug!("configuration: the same settings as before");
        }
        let config = self.providers.config();
        let value = |setting: &Setting| {
            let value = config.shown(*setting).unwrap_or_else(|| "not set".to_owned());
            format!("{} = {value}", setting.key())
        };
        let mut parts: Vec<_> = changed.iter().map(value).collect();
        if !waiting.is_empty() {
            let keys: Vec<_> = waiting.iter().map(|setting| setting.key()).collect();
            parts.push(format!("waiting for a restart: {}", keys.join(", ")));
        }
        let message = format!("configuration: {}", parts.join(", "));
        tracing::info!("{message}");
        self.providers.attempts.journal.note(Kind::Configuration, message);
    }
}

fn with_sources(before: InForce, config: Config, kept: &[Setting]) -> Result<InForce, ApplyError> {
    let changed = before.changed();
    before.with_sources(config, kept).map_err(|error| match error {
        ConfigError::Value { setting, .. } if changed.contains(&setting) => {
            ApplyError::Operator(error)
        }
        _ => ApplyError::Config(error),
    })
}

/// From the signal to the end of the longest valuation.
pub(super) fn drain_timeout(config: &Config) -> Duration {
    config.provider_timeout * if config.rescue { 2 } else { 1 } + GRACE
}

pub(super) fn warn_of_weak_anchors(config: &Config) {
    if config.anchor_log && config.durability == Durability::Normal {
        tracing::warn!(
            "anchor-log with durability normal: after a power loss a provider may have a head of rows \
             that were lost, which report --witness can't tell from a rewritten log; use durability full"
        );
    }
}
