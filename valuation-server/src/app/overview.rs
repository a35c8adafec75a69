//! What the operator's page shows, read from the state at each request.

use std::fmt;
use std::time::SystemTime;

use failover::Route;
use failover::clock::Clock;

use super::operator::Backstage;
use super::switch::Providers;
use super::transition::provider;
use crate::admin::{self, Kind, Operated};
use crate::config;
use crate::web::operator::{
    Check, Decision, Event, EventKind, Failover, History, Limits, Machine, Overview, Probing, ROWS,
    Ramp, Setting,
};

impl<Clk: Clock + fmt::Debug> Backstage<Clk> {
    pub(super) fn shown(&self) -> Overview {
        let check = |admin::Check { name, trouble }| Check { name, trouble };
        Overview {
            now: SystemTime::now(),
            failovers: vec![failover(&self.providers)],
            warnings: Vec::new(),
            readiness: self.readiness().into_iter().map(check).collect(),
            machine: self.machine(),
            has_session: false,
        }
    }

    pub(super) fn histories(&self) -> Vec<History> {
        vec![History {
            now: SystemTime::now(),
            primary: provider(Route::Primary),
            fallback: provider(Route::Fallback),
            limits: limits(&self.providers.config()),
            points: Vec::new(),
            providers: Vec::new(),
            costs: None,
        }]
    }

    fn machine(&self) -> Machine {
        let (queue, queue_capacity) = self.store.queue();
        Machine {
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.started.elapsed(),
            queue: queue as u64,
            queue_capacity: queue_capacity as u64,
            commits: self.store.stats().transactions.get(),
            lost_calls: self.store.lost_calls(),
            database: None,
            disk_free: None,
        }
    }
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
        decision: decision(providers, limits(&config)),
        settings: config::Setting::live().filter_map(setting).collect(),
        events: providers.attempts.journal.last(ROWS).into_iter().map(event).collect(),
        failed_calls: providers.attempts.failed_calls.latest(),
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
        order: None,
    }
}

fn limits(config: &config::Config) -> Limits {
    Limits {
        failure_rate: config.failure_rate,
        minimum_calls: config.min_calls.into(),
        window: config.window,
        slow_rate: config.slow_call.map(|_| config.slow_rate),
    }
}

fn event(event: admin::Event) -> Event {
    let route =
        |name| if name == Route::Fallback.as_str() { Route::Fallback } else { Route::Primary };
    let kind = match event.kind {
        Kind::Transition { route: name, .. } => EventKind::Transition { route: route(name) },
        Kind::Command { from, .. } => EventKind::Order { by: from },
        Kind::ClientErrors { .. } => EventKind::Note,
    };
    Event { at: SystemTime::from(event.time), kind, message: event.message }
}
