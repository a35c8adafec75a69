//! The parts of the page that change. The first paint and the updates come from the same templates.

use std::time::SystemTime;

use askama::Template;
use failover::{Route, State};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::chart::{self, HEIGHT, Hour, WIDTH};
use super::figures::{
    Costs, Event, EventKind, FailedCall, Failover, History, Overview, ProviderCalls, ROWS, Warning,
};
use super::format::{
    bytes, count, counted, decimal, duration, latency, machine, minute, percent, pounds, roughly,
    share, short, time,
};
use super::latency::percentile;
use super::sentence::{meter, meter_text, sentence};

/// A part: the id of its element, and what is in it.
pub(super) type Part = (String, String);

/// The parts that may change each second.
pub(super) fn of_now(overview: &Overview) -> Vec<Part> {
    let mut parts = vec![
        ("announcement".to_owned(), announcement(overview)),
        ("warnings".to_owned(), render(&Warnings { warnings: &overview.warnings })),
        ("machine".to_owned(), render(&Machine::of(overview))),
    ];
    for (index, failover) in overview.failovers.iter().enumerate() {
        let rows = |part: &'static str| format!("f{index}-{part}");
        let now = overview.now;
        let events =
            failover.events.iter().take(ROWS).map(|event| EventRow::of(event, failover, now));
        let failed = failover.failed_calls.iter().take(ROWS).map(|call| FailedRow::of(call, now));
        let timer = timer(failover, now);
        let meter = failover.decision.is_counted().then(|| Meter::of(failover));
        parts.extend([
            (rows("route"), render(&RouteShown::of(failover))),
            (rows("countdown"), render(&Countdown { timer })),
            (rows("sentence"), render(&Sentence { sentence: sentence(failover, now), meter })),
            (rows("events"), render(&Events { rows: events.collect() })),
            (rows("failed"), render(&Failed { rows: failed.collect() })),
        ]);
    }
    parts
}

/// The parts that change every ten seconds.
pub(super) fn of_history(histories: &[History]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (index, history) in histories.iter().enumerate() {
        let id = |part: &str| format!("f{index}-{part}");
        let hour = Hour::until(history.now, &history.points);
        let rows = history.providers.iter().map(LatencyRow::of).collect();
        let costs = history.costs.map(CostsShown::of);
        parts.extend([
            (id("rate"), render(&Chart::of_rate(id("rate"), history, &hour))),
            (id("calls"), render(&Chart::of_calls(id("calls"), history, &hour))),
            (id("latency"), render(&Latency { rows })),
            (id("costs"), render(&CostsPart { costs, fallback: short(history.fallback) })),
        ]);
    }
    parts
}

/// What the tab is called: the route is seen there as well.
pub(super) fn title(overview: &Overview) -> String {
    let names = overview.failovers.iter().map(|failover| {
        let sign = if failover.decision.route == Route::Primary { "✓" } else { "⚠" };
        format!("{sign} {} · {}", short(failover.asked()), failover.name)
    });
    names.chain(["operators".to_owned()]).collect::<Vec<_>>().join(" · ")
}

/// For screen readers, which read it when it changes: without anything that changes each second.
fn announcement(overview: &Overview) -> String {
    let mut text = String::new();
    for failover in &overview.failovers {
        text += &format!("{} is asked. ", short(failover.asked()));
    }
    if !overview.warnings.is_empty() {
        text += &format!("{}.", counted(overview.warnings.len() as u64, "warning"));
    }
    text
}

pub(super) fn render(template: &impl Template) -> String {
    template.render().expect("a value that is shown writes to a String, which does not fail")
}

#[derive(Template)]
#[template(path = "operator/route.html")]
struct RouteShown {
    class: &'static str,
    icon: Icon,
    asked: String,
    state: &'static str,
}

enum Icon {
    Check,
    Detour,
    Part,
    Lock,
}

impl RouteShown {
    fn of(failover: &Failover) -> Self {
        let decision = &failover.decision;
        let asked = format!("{} is asked", short(failover.asked()));
        let (class, icon, state) = match decision.state {
            State::ForcedPrimary => ("forced", Icon::Lock, "forced by an operator"),
            State::ForcedFallback => ("forced", Icon::Lock, "forced by an operator"),
            state if decision.dry_run && state != State::Primary => {
                ("partly", Icon::Part, "dry run: the fallback would be asked")
            }
            State::Fallback => ("fallback", Icon::Detour, "on the fallback"),
            State::Probing => ("fallback", Icon::Part, "on the fallback, probing the primary"),
            State::Ramping => ("partly", Icon::Part, "returning to the primary"),
            _ if decision.dry_run => ("primary", Icon::Check, "on the primary, dry run"),
            _ => ("primary", Icon::Check, "on the primary"),
        };
        Self { class, icon, asked, state }
    }
}

#[derive(Template)]
#[template(path = "operator/sentence.html")]
struct Sentence {
    sentence: String,
    meter: Option<Meter>,
}

struct Meter {
    rate: u64,
    limit: u64,
    text: String,
}

impl Meter {
    fn of(failover: &Failover) -> Self {
        let (rate, limit) = meter(&failover.decision);
        Self { rate, limit, text: meter_text(&failover.decision) }
    }
}

#[derive(Template)]
#[template(path = "operator/countdown.html")]
struct Countdown {
    timer: Option<(String, String)>,
}

fn timer(failover: &Failover, now: SystemTime) -> Option<(String, String)> {
    let decision = &failover.decision;
    if let (true, Some(order)) = (decision.state.is_forced(), &decision.order) {
        let left = order.until?.duration_since(now).unwrap_or_default();
        return Some((duration(left), "until the order ends".to_owned()));
    }
    let until = match decision.state {
        State::Ramping => format!("until all calls go to {}", short(failover.primary)),
        State::Fallback if decision.probing.is_some() => {
            format!("until {} is probed", short(failover.primary))
        }
        _ => format!("until {} is asked again", short(failover.primary)),
    };
    Some((duration(decision.reverts_in?), until))
}

#[derive(Template)]
#[template(path = "operator/warnings.html")]
struct Warnings<'a> {
    warnings: &'a [Warning],
}

#[derive(Template)]
#[template(path = "operator/events.html")]
struct Events {
    rows: Vec<EventRow>,
}

struct EventRow {
    machine: String,
    time: String,
    class: &'static str,
    kind: String,
    text: String,
}

impl EventRow {
    fn of(event: &Event, failover: &Failover, now: SystemTime) -> Self {
        let (class, kind) = match &event.kind {
            EventKind::Transition { route: Route::Primary } => {
                ("to-primary", format!("→ {}", short(failover.primary)))
            }
            EventKind::Transition { route: Route::Fallback } => {
                ("to-fallback", format!("⇢ {}", short(failover.fallback)))
            }
            EventKind::Order { .. } => ("order", "order".to_owned()),
            EventKind::Note => ("note", "note".to_owned()),
        };
        let mut text = event.message.split(". ").next().unwrap_or_default().to_owned();
        if let EventKind::Order { by } = &event.kind {
            text += &format!(", by {by}");
        }
        Self { machine: machine(event.at), time: time(event.at, now), class, kind, text }
    }
}

#[derive(Template)]
#[template(path = "operator/failed.html")]
struct Failed {
    rows: Vec<FailedRow>,
}

struct FailedRow {
    machine: String,
    time: String,
    provider: &'static str,
    vrm: String,
    path: String,
    error: String,
    took: String,
}

impl FailedRow {
    fn of(call: &FailedCall, now: SystemTime) -> Self {
        let status = call.status.map_or_else(String::new, |status| format!(" {status}"));
        Self {
            machine: machine(call.at),
            time: time(call.at, now),
            provider: short(call.provider),
            vrm: call.vrm.clone(),
            path: utf8_percent_encode(&call.vrm, NON_ALPHANUMERIC).to_string(),
            error: format!("{}{status}", call.code),
            took: latency(call.duration),
        }
    }
}

#[derive(Template)]
#[template(path = "operator/machine.html")]
struct Machine {
    facts: Vec<(&'static str, String, &'static str)>,
}

impl Machine {
    fn of(overview: &Overview) -> Self {
        let machine = &overview.machine;
        let checks = overview.readiness.iter().map(|check| match &check.trouble {
            None => (check.name, "✓ ok".to_owned(), "good"),
            Some(trouble) => (check.name, format!("✗ {trouble}"), "bad"),
        });
        let size = |size: Option<u64>| size.map_or_else(|| "not known".to_owned(), bytes);
        let queue = format!("{} of {}", count(machine.queue), count(machine.queue_capacity));
        let mut facts: Vec<_> = checks.collect();
        facts.extend([
            ("writer's queue", queue, ""),
            ("commits", count(machine.commits), ""),
            ("database size", size(machine.database), ""),
            ("disk left", size(machine.disk_free), ""),
            ("uptime", roughly(machine.uptime), ""),
            ("version", machine.version.to_owned(), ""),
        ]);
        if machine.lost_calls > 0 {
            facts.push(("calls not stored", count(machine.lost_calls), "bad"));
        }
        Self { facts }
    }
}

#[derive(Template)]
#[template(path = "operator/chart.html")]
struct Chart {
    id: String,
    summary: String,
    /// The class of a line, and its name.
    legend: Vec<(&'static str, &'static str)>,
    /// Where the fallback was asked, and for how long, in percent of the width.
    shades: Vec<(String, String)>,
    /// How high the limit is in percent, how much lower its name stands in pixels, and the name.
    limit: Option<(String, i32, String)>,
    /// The class of a line, and its path.
    lines: Vec<(&'static str, String)>,
    top: String,
    times: (String, String, String),
}

impl Chart {
    fn of_rate(id: String, history: &History, hour: &Hour) -> Self {
        let rates = hour.rates(history.limits.window);
        let newest = rates.last().copied().flatten();
        // The first of the highest: compared as fractions.
        let exceeds = |(part, whole): chart::Rate, other: chart::Rate| {
            u128::from(part) * u128::from(other.1) > u128::from(other.0) * u128::from(whole)
        };
        let known = rates.iter().enumerate().filter_map(|(slot, rate)| Some((slot, (*rate)?)));
        let highest =
            known.reduce(|most, other| if exceeds(other.1, most.1) { other } else { most });
        let mut summary = match (newest, highest) {
            (_, None) => "no calls in the last hour".to_owned(),
            (newest, Some((slot, rate))) => {
                let now = newest.map_or_else(
                    || "no calls now".to_owned(),
                    |rate| format!("now {}", percent(rate.0, rate.1)),
                );
                let at = minute(hour.at(slot));
                format!("{now}, highest {} at {at}", percent(rate.0, rate.1))
            }
        };
        let away = hour.time_on_fallback();
        if !away.is_zero() {
            summary += &format!("; on the fallback for {} (hatched)", duration(away));
        }
        let y = chart::limit_height(history.limits.failure_rate);
        // The name stands above its line, unless that is at the top.
        let dy = if y < 150 { 16 } else { -6 };
        let limit = format!("limit {}", share(history.limits.failure_rate));
        Self {
            summary,
            legend: vec![("rate", "failure rate"), ("limit", "limit")],
            limit: Some((chart::tenths(y), dy, limit)),
            lines: vec![("rate", chart::rate_path(&rates))],
            top: "100 %".to_owned(),
            ..Self::empty(id, hour)
        }
    }

    fn of_calls(id: String, history: &History, hour: &Hour) -> Self {
        let (primary, fallback) = hour.calls();
        let most = chart::scale(primary.iter().chain(&fallback).copied());
        let (first, second) = (short(history.primary), short(history.fallback));
        let rate = |calls: &[u64]| per_second(calls.last().copied().unwrap_or(0));
        let summary = if hour.is_empty() {
            "no calls in the last hour".to_owned()
        } else {
            format!("now {} to {first}, {} to {second}", rate(&primary), rate(&fallback))
        };
        Self {
            summary,
            legend: vec![("to-primary", first), ("to-fallback", second)],
            limit: None,
            lines: vec![
                ("to-primary", chart::calls_path(&primary, most)),
                ("to-fallback", chart::calls_path(&fallback, most)),
            ],
            top: per_second(most),
            ..Self::empty(id, hour)
        }
    }

    /// The axis of time.
    fn empty(id: String, hour: &Hour) -> Self {
        let percent = |slots: usize| {
            let hundredths = slots * 10_000 / WIDTH;
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        };
        let shades = hour.on_fallback().into_iter();
        let shades = shades.map(|slots| (percent(slots.start), percent(slots.len()))).collect();
        let at = |slot| minute(hour.at(slot));
        let times = (at(0), at(WIDTH / 2), format!("{} UTC", at(WIDTH)));
        let (summary, top) = (String::new(), String::new());
        Self { id, summary, legend: Vec::new(), shades, limit: None, lines: Vec::new(), top, times }
    }
}

/// Calls in ten seconds, as `1.5 a second`.
fn per_second(calls: u64) -> String {
    decimal(calls, 10, "a second")
}

#[derive(Template)]
#[template(path = "operator/latency.html")]
struct Latency {
    rows: Vec<LatencyRow>,
}

struct LatencyRow {
    name: &'static str,
    calls: String,
    failures: String,
    percentiles: [(&'static str, String); 3],
}

impl LatencyRow {
    fn of(calls: &ProviderCalls) -> Self {
        Self {
            name: short(calls.provider),
            calls: count(calls.calls),
            failures: count(calls.failures),
            percentiles: [("p50", 50), ("p95", 95), ("p99", 99)]
                .map(|(name, percent)| (name, percentile(&calls.latencies, percent))),
        }
    }
}

#[derive(Template)]
#[template(path = "operator/costs.html")]
struct CostsPart {
    costs: Option<CostsShown>,
    fallback: &'static str,
}

struct CostsShown {
    total: String,
    calls: String,
    price: String,
    routed: String,
    rescued: String,
}

impl CostsShown {
    fn of(costs: Costs) -> Self {
        let price = |calls: u64| pounds(u128::from(calls) * u128::from(costs.price.pence()));
        let both = |calls| format!("{} ({})", counted(calls, "call"), price(calls));
        let rescues = costs.rescues.min(costs.calls);
        Self {
            total: price(costs.calls),
            calls: counted(costs.calls, "call"),
            price: price(1),
            routed: both(costs.calls - rescues),
            rescued: both(rescues),
        }
    }
}
