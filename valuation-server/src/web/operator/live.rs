//! The parts of the page that may change each second.

use std::time::SystemTime;

use askama::Template;
use failover::{Route, State};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::figures::{Event, EventKind, FailedCall, Failover, Overview, ROWS, Warning};
use super::format::{bytes, count, counted, duration, latency, machine, roughly, short, time};
use super::nodes;
use super::sentence::{meter, meter_text, sentence};
use super::{Part, render};

/// These parts: of the server, and for each failover.
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
        if let Some(fleet) = &failover.fleet {
            parts.push((rows("fleet"), nodes::fleet(failover, fleet, now)));
        }
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
        _ if decision.dry_run => "until it would be over".to_owned(),
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
        let text = match &event.kind {
            // What it means and what to do is in the log.
            EventKind::Transition { .. } => {
                event.message.split(". ").next().unwrap_or_default().to_owned()
            }
            // With the reason, as the operator wrote it.
            EventKind::Order { by } => format!("{}, by {by}", event.message),
            EventKind::Note => event.message.clone(),
        };
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
