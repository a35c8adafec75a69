//! The page that Prometheus scrapes: one row per metric.
//!
//! Counters and histograms are those of the modules. Gauges are read from the state at each scrape, so
//! that no value is stored twice.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::calls::ProviderCalls;
use super::client_errors::{ClientErrors, Streak};
use super::process::Process;
use crate::config::Status;
use crate::domain::Provider;
use crate::http::Traffic;
use crate::store::{DiskUse, Store};
use crate::valuer::Valuer;

/// Everything that has metrics.
#[derive(Debug)]
pub struct Sources {
    /// The library's metrics of the failovers.
    pub failovers: failover::prometheus::Metrics,
    /// Provider calls.
    pub calls: ProviderCalls,
    /// Streaks of client errors of the providers.
    pub client_errors: Arc<ClientErrors>,
    /// Requests on the public side.
    pub traffic: Arc<Traffic>,
    /// The database and its writer.
    pub store: Store,
    /// Valuations under way.
    pub valuer: Valuer,
    /// How long the failover has been forced or on the fallback.
    pub lasting: Arc<dyn Lasting>,
    /// What became of the configuration's document.
    pub config: Status,
    /// The library's metrics of the cluster, if there is one.
    pub cluster: Option<Box<dyn Collector>>,
}

/// For how long a failover has been in a state that should not last.
pub trait Lasting: fmt::Debug + Send + Sync {
    /// The failover's name.
    fn name(&self) -> &str;

    /// How long an operator has forced its route; zero if none has.
    fn forced(&self) -> Duration;

    /// How long the fallback has stood in for the primary, by a trip or by force; zero if it does not.
    fn on_fallback(&self) -> Duration;
}

/// The metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    store: Store,
    disk: Disk,
}

/// What the database takes, as of the last scrape.
type Disk = Arc<Mutex<DiskUse>>;

impl Metrics {
    /// The metrics of `sources` and of the process.
    #[must_use]
    pub fn new(mut sources: Sources) -> Self {
        let mut registry = Registry::default();
        if let Some(cluster) = sources.cluster.take() {
            registry.register_collector(cluster);
        }
        registry.register_collector(Box::new(sources.failovers.clone()));
        let (store, disk) = (sources.store.clone(), Disk::default());
        registry.register_collector(Box::new(Collected { sources, disk: Arc::clone(&disk) }));
        registry.register_collector(Box::new(Process));
        Self { registry, store, disk }
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Never: writing to a `String` does not fail.
    pub async fn page(&self) -> Result<String, fmt::Error> {
        let disk = self.store.disk_use().await;
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk;
        let mut page = String::with_capacity(16 * 1024);
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// The sources, as the registry collects them.
#[derive(Debug)]
struct Collected {
    sources: Sources,
    disk: Disk,
}

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let disk = *self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        self.sources.encode(encoder, disk)
    }
}

impl Sources {
    fn encode(&self, mut encoder: DescriptorEncoder, disk: DiskUse) -> fmt::Result {
        let mut show = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        show("valuation_build", "The version that runs.", None, &version)?;

        let traffic = &self.traffic;
        let help = "Open connections on the public side.";
        show("http_server_open_connections", help, None, &traffic.connections)?;
        let help = "Connections rejected because the limit of their kind was reached.";
        show("http_server_refused_connections", help, None, &traffic.refused_connections)?;
        let help = "Requests rejected before routing: not HTTP/1.1, a bad head, or too many over \
                    HTTP/2; not part of the durations.";
        show("http_server_refused_requests", help, None, &traffic.refused_requests)?;
        let help = "Requests being answered on the public side.";
        show("http_server_active_requests", help, None, &traffic.active)?;
        let help = "Requests whose client went away before the answer.";
        show("http_server_abandoned_requests", help, None, &traffic.abandoned)?;
        let help = "Time to answer requests on the public side.";
        show("http_server_request_duration", help, SECONDS, &traffic.durations)?;

        let help = "Valuations under way at the providers, with or without a waiting client.";
        show("valuation_questions_in_flight", help, None, &gauge(self.valuer.in_flight()))?;
        let help = "New vehicles rejected because too many valuations were under way.";
        let rejected = ConstCounter::new(self.valuer.rejected());
        show("valuation_turned_away_questions", help, None, &rejected)?;
        let help = "Duration of calls to a provider, by result.";
        show("valuation_provider_call_duration", help, SECONDS, &self.calls.durations)?;
        let help = "Client errors (4xx without 408 and 429) since the provider's last valuation.";
        let length = self.by_provider(|streak| streak.length);
        show("valuation_provider_client_error_streak", help, None, &length)?;
        let help = "1 while the provider answers with client errors only: a wrong path or key.";
        let reported = self.by_provider(|streak| streak.reported.into());
        show("valuation_provider_only_client_errors", help, None, &reported)?;

        let help = "Size of the database with its write-ahead log.";
        show("valuation_store_database_size", help, BYTES, &gauge(disk.database))?;
        if let Some(free) = disk.free {
            let help = "What the database's file system has left.";
            show("valuation_store_disk_free", help, BYTES, &gauge(free))?;
        }
        let lasting = |time: Duration| {
            let family = Family::<_, Gauge<f64, AtomicU64>>::default();
            family
                .get_or_create_owned(&[("name", self.lasting.name().to_owned())])
                .set(time.as_secs_f64());
            family
        };
        let help = "How long an operator has forced the route; 0 if none has.";
        show("valuation_failover_forced", help, SECONDS, &lasting(self.lasting.forced()))?;
        let help = "How long the fallback has stood in for the primary, by a trip or by force, with \
                    returns that did not hold; 0 if it does not.";
        show(
            "valuation_failover_on_fallback",
            help,
            SECONDS,
            &lasting(self.lasting.on_fallback()),
        )?;

        let seen = self.config.seen();
        let help = "Versions of the configuration's document that were read, by what became of them; unreachable: \
                    how often it could not be read any more.";
        show("valuation_config_reloads", help, None, &self.reloads())?;
        if let Some(read_at) = seen.read_at {
            let at = read_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let help = "When the configuration's document in force was read, since 1970.";
            let name = "valuation_config_last_applied_timestamp";
            show(name, help, SECONDS, &ConstGauge::new(at))?;
        }
        let help =
            "1 while the newest configuration is refused, and the earlier one stays in force.";
        show("valuation_config_refused", help, None, &gauge(seen.refused.is_some()))?;

        let (stats, (waiting, capacity)) = (self.store.stats(), self.store.queue());
        let help = "1 while the database can store, as far as is known, otherwise 0.";
        show("valuation_store_up", help, None, &gauge(self.store.can_store()))?;
        let help = "Permits of the writer's queue in use.";
        show("valuation_store_queue_length", help, None, &gauge(waiting))?;
        let help = "Permits of the writer's queue.";
        show("valuation_store_queue_capacity", help, None, &gauge(capacity))?;
        let help = "Committed transactions.";
        show("valuation_store_commits", help, None, &stats.transactions)?;
        let help = "Committed entries: a valuation with its log rows.";
        show("valuation_store_entries", help, None, &stats.entries)?;
        let help = "Entries that could not be stored at once.";
        show("valuation_store_failed_entries", help, None, &stats.failed)?;
        show("valuation_store_commit_rows", "Rows of each transaction.", None, &stats.sizes)?;
        let help = "Duration of transactions, including the wait for the disk.";
        show("valuation_store_commit_duration", help, SECONDS, &stats.durations)
    }
}

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
const BYTES: Option<&Unit> = Some(&Unit::Bytes);

fn gauge(value: impl TryInto<i64>) -> ConstGauge {
    ConstGauge::new(value.try_into().unwrap_or(i64::MAX))
}

impl Sources {
    fn reloads(&self) -> impl EncodeMetric {
        let family = Family::<_, Counter>::default();
        for (result, count) in
            ["applied", "refused", "unreachable"].iter().zip(self.config.counts())
        {
            family.get_or_create_owned(&[("result", *result)]).inc_by(count.get());
        }
        family
    }

    fn by_provider(&self, value: fn(Streak) -> u64) -> impl EncodeMetric {
        let family = Family::<_, Gauge>::default();
        for provider in Provider::ALL {
            let value = value(self.client_errors.streak(provider));
            let gauge = family.get_or_create_owned(&[("provider", provider.name())]);
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        family
    }
}
