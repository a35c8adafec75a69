//! The report as JSON: counts as numbers, percentages as texts, since a binary float would round them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::figures::Figures;
use super::words::{Source, accounting, decimals, pence};
use super::{Report, Share, Verdict};

/// The report as JSON. What there is no data for is `null`.
#[must_use]
pub fn json(report: &Report, source: &Source) -> String {
    let statements = accounting(report, source);
    let statement = |(topic, text): &(&str, String)| json!({ "topic": topic, "statement": text });
    let providers: Vec<_> = report
        .providers
        .iter()
        .map(|provider| {
            let of = |figures: &Figures| self::figures(report, &provider.name, figures);
            let periods = report.periods.iter().zip(&provider.periods).map(|(period, figures)| {
                let mut value = of(figures);
                value["period"] = json!(period.name);
                value["start"] = time(period.start);
                value["end"] = time(period.end);
                value
            });
            let outages = provider.outages.iter().map(|outage| {
                json!({
                    "start": time(outage.start),
                    "recovered": outage.recovered.map(time),
                    "minutes": outage.minutes,
                })
            });
            json!({
                "name": provider.name,
                "total": of(&provider.total),
                "periods": periods.collect::<Vec<_>>(),
                "outages": outages.collect::<Vec<_>>(),
            })
        })
        .collect();
    let report = json!({
        "from": time(report.from),
        "to": time(report.to),
        "timeZone": report.terms.zone.iana_name(),
        "by": report.terms.by.as_str(),
        "firstId": report.ids.map(|ids| ids.0),
        "lastId": report.ids.map(|ids| ids.1),
        "undatedRows": report.undated,
        "accounting": statements.iter().map(statement).collect::<Vec<_>>(),
        "providers": providers,
    });
    format!("{report:#}\n")
}

fn time(minute: i64) -> Value {
    json!(Timestamp::from_second(minute.saturating_mul(60)).ok().map(|at| at.to_string()))
}

fn figures(report: &Report, provider: &str, figures: &Figures) -> Value {
    let percent = |share: Share| share.percent(decimals(report));
    let verdict = |verdict: Option<Verdict>| {
        let value = |v: Verdict| json!({ "met": v.is_met(), "allowed": v.allowed, "bad": v.bad });
        verdict.map(value)
    };
    let target = report.terms.target;
    json!({
        "calls": figures.calls,
        "failures": figures.failures,
        "ignored": figures.ignored,
        "availability": percent(figures.available_calls()),
        "minutes": figures.minutes,
        "unavailableMinutes": figures.unavailable_minutes,
        "availabilityByMinutes": percent(figures.available_minutes()),
        "durationsMs": figures.durations.map(|d| json!({
            "p50": d.p50, "p95": d.p95, "p99": d.p99, "max": d.max, "mean": d.mean,
        })),
        "slow": figures.slow,
        "slowShare": figures.slow_share().and_then(percent),
        "outages": figures.outages,
        "longestOutageMinutes": figures.longest_outage,
        "recoveries": figures.recoveries,
        "recoveryMinutes": figures.recovery_minutes,
        "share": percent(figures.share()),
        "rescues": figures.rescues,
        "rescued": figures.rescued,
        "pricePence": pence(report, provider, figures).and_then(|pence| u64::try_from(pence).ok()),
        "failuresByCode": figures.failures_by_code,
        "target": target.and_then(|target| verdict(figures.by_calls(target))),
        "targetByMinutes": target.and_then(|target| verdict(figures.by_minutes(target))),
    })
}
