//! The charts of a provider, as SVG. A period is one unit wide, and drawn as a step: nothing is drawn between
//! periods that is not in the log, and periods without calls are hatched.

use std::fmt::Write as _;

use askama::Template;

use super::figures::{Durations, Figures};
use super::percent::{Share, WHOLE, trimmed};
use super::periods::By;
use super::words::{decimals, duration};
use super::{NO_DATA, ProviderReport, Report};
use crate::web::number::count;

/// The height of a chart. 0 is the top.
const HEIGHT: u64 = 1_000;
/// More bars than this have no gaps between them.
const BARS: usize = 62;

/// A chart.
#[derive(Debug, Template)]
#[template(path = "report/chart.html")]
struct Chart {
    /// Unique in the page.
    id: String,
    title: String,
    unit: &'static str,
    /// What it shows, in words.
    summary: String,
    legend: Vec<(&'static str, String)>,
    /// How many periods.
    count: usize,
    /// Periods without calls: where they begin and how wide they are, in percent of the width.
    gaps: Vec<(String, String)>,
    /// Values of the axis: how far from the top, in percent, and the label. The lowest comes first.
    grid: Vec<(String, String)>,
    areas: Vec<(&'static str, String)>,
    lines: Vec<(&'static str, String)>,
    /// A line across, in percent from the top.
    limit: Option<String>,
    times: Vec<(String, &'static str, String)>,
}

/// The charts of the provider with this index, as HTML.
pub(super) fn charts(report: &Report, index: usize, provider: &ProviderReport) -> Vec<String> {
    let charts = [
        availability(report, provider),
        durations(report, provider),
        calls(report, provider),
        shares(report, provider),
    ];
    let numbered = charts.into_iter().enumerate();
    let html = |(number, chart): (usize, Chart)| {
        let chart = Chart { id: format!("p{index}c{number}"), ..chart };
        chart.render().expect("a value that is shown writes to a String, which does not fail")
    };
    numbered.map(html).collect()
}

/// What all charts of a provider share.
fn chart(report: &Report, provider: &ProviderReport, title: &str, unit: &'static str) -> Chart {
    let gaps = gaps(provider);
    let legend = if gaps.is_empty() { Vec::new() } else { vec![("gap", NO_DATA.to_owned())] };
    Chart {
        id: String::new(),
        title: format!("{title} per {}", report.terms.by.as_str()),
        unit,
        summary: String::new(),
        legend,
        count: report.periods.len(),
        gaps,
        grid: Vec::new(),
        areas: Vec::new(),
        lines: Vec::new(),
        limit: None,
        times: times(report),
    }
}

fn availability(report: &Report, provider: &ProviderReport) -> Chart {
    let target = report.terms.target;
    let missing =
        |pick: fn(&Figures) -> Share| provider.periods.iter().map(move |f| pick(f).missing());
    let (calls, minutes) = (missing(Figures::available_calls), missing(Figures::available_minutes));
    let allowed = target.map(super::Percent::missing);
    // A target is in the upper half.
    let most = calls.clone().chain(minutes.clone()).flatten();
    let most = most.chain(allowed.map(|allowed| allowed * 2)).max().unwrap_or(0);
    let lowest = round(most.clamp(1, WHOLE), WHOLE / 100_000).min(WHOLE);
    let heights = |missing: Option<u64>| missing.map(|missing| part(missing, lowest));
    let mut chart = chart(report, provider, "Availability", "percent; the axis is cut");
    if lowest == WHOLE {
        chart.unit = "percent";
    }
    if let Some(allowed) = allowed {
        let limit = part(allowed, lowest);
        let missed = calls.clone().map(|missing| heights(missing).filter(|height| *height > limit));
        chart.areas.push(("missed", area(missed, limit, false)));
        chart.limit = Some(percent_of(limit, HEIGHT));
    }
    chart.lines =
        vec![("second", steps(minutes.map(heights))), ("first", steps(calls.clone().map(heights)))];
    chart.grid = [lowest, lowest / 2, 0]
        .map(|missing| (percent_of(missing, lowest), trimmed(WHOLE - missing)))
        .to_vec();
    let limit = target.map(|target| ("limit", format!("target {target}")));
    let lines = [("first", "of calls".to_owned()), ("second", "of minutes with calls".to_owned())];
    chart.legend.splice(0..0, lines.into_iter().chain(limit));
    chart.summary = extremes(calls.clone()).map_or_else(
        || NO_DATA.to_owned(),
        |(_, worst)| {
            let share = provider.periods[worst].available_calls().percent(decimals(report));
            let (share, name) = (share.unwrap_or_default(), &report.periods[worst].name);
            let missed = target.map_or_else(String::new, |target| {
                let verdicts = provider.periods.iter().filter_map(|f| f.by_calls(target));
                let (missed, all) = verdicts
                    .fold((0, 0), |(missed, all), v| (missed + usize::from(!v.is_met()), all + 1));
                format!("; the target was missed by calls in {missed} of {all}")
            });
            format!("Of calls, the lowest is {share} in {name}{missed}.")
        },
    );
    chart
}

fn durations(report: &Report, provider: &ProviderReport) -> Chart {
    let of = |pick: fn(Durations) -> u64| {
        provider.periods.iter().map(move |figures| figures.durations.map(pick))
    };
    let (p50, p95, p99) = (of(|d| d.p50), of(|d| d.p95), of(|d| d.p99));
    let low = p50.clone().flatten().min().unwrap_or(1).max(1);
    let high = p99.clone().flatten().max().unwrap_or(1).max(low);
    let first = low.ilog10();
    let last = high.saturating_sub(1).max(1).ilog10().max(first) + 1;
    let mut chart = chart(report, provider, "Duration of calls", "logarithmic scale");
    let height = |ms: u64| logarithmic(ms, first, last);
    let line = |values: &dyn Fn() -> Vec<Option<u64>>| {
        steps(values().into_iter().map(|ms| ms.map(height)))
    };
    chart.lines = vec![
        ("third", line(&|| p99.clone().collect())),
        ("second", line(&|| p95.clone().collect())),
        ("first", line(&|| p50.clone().collect())),
    ];
    chart.grid = (first..=last)
        .map(|power| {
            let ms = 10_u64.saturating_pow(power);
            (percent_of(height(ms), HEIGHT), duration(ms))
        })
        .collect();
    let names = [("first", "p50"), ("second", "p95"), ("third", "p99")];
    chart.legend.splice(0..0, names.map(|(class, name)| (class, name.to_owned())));
    let range = |name: &str, values: &mut dyn Iterator<Item = u64>| {
        let (low, high) = values.fold((u64::MAX, 0), |(low, high), ms| (low.min(ms), high.max(ms)));
        format!("{name} from {} to {} ms", count(low), count(high))
    };
    chart.summary = if provider.total.calls == 0 {
        NO_DATA.to_owned()
    } else {
        let ranges = [
            range("p50", &mut p50.flatten()),
            range("p95", &mut p95.flatten()),
            range("p99", &mut p99.flatten()),
        ];
        format!("{}.", ranges.join(", "))
    };
    chart
}

fn calls(report: &Report, provider: &ProviderReport) -> Chart {
    let calls = provider.periods.iter().map(|f| (f.calls > 0).then_some(f.calls));
    let most = round(calls.clone().flatten().max().unwrap_or(1), 2);
    let mut chart = chart(report, provider, "Calls", "number");
    let heights = calls.clone().map(|calls| calls.map(|calls| HEIGHT - part(calls, most)));
    chart.areas.push(("calls", area(heights, HEIGHT, report.periods.len() <= BARS)));
    chart.grid =
        [0, most / 2, most].map(|calls| (percent_of(most - calls, most), count(calls))).to_vec();
    let at = |index: usize| {
        format!("{} in {}", count(provider.periods[index].calls), report.periods[index].name)
    };
    chart.summary = match extremes(calls) {
        None => NO_DATA.to_owned(),
        Some((lowest, highest)) if lowest == highest => format!("{}.", at(highest)),
        Some((lowest, highest)) => format!("From {} to {}.", at(lowest), at(highest)),
    };
    chart
}

fn shares(report: &Report, provider: &ProviderReport) -> Chart {
    let mut chart = chart(report, provider, "Share of all providers' calls", "percent");
    let shares = || provider.periods.iter().map(|figures| figures.share().parts());
    let most = round(shares().flatten().max().unwrap_or(WHOLE), WHOLE / 10_000).min(WHOLE);
    let heights = || shares().map(|share| share.map(|share| HEIGHT - part(share, most)));
    chart.areas.push(("share", area(heights(), HEIGHT, false)));
    chart.lines.push(("first", steps(heights())));
    // Without a call of any provider there is no share; without one of this, it is 0 %.
    chart.gaps = runs(provider.periods.iter().map(|f| f.calls_of_all == 0), report.periods.len());
    if chart.gaps.is_empty() {
        chart.legend.clear();
    }
    chart.grid =
        [0, most / 2, most].map(|share| (percent_of(most - share, most), trimmed(share))).to_vec();
    let percent = |share: Share| share.percent(decimals(report)).unwrap_or_default();
    chart.summary = match extremes(shares()) {
        None => NO_DATA.to_owned(),
        Some((_, most)) => format!(
            "{} of the whole time; the highest is {} in {}.",
            percent(provider.total.share()),
            percent(provider.periods[most].share()),
            report.periods[most].name
        ),
    };
    chart
}

/// The periods with the lowest and the highest value, of equal ones the first; `None` without any.
fn extremes(values: impl Iterator<Item = Option<u64>>) -> Option<(usize, usize)> {
    let known: Vec<_> =
        values.enumerate().filter_map(|(index, value)| Some((value?, index))).collect();
    let lowest = known.iter().min()?.1;
    let highest = known.iter().max_by_key(|(value, index)| (*value, std::cmp::Reverse(*index)))?.1;
    Some((lowest, highest))
}

/// A round number at or above this one, and at least `least`: 1, 2 or 5 times a power of ten.
fn round(number: u64, least: u64) -> u64 {
    let number = number.max(least);
    let power = 10_u64.pow(number.ilog10());
    let ends = [1, 2, 5, 10].into_iter().filter_map(|times| power.checked_mul(times));
    ends.into_iter().find(|end| *end >= number).unwrap_or(u64::MAX)
}

/// `part` of `whole` on a scale of the chart's height.
fn part(part: u64, whole: u64) -> u64 {
    let height = u128::from(part) * u128::from(HEIGHT) / u128::from(whole.max(1));
    u64::try_from(height).unwrap_or(HEIGHT).min(HEIGHT)
}

/// How far a duration is from the top, on an axis between two powers of ten.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number between 0 and the height"
)]
fn logarithmic(ms: u64, first: u32, last: u32) -> u64 {
    let power = f64::from(u32::try_from(ms.max(1)).unwrap_or(u32::MAX)).log10();
    let up = (power - f64::from(first)) / f64::from(last.saturating_sub(first).max(1));
    ((1.0 - up.clamp(0.0, 1.0)) * 1_000.0) as u64
}

/// A percentage for an attribute.
fn percent_of(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A line of steps, interrupted where there is no height.
fn steps(heights: impl Iterator<Item = Option<u64>>) -> String {
    let mut path = String::new();
    let mut last: Option<u64> = None;
    let mut end = 0;
    for (index, height) in heights.enumerate() {
        // A write to a String does not fail.
        let _ = match (last, height) {
            (None, Some(height)) => write!(path, "M{index} {height}"),
            (Some(last), Some(height)) if last != height => write!(path, "H{index}V{height}"),
            (Some(_), None) => write!(path, "H{index}"),
            _ => Ok(()),
        };
        (last, end) = (height, index + 1);
    }
    if last.is_some() {
        let _ = write!(path, "H{end}");
    }
    path
}

/// Areas between a base and the steps, with gaps between them or not.
fn area(heights: impl Iterator<Item = Option<u64>>, base: u64, has_gaps: bool) -> String {
    let mut path = String::new();
    for (index, height) in heights.enumerate() {
        let Some(height) = height else { continue };
        let (start, width) = if has_gaps { (".1", ".8") } else { ("", "1") };
        let _ = write!(path, "M{index}{start} {base}V{height}h{width}V{base}z");
    }
    path
}

fn gaps(provider: &ProviderReport) -> Vec<(String, String)> {
    runs(provider.periods.iter().map(|f| f.calls == 0), provider.periods.len())
}

/// The runs of those that are true, in percent of the width.
fn runs(are: impl Iterator<Item = bool>, count: usize) -> Vec<(String, String)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, _) in are.enumerate().filter(|(_, is)| *is) {
        match runs.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            _ => runs.push((index, index + 1)),
        }
    }
    let percent = |part: usize| percent_of(part as u64, count as u64);
    runs.into_iter().map(|(start, end)| (percent(start), percent(end - start))).collect()
}

/// The labels of the time axis: few enough for a narrow chart.
fn times(report: &Report) -> Vec<(String, &'static str, String)> {
    let count = report.periods.len();
    let most = if matches!(report.terms.by, By::Week | By::Month) { 4 } else { 3 };
    let label = |index: usize| match report.terms.by {
        // Without the year and the offset, which the tables have.
        By::Hour => report.periods[index].name.get(5..16).unwrap_or_default().to_owned(),
        _ => report.periods[index].name.clone(),
    };
    let at = |index: usize| percent_of(2 * index as u64 + 1, 2 * count as u64);
    if count <= most {
        return (0..count).map(|index| (at(index), "middle", label(index))).collect();
    }
    let place = |number: usize| match number * (count - 1) / (most - 1) {
        0 => ("0".to_owned(), "start", label(0)),
        last if last == count - 1 => ("100".to_owned(), "end", label(last)),
        index => (at(index), "middle", label(index)),
    };
    (0..most).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_interrupted_where_there_is_no_data() {
        let heights = [Some(5), Some(5), Some(7), None, None, Some(0)];
        assert_eq!(steps(heights.into_iter()), "M0 5H2V7H3M5 0H6");
        assert_eq!(steps(std::iter::empty()), "");
        assert_eq!(steps([None, Some(1), None].into_iter()), "M1 1H2");
        assert_eq!(area([None, Some(3)].into_iter(), 9, true), "M1.1 9V3h.8V9z");
        let none = [true, false, true, true];
        let run = |x: &str, width: &str| (x.to_owned(), width.to_owned());
        assert_eq!(runs(none.into_iter(), 4), [run("0.00", "25.00"), run("50.00", "50.00")]);
    }

    #[test]
    fn scales_are_round_and_hold_every_value() {
        assert_eq!([0, 1, 3, 50, 51, 1_999].map(|n| round(n, 1)), [1, 1, 5, 50, 100, 2_000]);
        assert_eq!(round(u64::MAX, 1), u64::MAX);
        assert_eq!((part(0, 0), part(u64::MAX, 1), part(1, 2)), (0, HEIGHT, HEIGHT / 2));
        assert_eq!(
            [1, 10, 100, 0, u64::MAX].map(|ms| logarithmic(ms, 0, 2)),
            [1_000, 500, 0, 1_000, 0]
        );
    }
}
