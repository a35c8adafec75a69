//! What the page shows in each state, for tests.

use std::time::{Duration, SystemTime};

use failover::cluster::Command;
use failover::{Ratio, Route, State};

use super::configuration::{Configuration, Document, SettingInForce, Trouble};
use super::figures::*;
use super::fleet::{Bus, Fleet, FleetOrder, Node};
use crate::domain::{Latencies, Money, Provider};

/// 2026-11-30, 12:03:07 UTC.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_040_187)
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

/// Each sample: its name, what is shown, and the history.
pub(super) fn all() -> Vec<(&'static str, Overview, Vec<History>)> {
    let outage = vec![history(0..0, 24)];
    let over = vec![history(60..120, 0)];
    let calm = vec![history(0..0, 0)];
    vec![
        ("primary", healthy(), calm.clone()),
        ("cold", cold(), vec![empty_history()]),
        ("outage", fallback(), outage.clone()),
        ("after", after(), over),
        ("forced", forced(), outage),
        ("fleet", fleet(), calm.clone()),
        ("fleet-outage", fleet_outage(), calm.clone()),
        (
            "probing",
            decided(|d| {
                (d.state, d.route) = (State::Probing, Route::Fallback);
                d.probing = Some(Probing { max_in_flight: 2, successes: 3 });
            }),
            calm.clone(),
        ),
        (
            "returning",
            decided(|d| {
                (d.state, d.calls, d.failures) = (State::Ramping, 30, 1);
                d.ramp = Some(Ramp { first: Ratio::percent(10), over: Duration::from_secs(60) });
                d.reverts_in = Some(Duration::from_secs(30));
            }),
            calm.clone(),
        ),
        (
            "dry-run",
            decided(|d| {
                (d.state, d.dry_run, d.calls, d.failures) = (State::Fallback, true, 10, 6);
                d.reverts_in = Some(Duration::from_secs(60));
            }),
            calm,
        ),
    ]
}

pub(super) fn healthy() -> Overview {
    let decision = Decision {
        state: State::Primary,
        route: Route::Primary,
        dry_run: false,
        calls: 601,
        failures: 12,
        slow: 0,
        stalled: 0,
        limits: limits(),
        reason: Reason::FailureRate { failures: 301, calls: 601, limit: Some(limit()) },
        reverts_in: None,
        probing: None,
        ramp: None,
        order: None,
    };
    let failover = Failover {
        name: "valuations".into(),
        primary: Provider::SuperCar,
        fallback: Provider::Premium,
        decision,
        rescue: true,
        settings: settings(),
        events: Vec::new(),
        failed_calls: vec![
            failed(95, "AB12CDE", "TIMEOUT", None),
            failed(188, "XY70 ZZZ", "STATUS", Some(503)),
        ],
        fleet: None,
    };
    let check = |name| Check { name, trouble: None };
    Overview {
        now: now(),
        failovers: vec![failover],
        warnings: Vec::new(),
        readiness: vec![check("database"), check("accepting")],
        machine: Machine {
            version: "0.1.0",
            uptime: Duration::from_secs(273_000),
            queue: 3,
            queue_capacity: 1_000,
            commits: 1_204_511,
            lost_calls: 0,
            database: Some(812_345_678),
            disk_free: Some(41_234_567_890),
        },
        configuration: configuration(),
        has_session: false,
    }
}

fn configuration() -> Configuration {
    let setting = |key, value: &str, source: &str| SettingInForce {
        key,
        value: Some(value.to_owned()),
        source: source.to_owned(),
        by: None,
        since: ago(273_000),
        change: "reload",
        waits: false,
        at_restart: Some(value.to_owned()),
    };
    let place = "/etc/valuation-server/config.toml";
    let because = "window (/etc/valuation-server/config.toml, line 12): \"1\" is not a duration with its unit";
    Configuration {
        document: Some(Document {
            place: place.to_owned(),
            read_at: ago(7_200),
            refused: Some(Trouble { at: ago(60), because: because.to_owned() }),
            unreachable: None,
        }),
        settings: vec![
            SettingInForce {
                change: "restart",
                waits: true,
                at_restart: Some("0.0.0.0:3000".to_owned()),
                ..setting("listen", "127.0.0.1:3000", "default")
            },
            setting(
                "supercar-url",
                "https://supercar.example/v1?key=***",
                "environment VALUATION_SUPERCAR_URL",
            ),
            SettingInForce {
                by: Some("192.0.2.7:52114".to_owned()),
                since: ago(600),
                change: "operator",
                ..setting("failure-rate", "1/3", "operator, saved")
            },
            SettingInForce {
                since: ago(7_200),
                ..setting(
                    "provider-timeout",
                    "3s",
                    "file /etc/valuation-server/config.toml, line 7",
                )
            },
            SettingInForce {
                value: None,
                at_restart: None,
                ..setting("admin-token", "", "default")
            },
        ],
    }
}

fn cold() -> Overview {
    let mut overview = decided(|d| (d.calls, d.failures) = (0, 0));
    overview.failovers[0].failed_calls.clear();
    overview.machine = Machine {
        uptime: Duration::ZERO,
        queue: 0,
        commits: 0,
        database: None,
        disk_free: None,
        ..overview.machine
    };
    overview
}

fn decided(change: impl FnOnce(&mut Decision)) -> Overview {
    let mut overview = healthy();
    change(&mut overview.failovers[0].decision);
    overview
}

fn fallback() -> Overview {
    let mut overview = decided(|d| {
        (d.state, d.route, d.calls, d.failures) = (State::Fallback, Route::Fallback, 0, 0);
        d.reverts_in = Some(Duration::from_millis(191_500));
    });
    overview.warnings = vec![Warning {
        text: "Premium Car Valuations refuses our requests with status 401: check its credentials"
            .into(),
    }];
    let failover = &mut overview.failovers[0];
    failover.events = events();
    failover.failed_calls =
        (0..20).map(|n| failed(110 + n, &format!("AB{n}CDE"), "STATUS", Some(503))).collect();
    overview
}

fn after() -> Overview {
    let mut overview = decided(|d| (d.calls, d.failures) = (4, 0));
    overview.failovers[0].events = events();
    overview.failovers[0].events.insert(0, transition(
        2_410,
        Route::Primary,
        "revert: SuperCar is asked first: the time on the fallback is over; counts start from zero",
    ));
    overview
}

fn forced() -> Overview {
    let mut overview = decided(|d| {
        (d.state, d.route, d.calls, d.failures) = (State::ForcedFallback, Route::Fallback, 0, 0);
        d.order = Some(Order {
            by: "192.0.2.7:50112".into(),
            since: ago(4_000),
            until: Some(now() + Duration::from_secs(3_200)),
            reason: Some("SuperCar's maintenance".into()),
        });
    });
    overview.has_session = true;
    overview.warnings =
        vec![Warning { text: "The route has been forced for 1 h 6 min, until 12:56 UTC".into() }];
    overview.readiness[0].trouble = Some("the database is not available: the disk is full".into());
    overview.failovers[0].events = events();
    overview
}

/// Three nodes: this one is well, one is suspect, and one is on the fallback alone.
pub(super) fn fleet() -> Overview {
    let mut overview = healthy();
    let node = |id: &str, zone: &str| Node {
        id: id.into(),
        labels: vec![format!("version={}", env!("CARGO_PKG_VERSION")), format!("zone={zone}")],
        state: State::Primary,
        reverts_in: None,
        epoch: 3,
        scope: None,
        suspicion: None,
        age: Duration::ZERO,
        calls: 100,
        failures: 8,
        is_informed: true,
    };
    let suspect = Node {
        suspicion: Some("its application reports a fault of its own".into()),
        age: Duration::from_millis(130),
        ..node("a07715be00d1c2f3", "b")
    };
    let alone = Node {
        state: State::Fallback,
        reverts_in: Some(Duration::from_millis(21_500)),
        age: Duration::from_millis(910),
        is_informed: false,
        failures: 93,
        ..node("c4d2e9907f61a8b3", "c")
    };
    let order = FleetOrder {
        command: Command::Release,
        by: "192.0.2.7:50112".into(),
        reason: "the maintenance is over".into(),
        age: Duration::from_secs(600),
    };
    overview.failovers[0].fleet = Some(Fleet {
        cluster: "valuations".into(),
        node: "3f9a0c5177e2b1d4".into(),
        beat: Duration::from_millis(200),
        bus: Bus {
            is_up: true,
            reason: String::new(),
            since: Duration::from_secs(7_215),
            losses: 1,
            lagged: 0,
        },
        epoch: 3,
        scope: None,
        vouchers: 0,
        calls: 300,
        failures: 24,
        domains: 3,
        refused: 0,
        nodes: vec![node("3f9a0c5177e2b1d4", "a"), suspect, alone],
        orders: vec![order],
    });
    overview
}

/// The whole fleet is on the fallback, and the bus has just been lost.
fn fleet_outage() -> Overview {
    let mut overview = fallback();
    let mut fleet = fleet().failovers.remove(0).fleet.expect("the sample has a fleet");
    for node in &mut fleet.nodes {
        node.state = State::Fallback;
        node.reverts_in = Some(Duration::from_millis(191_500));
        node.scope = Some("fleet".into());
        (node.suspicion, node.is_informed) = (None, true);
    }
    (fleet.scope, fleet.vouchers, fleet.refused) = (Some("fleet".into()), 2, 4);
    fleet.bus = Bus {
        is_up: false,
        reason: "127.0.0.1:6379: connection refused".into(),
        since: Duration::from_secs(2),
        losses: 2,
        lagged: 17,
    };
    overview.failovers[0].fleet = Some(fleet);
    overview
}

pub(super) fn limit() -> Limit {
    Limit { rate: Ratio::HALF, minimum_calls: 10 }
}

fn limits() -> Limits {
    Limits {
        failure_rate: Ratio::HALF,
        minimum_calls: 10,
        window: Duration::from_secs(60),
        slow_rate: None,
    }
}

fn settings() -> Vec<Setting> {
    crate::config::Setting::live()
        .map(|setting| Setting { key: setting.key(), value: "0.5".into(), help: setting.help() })
        .collect()
}

fn transition(seconds: u64, route: Route, message: &str) -> Event {
    Event { at: ago(seconds), kind: EventKind::Transition { route }, message: message.into() }
}

fn events() -> Vec<Event> {
    let order = EventKind::Order { by: "127.0.0.1:50112".into() };
    let trip = "failover: Premium is asked instead of SuperCar: 301 of its last 601 calls failed; back in \
                5m. Customers still get valuations, at Premium's price; nothing has to be done here";
    vec![
        transition(108, Route::Fallback, trip),
        Event { at: ago(4_000), kind: order, message: "policy: failure-rate = 1/2".into() },
        Event {
            at: ago(90_000),
            kind: EventKind::Note,
            message:
                "client errors: Premium Car Valuations refused a request with status 401: check \
                      the credentials and keys in its URL, and the contract. They count as answers"
                    .into(),
        },
    ]
}

fn failed(seconds: u64, vrm: &str, code: &str, status: Option<u16>) -> FailedCall {
    let (vrm, code) = (vrm.into(), code.into());
    let duration = Duration::from_millis(if status.is_some() { 43 } else { 5_001 });
    FailedCall { at: ago(seconds), provider: Provider::SuperCar, vrm, code, status, duration }
}

fn empty_history() -> History {
    let calls = |provider| ProviderCalls {
        provider,
        calls: 0,
        failures: 0,
        latencies: Latencies::default(),
    };
    History {
        now: now(),
        primary: Provider::SuperCar,
        fallback: Provider::Premium,
        limits: limits(),
        points: Vec::new(),
        providers: Provider::ALL.map(calls).into(),
        costs: None,
    }
}

/// An hour with an outage in these slots, and one that goes on since this many slots.
fn history(outage: std::ops::Range<usize>, newest: usize) -> History {
    let slots = 360;
    let mut history = empty_history();
    let mut random = 7_u64;
    for slot in 0..slots {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let calls = 60 + (random >> 33) % 40 + (slot as u64 % 90) / 3;
        let fails = outage.contains(&slot) || slot >= slots - newest;
        // Six slots of failures until the trip.
        let is_trip = fails && (slot < outage.start + 6 || slot == slots - newest);
        let away = fails && !is_trip;
        let counted = if away { 0 } else { calls };
        let failures = if is_trip { calls * 6 / 10 } else { counted * ((random >> 50) % 8) / 100 };
        history.points.push(Point {
            at: now() - Duration::from_secs(((slots - slot) * 10) as u64),
            counted,
            failures,
            primary: counted,
            fallback: if away { calls } else { failures },
            on_fallback: if away { Point::SPAN } else { Duration::ZERO },
        });
    }
    for (provider, shape) in history.providers.iter_mut().zip([[3_u64, 9, 30], [1, 5, 12]]) {
        provider.calls = 28_411;
        provider.failures = 613;
        provider.latencies.0[4] = shape[0] * 2_000;
        provider.latencies.0[6] = shape[1] * 200;
        provider.latencies.0[9] = shape[2];
    }
    let price = Money::from_pence(20).expect("20 pence are an amount");
    history.costs = Some(Costs { price, calls: 1_312, rescues: 41 });
    history
}
