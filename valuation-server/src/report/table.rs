//! The report as text tables, for a terminal.

use std::fmt::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Row, Table};

use super::figures::Figures;
use super::words::{
    NO_DATA, Source, accounting, decimals, length, named, nothing, pence, verdicts,
};
use super::{ProviderReport, Report, shown};
use crate::domain::printable;

/// How many outages are listed, the longest first.
const OUTAGES: usize = 10;

/// The report as text.
#[must_use]
pub fn table(report: &Report, source: &Source) -> String {
    let mut text = String::new();
    for provider in &report.providers {
        let _ = writeln!(text, "{}\n{}\n", printable(&provider.name), figures(report, provider));
        notes(&mut text, report, provider);
        text.push('\n');
    }
    if report.providers.is_empty() {
        let _ = writeln!(text, "{NO_DATA}: {}\n", printable(&nothing(report)));
    }
    text.push_str("How this is counted\n");
    for (topic, statement) in accounting(report, source) {
        let _ = writeln!(text, "  {topic}: {}", printable(&statement));
    }
    text
}

fn figures(report: &Report, provider: &ProviderReport) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header(report));
    let rows = report.periods.iter().zip(&provider.periods);
    // One period is the total.
    for (period, figures) in rows.filter(|_| report.periods.len() > 1) {
        table.add_row(Row::from(cells(report, &period.name, figures)));
    }
    table.add_row(Row::from(cells(report, "total", &provider.total)));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The names of the [`cells`].
pub(super) fn header(report: &Report) -> Vec<&'static str> {
    let mut header = vec![
        report.terms.by.as_str(),
        "calls",
        "failed",
        "available",
        "by minutes",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "outages",
        "longest",
        "to recover",
        "share",
    ];
    if report.terms.slow.is_some() {
        header.push("slow");
    }
    if report.terms.target.is_some() {
        header.extend(["target", "target by minutes"]);
    }
    header
}

/// The figures of a period as texts; of one without calls only the first few.
pub(super) fn cells(report: &Report, name: &str, figures: &Figures) -> Vec<String> {
    let decimals = decimals(report);
    let Some(durations) = figures.durations else {
        return [name, "0", "", NO_DATA].map(str::to_owned).to_vec();
    };
    let percent = |share: super::Share| share.percent(decimals).unwrap_or_default();
    let some = |count: u64, text: String| if count == 0 { String::new() } else { text };
    let mut cells = vec![
        name.to_owned(),
        figures.calls.to_string(),
        figures.failures.to_string(),
        percent(figures.available_calls()),
        percent(figures.available_minutes()),
        durations.p50.to_string(),
        durations.p95.to_string(),
        durations.p99.to_string(),
        durations.max.to_string(),
        figures.outages.to_string(),
        some(figures.outages, length(figures.longest_outage)),
        figures.recovery_minutes.checked_div(figures.recoveries).map_or_else(String::new, length),
        percent(figures.share()),
    ];
    cells.extend(figures.slow_share().map(percent));
    if let Some(target) = report.terms.target {
        cells.extend(verdicts(figures, target).into_iter().flatten());
    }
    cells
}

fn notes(text: &mut String, report: &Report, provider: &ProviderReport) {
    let total = &provider.total;
    if !total.failures_by_code.is_empty() {
        let codes = total
            .failures_by_code
            .iter()
            .map(|(code, failures)| format!("{} {failures}", printable(named(code))));
        let _ = writeln!(text, "failures: {}", codes.collect::<Vec<_>>().join(", "));
    }
    if total.ignored > 0 {
        let _ = writeln!(text, "ignored calls: {}", total.ignored);
    }
    if total.rescues > 0 {
        let _ = writeln!(
            text,
            "rescues of calls that had failed elsewhere: {}, of which {} succeeded",
            total.rescues, total.rescued
        );
    }
    if let Some(pence) = pence(report, &provider.name, total) {
        let _ =
            writeln!(text, "price: £{}.{:02} for {} calls", pence / 100, pence % 100, total.made());
    }
    let mut longest: Vec<_> = provider.outages.iter().collect();
    longest.sort_by_key(|outage| std::cmp::Reverse(outage.minutes));
    longest.truncate(OUTAGES);
    longest.sort_by_key(|outage| outage.start);
    if !longest.is_empty() {
        let _ = writeln!(text, "outages, {} of {}:", longest.len(), provider.outages.len());
    }
    for outage in longest {
        let end = match outage.recovered {
            Some(end) => format!("to {}", shown(end, &report.terms.zone)),
            None => "to an unknown end".to_owned(),
        };
        let start = shown(outage.start, &report.terms.zone);
        let _ = writeln!(text, "  {start} {end}, {}", length(outage.minutes));
    }
}
