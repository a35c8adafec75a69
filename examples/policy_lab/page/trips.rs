//! False trips per day: a row per policy, a bar per share of failing calls, on a binary logarithmic
//! scale.

use std::fmt::Write;

use super::escape;
use crate::policies::Candidate;
use crate::table::{Played, Sweep, a_day};
use crate::world::DAY;

const LEFT: usize = 170;
const WIDE: usize = 138;
const STEP: usize = 24;

pub(super) fn both(played: &Played) -> String {
    let Played { policies, busy, few, .. } = played;
    trips(policies, busy, "20 calls a second") + &trips(policies, few, "12 calls a minute")
}

fn trips(policies: &[Candidate], sweep: &Sweep, traffic: &str) -> String {
    let (width, height) = (LEFT + sweep.columns.len() * WIDE, 28 + policies.len() * STEP);
    // Writing to a String can't fail.
    let mut svg = format!(
        "<p class=\"what\">{traffic}</p><div class=\"wide\"><svg viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"false trips a day at {traffic}\">"
    );
    for (column, (percent, _)) in sweep.columns.iter().enumerate() {
        let x = LEFT + column * WIDE;
        let _ = write!(svg, "<text class=\"faint\" x=\"{x}\" y=\"14\">{percent} % fail</text>");
    }
    for (number, policy) in policies.iter().enumerate() {
        let top = 24 + number * STEP;
        let class = if policy.ours { "ours" } else { "" };
        let text = top + 13;
        let _ = write!(
            svg,
            "<text class=\"{class}\" x=\"0\" y=\"{text}\">{}</text>",
            escape(policy.name)
        );
        for (column, (_, trips)) in sweep.columns.iter().enumerate() {
            let (x, trips) = (LEFT + column * WIDE, trips[number]);
            let long = bar((trips * DAY).div_ceil(sweep.length));
            let trips_a_day = a_day(trips, sweep.length);
            let faint = if trips == 0 { " class=\"faint\"" } else { "" };
            let _ = write!(
                svg,
                "<rect class=\"f\" x=\"{x}\" y=\"{top}\" width=\"{long}\" height=\"16\"/>\
                 <text{faint} x=\"{}\" y=\"{text}\">{trips_a_day}</text>",
                x + long + if long == 0 { 0 } else { 4 }
            );
        }
    }
    svg + "</svg></div>"
}

/// The length of a bar: 6 units per binary digit.
fn bar(trips: u64) -> usize {
    let digits = (u64::BITS - trips.leading_zeros()) as usize;
    digits * 6
}
