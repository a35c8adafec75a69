//! The files in `ops`: every metric that they name is there.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use serde_json::Value;
use valuation_server::config::Setting;

use crate::app_harness::TestApp;

const DASHBOARD: &str = include_str!("../../ops/dashboard.json");
const ALERTS: &str = include_str!("../../ops/alerts.yml");
const ALERTS_TEST: &str = include_str!("../../ops/alerts_test.yml");

/// Of Prometheus itself.
const PROMETHEUS_OWN: [&str; 1] = ["up"];
/// There while the route has an end alone.
const SOMETIMES: [&str; 1] = ["failover_revert_in_seconds"];
const KEYWORDS: [&str; 9] =
    ["and", "bool", "by", "group_left", "ignoring", "offset", "on", "or", "without"];

/// The expressions of the dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("expr" | "definition", Value::String(expression)) => {
                        found.push(expression.clone());
                    }
                    _ => expressions(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// The metrics that an expression names: no label, function, keyword, range or variable.
fn metrics(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Matchers and ranges hold labels and durations.
    let mut plain = String::new();
    let (mut depth, mut quoted) = (0, false);
    for c in expression.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$';
    let (mut rest, mut list) = (plain.as_str(), false);
    while let Some(start) = rest.find(is_word) {
        // What stands in the brackets after `by` and its like are labels.
        list &= !rest[..start].contains(')');
        let word = &rest[start..];
        let word = &word[..word.find(|c| !is_word(c)).unwrap_or(word.len())];
        rest = &rest[start + word.len()..];
        let is_function = ["(", "by ", "without "].iter().any(|s| rest.trim_start().starts_with(s));
        match word {
            "by" | "without" | "on" | "ignoring" | "group_left" => list = true,
            _ if list || is_function || KEYWORDS.contains(&word) => {}
            _ if word.starts_with(|c: char| c.is_ascii_digit() || c == '$') => {}
            _ => drop(found.insert(word.to_owned())),
        }
    }
    found
}

#[test]
fn the_metrics_of_an_expression_are_told_from_all_else_in_it() {
    for (expression, expected) in [
        ("up{job=\"a\"} == 0", &["up"][..]),
        ("sum by (le, a) (rate(b_bucket{c=~\"5..\"}[5m])) > 4 * 3600", &["b_bucket"]),
        ("a / on (x) group_left () sum by (x) (b)", &["a", "b"]),
        ("max by (i) (a{s=\"b\"} * 1 or c * 2)", &["a", "c"]),
        ("time() - a", &["a"]),
        ("vector($threshold)", &[]),
        ("rate(a[$__rate_interval]) > 1e9", &["a"]),
    ] {
        let expected: BTreeSet<_> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(metrics(expression), expected, "{expression}");
    }
}

#[tokio::test]
async fn every_metric_that_the_dashboard_and_the_alerts_name_is_there() {
    let mut named = Vec::new();
    expressions(&serde_json::from_str(DASHBOARD).unwrap(), &mut named);
    // A query of a variable: `label_values(metric, label)`.
    for query in &mut named {
        if let Some(labels) = query.strip_prefix("label_values(") {
            *query = labels.rsplit_once(',').unwrap().0.to_owned();
        }
    }
    named.extend(ALERTS.lines().filter_map(|line| Some(line.split_once("expr: ")?.1.to_owned())));
    let named: BTreeSet<_> = named.iter().flat_map(|expression| metrics(expression)).collect();
    assert!(named.len() > 30, "{named:?}");

    // Its own peer, so that a message arrives. Free a moment ago.
    let own = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let bus = format!("udp://{own}");
    let app = TestApp::with(&[(Setting::Cluster, &bus), (Setting::Peers, &own)]).await;
    assert_eq!(app.put("AB1").await.status, 200);
    let deadline = Instant::now() + Duration::from_secs(30);
    let page = loop {
        let page = app.look("/metrics").await.body;
        if page.contains("failover_cluster_messages_total{") {
            break page;
        }
        assert!(Instant::now() < deadline, "no message arrived");
        tokio::task::yield_now().await;
    };
    let there: BTreeSet<_> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let described = |name: &&str| page.contains(&format!("# TYPE {name} "));
    assert!(SOMETIMES.iter().all(described));
    let known = [PROMETHEUS_OWN, SOMETIMES].concat();
    for name in named.iter().map(String::as_str).filter(|name| !known.contains(name)) {
        assert!(there.contains(name), "{name} is in no scrape");
    }
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let names = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<_> = names.collect();
    assert!(names.len() > 5);
    for name in names {
        let quiet = format!("alertname: {name}, exp_alerts: [] }}");
        assert!(ALERTS_TEST.matches(&quiet).count() >= 2, "{name} is not shown to be quiet");
        let fires = format!("alertname: {name}\n        exp_alerts:\n          - exp_labels:");
        assert!(ALERTS_TEST.contains(&fires), "{name} is not shown to fire");
    }
}
