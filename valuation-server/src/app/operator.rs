//! Implements the admin pages' traits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use failover::Route;
use failover::clock::Clock;
use failover::policy::PolicyError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::history::History;
use super::policy;
use super::switch::Providers;
use super::transition::provider;
use super::vehicles;
use crate::admin::{
    Check, Command, Failover, Forget, Journal, Operated, Refusal, Vehicle, VehicleError, View,
    Window,
};
use crate::config::{ConfigError, Setting};
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::web::operator;

/// What the admin pages show and control.
#[derive(Debug)]
pub(super) struct Backstage<Clk: Clock> {
    pub(super) store: Store,
    pub(super) stopping: CancellationToken,
    pub(super) metrics: Metrics,
    pub(super) providers: Arc<Providers<Clk>>,
    pub(super) history: History,
    /// When the server began to serve.
    pub(super) started: Instant,
}

impl<Clk: Clock + fmt::Debug> Operated for Backstage<Clk> {
    fn readiness(&self) -> Vec<Check> {
        let database = self.store.trouble().map(|trouble| trouble.to_string());
        let stopping = self.stopping.is_cancelled();
        vec![
            Check { name: "database", trouble: database },
            Check { name: "accepting", trouble: stopping.then(|| "the server is stopping".into()) },
        ]
    }

    fn metrics(&self) -> Result<String, fmt::Error> {
        self.metrics.page()
    }

    fn failovers(&self) -> Vec<Arc<dyn Failover>> {
        vec![Arc::clone(&self.providers) as Arc<dyn Failover>]
    }

    fn overview(&self) -> operator::Overview {
        self.shown()
    }

    fn history(&self) -> Vec<operator::History> {
        self.histories()
    }

    fn vehicle(&self, segment: &str, calls: u32) -> Result<Vehicle, VehicleError> {
        vehicles::look(&self.store, segment, calls)
    }

    fn forget(&self, segment: &str, operator: String) -> Result<Forget, VehicleError> {
        let attempts = Arc::clone(&self.providers.attempts);
        vehicles::forget(self.store.clone(), attempts, segment, operator)
    }
}

impl<Clk: Clock + fmt::Debug> Failover for Providers<Clk> {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn view(&self) -> View {
        let snapshot = self.status();
        let config = self.config();
        let shown = |setting: Setting| Some((setting.key(), config.shown(setting)?));
        View {
            name: Self::NAME.to_owned(),
            state: snapshot.state.as_str(),
            route: snapshot.route.as_str(),
            provider: provider(snapshot.route).name(),
            forced: snapshot.forced,
            window: Window {
                calls: snapshot.tally.calls(),
                failures: snapshot.tally.failures,
                slow: snapshot.tally.slow,
                failure_rate: snapshot.tally.failure_rate(),
            },
            reverts_in: snapshot.reverts_in,
            epoch: snapshot.epoch,
            policy: Setting::live().filter_map(shown).collect(),
        }
    }

    fn journal(&self) -> &Journal {
        &self.attempts.journal
    }

    fn execute(&self, command: Command) {
        let handle = self.handle();
        match command {
            Command::ForcePrimary => drop(handle.force(Route::Primary)),
            Command::ForceFallback => drop(handle.force(Route::Fallback)),
            Command::Auto => drop(handle.release()),
            Command::Reset => handle.reset(),
        }
    }

    fn reconfigure(&self, settings: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let mut changes = BTreeMap::new();
        for (name, text) in settings {
            let setting = Setting::from_key(name).filter(|s| s.is_live());
            changes.insert(setting.ok_or_else(|| unknown(name))?, text.clone());
        }
        self.amend_policy(&changes)
    }
}

fn unknown(name: &str) -> Refusal {
    let known: Vec<_> = Setting::live().map(Setting::key).collect();
    let known = known.join(", ");
    let message = format!("{name:?} is no setting of the policy; there are {known}");
    Refusal { field: name.to_owned(), message }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        let field = match &error {
            ConfigError::Value { setting, .. } => setting.key(),
            // Changes that are given as texts have no other errors.
            _ => "policy",
        };
        Self { field: field.to_owned(), message: error.to_string() }
    }
}

impl From<PolicyError> for Refusal {
    fn from(error: PolicyError) -> Self {
        Self { field: policy::field(&error).to_owned(), message: policy::message(&error) }
    }
}
