//! The parts of the page that change every ten seconds: the lines, and the sums of longer times.

use askama::Template;

use super::chart::{self, HEIGHT, Hour, WIDTH};
use super::figures::{Costs, History, ProviderCalls};
use super::format::{count, counted, decimal, duration, minute, percent, pounds, share, short};
use super::latency::percentile;
use super::{Part, render};

/// These parts, for each failover.
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
            (_, None) => format!("no calls to {} in the last hour", short(history.primary)),
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
