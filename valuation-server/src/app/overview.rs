//! What the operator's page shows, read from the state at each request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use failover::Route;
use failover::clock::Clock;

use super::operator::Backstage;
use super::policy;
use super::switch::Providers;
use super::transition::provider;
use crate::admin::{self, Kind, Operated};
use crate::config;
use crate::domain::{Counts, Provider};
use crate::store::{DiskUse, HistoryRow};
use crate::web::operator::{
    Check, Costs, Decision, Event, EventKind, Failover, Fleet, History, Limits, Machine, Order,
    Overview, Point, Probing, ProviderCalls, ROWS, Ramp, Setting, Warning,
};

impl<Clk: Clock + fmt::Debug> Backstage<Clk> {
    pub(super) async fn shown(&self) -> Overview {
        let check = |admin::Check { name, trouble }| Check { name, trouble };
        let warning = |admin::Warning { text, .. }| Warning { text };
        Overview {
            now: SystemTime::now(),
            failovers: vec![failover(&self.providers)],
            warnings: self.warnings().into_iter().map(warning).collect(),
            readiness: self.readiness().into_iter().map(check).collect(),
            machine: self.machine().await,
            configuration: self.configured.shown(),
            has_session: false,
        }
    }

    pub(super) async fn histories(&self) -> Vec<History> {
        let rows = self.history.last_hour().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the last hour cannot be read now");
            Arc::default()
        });
        let (primary, fallback) = (provider(Route::Primary), provider(Route::Fallback));
        let config = self.providers.config();
        let today = self.history.today().get(fallback.name()).copied().unwrap_or_default();
        let costs = |price| Costs { price, calls: today.calls, rescues: today.rescues };
        vec![History {
            now: SystemTime::now(),
            primary,
            fallback,
            limits: policy::limits(&config),
            points: points::<Clk>(&rows),
            providers: [primary, fallback].map(|provider| calls(&rows, provider)).to_vec(),
            costs: config.fallback_price.map(costs),
        }]
    }

    async fn machine(&self) -> Machine {
        let (queue, queue_capacity) = self.store.queue();
        let DiskUse { database, free } = self.store.disk_use().await;
        Machine {
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.started.elapsed(),
            queue: queue as u64,
            queue_capacity: queue_capacity as u64,
            commits: self.store.stats().transactions.get(),
            lost_calls: self.store.lost_calls(),
            database: Some(database),
            disk_free: free,
        }
    }
}

/// The rows of each interval as one point, in the order of time.
fn points<Clk: Clock>(rows: &[HistoryRow]) -> Vec<Point> {
    let mut points = BTreeMap::new();
    for HistoryRow { source, at, counts, .. } in rows {
        let point = points.entry(*at).or_insert_with(|| Point {
            at: UNIX_EPOCH + Duration::from_secs(*at),
            counted: 0,
            failures: 0,
            primary: 0,
            fallback: 0,
            on_fallback: Duration::ZERO,
        });
        if source == Providers::<Clk>::NAME {
            (point.counted, point.failures) = (counts.calls, counts.failures);
            point.on_fallback = Duration::from_millis(counts.fallback_ms);
        } else if source == provider(Route::Primary).name() {
            point.primary = counts.calls;
        } else if source == provider(Route::Fallback).name() {
            point.fallback = counts.calls;
        }
    }
    points.into_values().collect()
}

/// The sum of a provider's rows.
fn calls(rows: &[HistoryRow], provider: Provider) -> ProviderCalls {
    let mut sum = Counts::ZERO;
    rows.iter().filter(|row| row.source == provider.name()).for_each(|row| sum += &row.counts);
    let Counts { calls, failures, latencies, .. } = sum;
    ProviderCalls { provider, calls, failures, latencies }
}

fn failover<Clk: Clock>(providers: &Providers<Clk>) -> Failover {
    let config = providers.config();
    let setting = |setting: config::Setting| {
        let value = config.shown(setting)?;
        Some(Setting { key: setting.key(), value, help: setting.help() })
    };
    Failover {
        name: Providers::<Clk>::NAME.to_owned(),
        primary: provider(Route::Primary),
        fallback: provider(Route::Fallback),
        decision: decision(providers, policy::limits(&config)),
        rescue: config.rescue,
        settings: config::Setting::live().filter_map(setting).collect(),
        events: providers.attempts.journal.last(ROWS).into_iter().map(event).collect(),
        failed_calls: providers.attempts.failed_calls.latest(),
        fleet: providers.cluster().and_then(|view| Fleet::of(&view, Providers::<Clk>::NAME)),
    }
}

fn decision<Clk: Clock>(providers: &Providers<Clk>, limits: Limits) -> Decision {
    let (policy, snapshot) = (providers.handle().policy(), providers.status());
    let probing = policy
        .probing()
        .map(|rules| Probing { max_in_flight: rules.max_in_flight, successes: rules.successes });
    Decision {
        state: snapshot.state,
        route: snapshot.route,
        dry_run: snapshot.dry_run,
        calls: snapshot.tally.calls(),
        failures: snapshot.tally.failures,
        slow: snapshot.tally.slow,
        stalled: snapshot.stalled_calls,
        limits,
        reason: providers.attempts.last_trip.reason(),
        reverts_in: snapshot.reverts_in,
        probing,
        ramp: policy.ramp_up().map(|(first, over)| Ramp { first, over }),
        order: providers.orders.order().map(order),
    }
}

fn order(order: admin::Order) -> Order {
    let admin::Order { by, since, until, reason, .. } = order;
    Order { by, since: since.into(), until: until.map(SystemTime::from), reason }
}

fn event(event: admin::Event) -> Event {
    let route =
        |name| if name == Route::Fallback.as_str() { Route::Fallback } else { Route::Primary };
    let kind = match event.kind {
        Kind::Transition { route: name, .. } => EventKind::Transition { route: route(name) },
        Kind::Command { from, .. } => EventKind::Order { by: from },
        Kind::ClientErrors { .. } | Kind::Configuration | Kind::LongOnFallback { .. } => {
            EventKind::Note
        }
    };
    Event { at: SystemTime::from(event.time), kind, message: event.message }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use failover::clock::ManualClock;

    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::super::configuration::Configured;
    use super::super::history::History as Recorded;
    use super::super::live::Live;
    use super::super::records::Stored;
    use super::super::report::Reports;
    use super::*;
    use crate::config::{Config, Setting, Status};
    use crate::domain::{CallOutcome, Entry, Money, ProviderCall, Vrm};
    use crate::http::Options;
    use crate::providers::BaseUrl;
    use crate::store::{Store, StoreConfig};
    use crate::telemetry::{Metrics, Sources};
    use crate::valuer::Valuer;

    async fn backstage(folder: &std::path::Path) -> Backstage<ManualClock> {
        let database = folder.join("v.sqlite");
        let url = || BaseUrl::parse("http://127.0.0.1:1").unwrap();
        let flags = BTreeMap::from([(Setting::FallbackPrice, "0.20".to_owned())]);
        let config = Config::with_providers(&flags, &database, url(), url()).unwrap();
        let providers = Arc::new(Providers::new(&config, ManualClock::new()).unwrap());
        let store = Store::open(&StoreConfig::new(database)).await.unwrap();
        let calls = providers.attempts.calls.clone();
        let metrics = Metrics::new(Sources {
            failovers: failover::prometheus::Metrics::new(),
            calls: calls.clone(),
            client_errors: Arc::clone(&providers.attempts.client_errors),
            traffic: Arc::default(),
            store: store.clone(),
            valuer: Valuer::new(Arc::new(Stored(store.clone())), providers.quotes()),
            lasting: Arc::clone(&providers) as _,
            config: Status::default(),
            cluster: None,
        });
        let live = Live {
            applying: Arc::default(),
            providers: Providers::clone(&providers),
            valuer: Valuer::new(Arc::new(Stored(store.clone())), providers.quotes()),
            options: Options::default().into(),
            guard: None,
            queue: 1_024,
            status: Status::default(),
        };
        Backstage {
            history: Recorded::new(store.clone(), calls),
            reports: Reports::new(folder.join("v.sqlite").into()),
            configured: Configured::new(live),
            stopping: CancellationToken::new(),
            started: Instant::now(),
            store,
            metrics,
            providers,
        }
    }

    #[tokio::test]
    async fn the_page_shows_the_machine_the_hour_and_what_the_day_cost() {
        let folder = tempfile::tempdir().unwrap();
        let backstage = backstage(folder.path()).await;
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
        let machine = backstage.shown().await.machine;
        assert_eq!((machine.commits, machine.queue, machine.queue_capacity), (1, 0, 1_024));
        for bytes in [machine.database, machine.disk_free] {
            assert!(bytes.is_some_and(|bytes| bytes > 0), "{machine:?}");
        }
        assert!(backstage.histories().await[0].points.is_empty());

        let counts = backstage.providers.attempts.calls.totals(Provider::Premium);
        let now = UNIX_EPOCH + UNIX_EPOCH.elapsed().unwrap();
        backstage.store.record(now, vec![(Provider::Premium.name(), counts)]).await.unwrap();
        backstage.history.reread_day(Default::default()).await;
        let history = backstage.histories().await.remove(0);
        let [point] = history.points[..] else { panic!("{history:?}") };
        assert_eq!((point.primary, point.fallback, point.counted), (0, 1, 0));
        let premium = &history.providers[1];
        assert_eq!(
            (premium.provider, premium.calls, premium.latencies.0[3]),
            (Provider::Premium, 1, 1)
        );
        assert_eq!(history.costs.map(|costs| costs.price), Money::parse("0.20").ok());
    }
}
