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
    Check, Command, Failover, Figures, Forget, Journal, LastHour, Operated, Refusal, Today,
    Vehicle, VehicleError, View, Window,
};
use crate::config::{ConfigError, Setting};
use crate::store::{DiskUse, Store};
use crate::telemetry::Metrics;

/// What the admin pages show and control.
#[derive(Debug)]
pub(super) struct Backstage<Clk: Clock> {
    pub(super) store: Store,
    pub(super) stopping: CancellationToken,
    pub(super) metrics: Metrics,
    pub(super) providers: Arc<Providers<Clk>>,
    pub(super) history: History,
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

    fn figures(&self) -> Figures {
        let (queue_length, queue_capacity) = self.store.queue();
        let DiskUse { database, free } = self.store.disk_use();
        Figures {
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.started.elapsed(),
            queue_length,
            queue_capacity,
            commits: self.store.stats().transactions.get(),
            database_bytes: database,
            disk_free_bytes: free,
        }
    }

    fn last_hour(&self) -> Result<Arc<LastHour>, String> {
        self.history.last_hour().map_err(|error| error.to_string())
    }

    fn today(&self) -> Today {
        self.history.today(self.providers.config().fallback_price)
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use failover::clock::ManualClock;
    use serde_json::json;

    use super::super::records::Stored;
    use super::*;
    use crate::config::Config;
    use crate::domain::{CallOutcome, Entry, Provider, ProviderCall, Vrm};
    use crate::providers::BaseUrl;
    use crate::store::StoreConfig;
    use crate::telemetry::Sources;
    use crate::valuer::Valuer;

    fn backstage(folder: &std::path::Path) -> Backstage<ManualClock> {
        let database = folder.join("v.sqlite");
        let url = || BaseUrl::parse("http://127.0.0.1:1").unwrap();
        let flags = BTreeMap::from([(Setting::FallbackPrice, "0.20".to_owned())]);
        let config = Config::with_providers(&flags, &database, url(), url()).unwrap();
        let providers = Arc::new(Providers::new(&config, ManualClock::new()).unwrap());
        let store = Store::open(&StoreConfig::new(database)).unwrap();
        let calls = providers.attempts.calls.clone();
        let metrics = Metrics::new(Sources {
            failovers: failover::prometheus::Metrics::new(),
            calls: calls.clone(),
            client_errors: Arc::clone(&providers.attempts.client_errors),
            traffic: Arc::default(),
            store: store.clone(),
            valuer: Valuer::new(Arc::new(Stored(store.clone())), providers.quotes()),
        });
        Backstage {
            history: History::new(store.clone(), calls),
            stopping: CancellationToken::new(),
            started: Instant::now(),
            store,
            metrics,
            providers,
        }
    }

    #[tokio::test]
    async fn the_figures_the_day_and_the_hour_are_what_the_page_shows() {
        let folder = tempfile::tempdir().unwrap();
        let backstage = backstage(folder.path());
        let call = ProviderCall {
            vrm: Vrm::parse("A").unwrap(),
            provider: Provider::Premium,
            requested_at: UNIX_EPOCH,
            duration: Duration::from_millis(8),
            url: String::new(),
            response_code: Some(200),
            error: None,
            outcome: CallOutcome::Success,
            rescue: true,
        };
        backstage.providers.attempts.calls.note(&call);
        let entry = Entry { valuation: None, calls: vec![call] };
        backstage.store.commit(entry).await.unwrap();
        let figures = serde_json::to_value(backstage.figures()).unwrap();
        assert_eq!(figures["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!([&figures["commits"], &figures["queueLength"]], [1, 0]);
        assert_eq!(figures["queueCapacity"], 1_024);
        assert!(figures["uptimeSeconds"].is_u64());
        for bytes in ["databaseBytes", "diskFreeBytes"] {
            assert!(figures[bytes].as_u64().is_some_and(|bytes| bytes > 0), "{figures}");
        }

        assert_eq!(backstage.last_hour().unwrap().intervals, []);
        let now = UNIX_EPOCH + UNIX_EPOCH.elapsed().unwrap();
        let counts = vec![(
            "Premium Car Valuations",
            backstage.providers.attempts.calls.totals(Provider::Premium),
        )];
        backstage.store.record(now, counts).await.unwrap();
        backstage.history.reread_day(Default::default()).await;
        let hour = serde_json::to_value(&*backstage.last_hour().unwrap()).unwrap();
        let interval = &hour["intervals"][0];
        assert_eq!([&interval["calls"], &interval["rescues"], &interval["fallbackMs"]], [1, 1, 0]);
        assert_eq!([&interval["p50"], &hour["sums"][0]["calls"]], [&json!(0.0075), &json!(1)]);
        let today = serde_json::to_value(backstage.today()).unwrap();
        assert_eq!(today["costs"]["pricePence"], 20);
    }
}
