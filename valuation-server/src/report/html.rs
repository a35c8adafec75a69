//! The report as a page: to be sent, printed, or shown to operators.

use askama::Template;

use super::charts::charts;
use super::figures::{Figures, Verdict};
use super::outages::Outage;
use super::percent::{Percent, Share};
use super::table::{cells, header};
use super::words::{NO_DATA, Source, accounting, decimals, length, named, nothing, pence};
use super::{ProviderReport, Report, shown};
use crate::web::number::count;

/// The style of a report; the operators' page has it as a file.
const STYLE: &str = include_str!("../web/report/report.css");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How many outages are listed, the longest first; JSON and CSV have all.
const OUTAGES: usize = 100;

#[derive(Debug, Template)]
#[template(path = "report/file.html")]
struct File {
    title: String,
    article: String,
}

#[derive(Debug, Template)]
#[template(path = "report/article.html")]
struct Article {
    title: String,
    time: String,
    zone: String,
    nothing: String,
    by: &'static str,
    summary_header: Vec<&'static str>,
    header: Vec<&'static str>,
    providers: Vec<Shown>,
    accounting: Vec<(&'static str, String)>,
}

/// A provider, as texts.
#[derive(Debug)]
struct Shown {
    name: String,
    /// A class, and the word of the verdict.
    mark: (&'static str, &'static str),
    verdict: String,
    summary: Vec<String>,
    notes: Vec<String>,
    charts: Vec<String>,
    codes: Vec<(String, String, String)>,
    outages: Vec<[String; 3]>,
    outages_note: String,
    periods: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    cells: Vec<String>,
    is_empty: bool,
}

/// The report as one HTML file without scripts, which loads nothing.
#[must_use]
pub fn html(report: &Report, source: &Source) -> String {
    render(&File { title: title(report), article: article(report, source) })
}

/// The report as an HTML element, for a page that has its style.
#[must_use]
pub fn article(report: &Report, source: &Source) -> String {
    let (from, to) = (shown(report.from, &report.terms.zone), shown(report.to, &report.terms.zone));
    let accounting = accounting(report, source);
    let zone = accounting.iter().find(|(topic, _)| *topic == "time zone");
    let zone = zone.map_or_else(String::new, |(_, statement)| statement.clone());
    let mut summary_header = header(report);
    summary_header[0] = "provider";
    let numbered = report.providers.iter().enumerate();
    render(&Article {
        title: title(report),
        time: format!("From {from} to before {to}"),
        zone,
        nothing: nothing(report),
        by: report.terms.by.as_str(),
        header: header(report),
        summary_header,
        providers: numbered.map(|(index, of)| provider(report, index, of)).collect(),
        accounting,
    })
}

fn render(template: &impl Template) -> String {
    template.render().expect("a value that is shown writes to a String, which does not fail")
}

fn title(report: &Report) -> String {
    let names: Vec<_> = report.providers.iter().map(|provider| provider.name.as_str()).collect();
    let names = if names.is_empty() {
        report.terms.provider.as_deref().into_iter().collect()
    } else {
        names
    };
    match names.as_slice() {
        [] => "Service level report".to_owned(),
        names => format!("Service level report: {}", names.join(", ")),
    }
}

fn provider(report: &Report, index: usize, provider: &ProviderReport) -> Shown {
    let total = &provider.total;
    let (mark, verdict) = verdict(report, provider);
    let failures = total.failures;
    let code = |(code, count_of): (&String, &u64)| {
        let share = Share { part: *count_of, whole: failures }.percent(2).unwrap_or_default();
        (named(code).to_owned(), count(*count_of), share)
    };
    let mut codes: Vec<_> = total.failures_by_code.iter().collect();
    codes.sort_by_key(|(_, failures)| std::cmp::Reverse(**failures));
    let (outages, outages_note) = outages(report, provider);
    let columns = header(report).len();
    let row = |name: &str, figures: &Figures| {
        let mut cells: Vec<_> =
            cells(report, name, figures).into_iter().skip(1).map(|cell| grouped(&cell)).collect();
        cells.resize(columns - 1, String::new());
        Row { name: name.to_owned(), cells, is_empty: figures.calls == 0 }
    };
    Shown {
        name: provider.name.clone(),
        mark,
        verdict,
        summary: row("", total).cells,
        notes: notes(report, provider),
        charts: charts(report, index, provider),
        codes: codes.into_iter().map(code).collect(),
        outages,
        outages_note,
        periods: periods(report, provider, row),
    }
}

/// A row per period, and one for periods without calls that follow on each other. One period is the total.
fn periods(
    report: &Report,
    provider: &ProviderReport,
    row: impl Fn(&str, &Figures) -> Row,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut first = None;
    let periods = report.periods.iter().zip(&provider.periods);
    for (period, figures) in periods.filter(|_| report.periods.len() > 1) {
        match (first, rows.last_mut()) {
            (Some(first), Some(row)) if figures.calls == 0 => {
                row.name = format!("{first} to {}", period.name);
            }
            _ => {
                first = (figures.calls == 0).then_some(&period.name);
                rows.push(row(&period.name, figures));
            }
        }
    }
    rows
}

/// `12,345` of a cell that is a number.
fn grouped(cell: &str) -> String {
    cell.parse().map_or_else(|_| cell.to_owned(), |number: u64| count(number))
}

/// The verdict about a provider: its mark, and a sentence.
fn verdict(report: &Report, provider: &ProviderReport) -> ((&'static str, &'static str), String) {
    let (name, total) = (&provider.name, &provider.total);
    let percent = |share: Share| share.percent(decimals(report)).unwrap_or_default();
    let judged = |target: Percent| {
        let [calls, minutes] = [total.by_calls(target)?, total.by_minutes(target)?];
        Some((target, calls, minutes))
    };
    let Some((target, calls, minutes)) = report.terms.target.and_then(judged) else {
        let text = if total.calls == 0 {
            format!("{name}: {NO_DATA}.")
        } else {
            format!(
                "{name} answered {} of {} calls, and was available in {} of {} minutes with calls.",
                percent(total.available_calls()),
                count(total.calls),
                percent(total.available_minutes()),
                count(total.minutes),
            )
        };
        return (("", ""), text);
    };
    let word = |verdict: Verdict| if verdict.is_met() { "met" } else { "missed" };
    let margin = |verdict: Verdict| {
        let than = if verdict.is_met() { "fewer than" } else { "more than" };
        match verdict.margin() {
            0 => "exactly as many as are allowed".to_owned(),
            margin => format!("{} {than} the {} allowed", count(margin), count(verdict.allowed)),
        }
    };
    let mark = match (calls.is_met(), minutes.is_met()) {
        (true, true) => ("met", "Met."),
        (false, false) => ("missed", "Missed."),
        (true, false) => ("missed", "Met by calls, missed by minutes."),
        (false, true) => ("missed", "Missed by calls, met by minutes."),
    };
    let text = format!(
        "{name} {} the target of {target} by calls, with {}: {} of {} calls failed, {}. It {} it by \
         minutes, with {}: {} of {} minutes with calls were unavailable, {}.",
        word(calls),
        percent(total.available_calls()),
        count(calls.bad),
        count(total.calls),
        margin(calls),
        word(minutes),
        percent(total.available_minutes()),
        count(minutes.bad),
        count(total.minutes),
        margin(minutes),
    );
    (mark, text)
}

fn notes(report: &Report, provider: &ProviderReport) -> Vec<String> {
    let total = &provider.total;
    let mut notes = Vec::new();
    if total.rescues > 0 {
        notes.push(format!(
            "{} of its calls were made because another provider had just failed; {} of them succeeded.",
            count(total.rescues),
            count(total.rescued)
        ));
    }
    if total.ignored > 0 {
        notes.push(format!("{} further calls are ignored.", count(total.ignored)));
    }
    if let Some(pence) = pence(report, &provider.name, total) {
        let (pounds, pence, made) = (count(pence / 100), pence % 100, count(total.made()));
        notes.push(format!("Price: £{pounds}.{pence:02} for {made} calls."));
    }
    notes
}

/// The outages as texts, and how many of them are listed.
fn outages(report: &Report, provider: &ProviderReport) -> (Vec<[String; 3]>, String) {
    let all = provider.outages.len();
    let mut listed: Vec<&Outage> = provider.outages.iter().collect();
    listed.sort_by_key(|outage| std::cmp::Reverse(outage.minutes));
    listed.truncate(OUTAGES);
    listed.sort_by_key(|outage| outage.start);
    let note = match all {
        0 if provider.total.calls == 0 => NO_DATA.to_owned(),
        0 => "none".to_owned(),
        _ if all > listed.len() => {
            format!("the {} longest of {}", listed.len(), count(all as u64))
        }
        _ => count(all as u64),
    };
    let at = |minute| shown(minute, &report.terms.zone);
    let text = |outage: &Outage| {
        let end = outage.recovered.map_or_else(|| "unknown".to_owned(), at);
        [at(outage.start), end, length(outage.minutes)]
    };
    (listed.into_iter().map(text).collect(), note)
}
