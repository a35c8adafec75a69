//! A strip per policy, from left to right in time: the routes of calls, and errors.

use std::fmt::Write;

use super::escape;
use crate::policies::Candidate;
use crate::simulation::{COLUMNS, Column};
use crate::table::{Results, duration};
use crate::world::{HOUR, MINUTE, Millis};

/// In units of the chart: a strip begins at LEFT and is COLUMNS × WIDE wide.
const LEFT: usize = 170;
const WIDE: usize = 3;
const STEP: usize = 22;
const HIGH: usize = 16;
const RIGHT: usize = 110;

pub(super) fn strips(policies: &[Candidate], result: &Results) -> String {
    let scenario = &result.scenario;
    let bottom = policies.len() * STEP;
    let (width, height) = (LEFT + COLUMNS * WIDE + RIGHT, bottom + 26);
    // Writing to a String can't fail.
    let mut svg = format!(
        "<h3>{}</h3><p class=\"what\">{}</p><div class=\"wide\"><svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{}\">",
        escape(scenario.name),
        escape(scenario.what),
        escape(scenario.name),
    );
    for (number, (policy, run)) in policies.iter().zip(&result.runs).enumerate() {
        let top = number * STEP;
        let text = top + 13;
        let class = if policy.ours { "ours" } else { "" };
        let _ = write!(
            svg,
            "<text class=\"{class}\" x=\"0\" y=\"{text}\">{}</text>",
            escape(policy.name)
        );
        svg += &strip(&run.columns, top);
        let _ = write!(
            svg,
            "<text class=\"faint\" x=\"{}\" y=\"{text}\">{} errors</text>",
            LEFT + COLUMNS * WIDE + 8,
            run.errors
        );
    }
    for (from, to) in &scenario.outages {
        let (from, to) = (place(*from, scenario.shown()), place(*to, scenario.shown()));
        let _ = write!(
            svg,
            "<rect class=\"frame\" x=\"{from}\" y=\"-1\" width=\"{}\" height=\"{}\"/>",
            to - from,
            bottom - (STEP - HIGH) + 2
        );
    }
    svg += &axis(scenario.shown(), bottom);
    svg + "</svg></div>"
}

/// The shares of a column, from the bottom: errors, the fallback, and the primary behind both.
fn strip(columns: &[Column], top: usize) -> String {
    let mut svg = String::new();
    let bar = |svg: &mut String, class, from, to, high: usize| {
        let (x, width) = (LEFT + from * WIDE, (to - from) * WIDE);
        let y = top + HIGH - high;
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{high}\"/>"
        );
    };
    bar(&mut svg, "p", 0, columns.len(), HIGH);
    // Adjacent equal columns become one rectangle.
    let heights = |column: &Column| {
        let part = |of: u32| match (of, column.calls) {
            (0, _) | (_, 0) => 0,
            // A healthy primary's failures are not drawn; every other share is visible.
            (of, all) if of * 60 < all => 0,
            (of, all) => ((of as usize * HIGH).div_ceil(all as usize)).max(2),
        };
        let errors = part(column.errors);
        (errors, part(column.fallback).min(HIGH - errors))
    };
    let mut from = 0;
    for to in 1..=columns.len() {
        let (errors, fallback) = heights(&columns[from]);
        if to < columns.len() && heights(&columns[to]) == (errors, fallback) {
            continue;
        }
        if errors + fallback > 0 {
            bar(&mut svg, "f", from, to, errors + fallback);
        }
        if errors > 0 {
            bar(&mut svg, "e", from, to, errors);
        }
        from = to;
    }
    svg
}

fn place(at: Millis, (from, to): (Millis, Millis)) -> u64 {
    LEFT as u64 + (at - from) * (COLUMNS * WIDE) as u64 / (to - from)
}

fn axis((from, to): (Millis, Millis), bottom: usize) -> String {
    let step = [10 * MINUTE, 20 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR]
        .into_iter()
        .find(|step| (to - from) / step <= 9)
        .unwrap_or(4 * HOUR);
    let mut svg = String::new();
    let mut at = from.next_multiple_of(step);
    while at <= to {
        let (x, y) = (place(at, (from, to)), bottom - 4);
        let label = match at {
            0 => "0".to_owned(),
            at => duration(at).replace(" 0 min", "").replace(" 0 s", ""),
        };
        let _ = write!(
            svg,
            "<path class=\"line\" d=\"M{x} {y}v6\"/><text class=\"faint\" x=\"{x}\" y=\"{}\" \
             text-anchor=\"middle\">{label}</text>",
            y + 20
        );
        at += step;
    }
    svg
}
