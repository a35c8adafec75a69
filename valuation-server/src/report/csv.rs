//! The report as comma-separated values, one table: a row per provider and period, one for the total, and one
//! per outage. The column `record` says which. The accounting stands before them, in lines that begin with `#`.

use super::figures::Figures;
use super::outages::Outage;
use super::words::{Source, accounting, decimals, named, pence};
use super::{Report, Verdict};
use crate::web::csv::{self, END};

const HEADER: &str = "provider,record,period,start,end,calls,failures,ignored,availability,minutes,\
    unavailable_minutes,availability_by_minutes,p50_ms,p95_ms,p99_ms,max_ms,mean_ms,slow,outages,\
    longest_outage_minutes,recoveries,recovery_minutes,share,rescues,rescued,price_pence,target_met,\
    target_margin,target_met_by_minutes,target_margin_minutes,failures_by_code,\
    outage_minutes";
/// The cells of an outage between its end and its length, which are empty.
const BETWEEN: usize = 26;

/// The report as CSV. What there is no data for is empty.
#[must_use]
pub fn csv(report: &Report, source: &Source) -> String {
    let mut text = String::new();
    for (topic, statement) in accounting(report, source) {
        text.push_str(&format!("# {topic}: {}{END}", statement.replace(['\r', '\n'], " ")));
    }
    text.push_str(HEADER);
    text.push_str(END);
    for provider in &report.providers {
        let periods = report.periods.iter().zip(&provider.periods);
        for (period, figures) in periods {
            let begins = ["period", &period.name, &time(period.start), &time(period.end)];
            line(&mut text, &cells(report, &provider.name, begins, figures));
        }
        let begins = ["total", "total", &time(report.from), &time(report.to)];
        line(&mut text, &cells(report, &provider.name, begins, &provider.total));
        for outage in &provider.outages {
            line(&mut text, &outage_cells(report, &provider.name, outage));
        }
    }
    text
}

fn line(text: &mut String, cells: &[String]) {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        // What there is no data for is empty.
        csv::cell(text, Some(cell.as_str()).filter(|cell| !cell.is_empty()));
    }
    text.push_str(END);
}

fn time(minute: i64) -> String {
    jiff::Timestamp::from_second(minute.saturating_mul(60))
        .map_or_else(|_| String::new(), |at| at.to_string())
}

/// An outage, in the period in which it began; without an end if that is unknown.
fn outage_cells(report: &Report, provider: &str, outage: &Outage) -> Vec<String> {
    let after = report.periods.partition_point(|period| period.start <= outage.start);
    let period = after.checked_sub(1).map_or("", |index| &report.periods[index].name);
    let end = outage.recovered.map_or_else(String::new, time);
    let mut cells =
        vec![provider.to_owned(), "outage".to_owned(), period.to_owned(), time(outage.start), end];
    cells.extend(std::iter::repeat_n(String::new(), BETWEEN));
    cells.push(outage.minutes.to_string());
    cells
}

fn cells(
    report: &Report,
    provider: &str,
    [record, name, start, end]: [&str; 4],
    figures: &Figures,
) -> Vec<String> {
    let percent = |share: super::Share| {
        share
            .percent(decimals(report))
            .map(|text| text.trim_end_matches('%').to_owned())
            .unwrap_or_default()
    };
    let has_data = figures.calls > 0;
    let data = |number: u64| if has_data { number.to_string() } else { String::new() };
    let ms = |pick: fn(super::Durations) -> u64| {
        figures.durations.map(pick).map_or_else(String::new, |ms| ms.to_string())
    };
    let verdict = |verdict: Option<Verdict>| match verdict {
        None => [String::new(), String::new()],
        Some(verdict) => {
            let sign = if verdict.is_met() { "" } else { "-" };
            [verdict.is_met().to_string(), format!("{sign}{}", verdict.margin())]
        }
    };
    let target = report.terms.target;
    let codes = figures
        .failures_by_code
        .iter()
        .map(|(code, failures)| format!("{}={failures}", named(code)));
    let mut cells = vec![
        provider.to_owned(),
        record.to_owned(),
        name.to_owned(),
        start.to_owned(),
        end.to_owned(),
        figures.calls.to_string(),
        figures.failures.to_string(),
        figures.ignored.to_string(),
        percent(figures.available_calls()),
        figures.minutes.to_string(),
        figures.unavailable_minutes.to_string(),
        percent(figures.available_minutes()),
        ms(|durations| durations.p50),
        ms(|durations| durations.p95),
        ms(|durations| durations.p99),
        ms(|durations| durations.max),
        ms(|durations| durations.mean),
        figures.slow.map_or_else(String::new, data),
        data(figures.outages),
        data(figures.longest_outage),
        data(figures.recoveries),
        data(figures.recovery_minutes),
        percent(figures.share()),
        figures.rescues.to_string(),
        figures.rescued.to_string(),
        pence(report, provider, figures).map_or_else(String::new, |pence| pence.to_string()),
    ];
    cells.extend(verdict(target.and_then(|target| figures.by_calls(target))));
    cells.extend(verdict(target.and_then(|target| figures.by_minutes(target))));
    cells.push(codes.collect::<Vec<_>>().join(" "));
    cells.push(String::new());
    cells
}
