//! The results as one HTML file: inline SVG, no script, no external resources.

#[cfg(test)]
mod browser;
mod strips;
mod style;
mod trips;

use std::fmt::Write;

use crate::policies::Candidate;
use crate::simulation::Run;
use crate::table::{Played, Results, pounds};
use crate::world::{CAPACITY, ERROR, PRICE};

pub(crate) fn page(all: &Played, around: &Played) -> String {
    let (policies, results) = (&all.policies, all.results());
    let mut body = String::new();
    // Writing to a String can't fail.
    let _ = write!(
        body,
        "<h1>Policies for a failover</h1>\
         <p>Each policy sees the same calls of the same customers. A call of the fallback costs \
         {PRICE} p, a customer who sees an error {ERROR} p; the fallback takes {CAPACITY} calls a \
         second. No single call is rescued. Policies of this library are played by its own monitor, \
         the others by their documentation.</p>\
         <h2>What it costs, in pounds</h2>\
         <p>Darker is dearer, up to three times the best of the column.</p>{}",
        heat(policies, results)
    );
    body += "<h2>Minute by minute</h2><p>A strip a policy, from the beginning to the end. \
             <span class=\"pair\"><span class=\"key primary\"></span> the primary,</span> \
             <span class=\"pair\"><span class=\"key fallback\"></span> the fallback,</span> \
             <span class=\"pair\"><span class=\"key error\"></span> customers</span> who see an \
             error. The frame is the outage.</p>";
    for result in results {
        body += &strips::strips(policies, result);
    }
    body += "<h2>False trips a day</h2><p>By the share of calls that a healthy primary fails, by \
             chance alone. A bar is longer by the same step for each doubling.</p>";
    body += &trips::both(all);
    let _ = write!(
        body,
        "<h2>The default\u{2019}s numbers, one changed at a time</h2><p>What it costs, in pounds.</p>\
         {}",
        heat(&around.policies, around.results())
    );
    body += "<p>False trips a day.</p>";
    body += &trips::both(around);
    body += "<h2>The policies</h2><dl>";
    for policy in policies {
        let _ = write!(body, "<dt>{}</dt><dd>{}</dd>", escape(policy.name), escape(policy.what));
    }
    body += "</dl>";
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Policies for a failover</title><style>{}</style></head><body><main>{body}</main>\
         </body></html>\n",
        style::STYLE
    )
}

/// A table whose cells are shaded by their cost.
fn heat(policies: &[Candidate], results: &[Results]) -> String {
    let mut table = String::from("<div class=\"wide\"><table><thead><tr><th>policy</th>");
    for result in results {
        let _ = write!(table, "<th>{}</th>", escape(result.scenario.name));
    }
    table += "</tr></thead><tbody>";
    for (number, policy) in policies.iter().enumerate() {
        let class = if policy.ours { " class=\"ours\"" } else { "" };
        let _ = write!(table, "<tr><th{class}>{}</th>", escape(policy.name));
        for result in results {
            let best = result.runs.iter().map(Run::cost).min().unwrap_or(0).max(1);
            let cost = result.runs[number].cost();
            // In percent; full shade is three times the best cost.
            let shade = (cost.saturating_sub(best) * 50 / best).min(100);
            let bold = if cost <= best { " class=\"best\"" } else { "" };
            let _ = write!(table, "<td{bold} style=\"--shade:{shade}%\">{}</td>", pounds(cost));
        }
        table += "</tr>";
    }
    table + "</tbody></table></div>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
