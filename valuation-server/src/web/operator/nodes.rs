//! The part of the page that shows a fleet: the bus, what is pooled, its nodes, and the orders for all of
//! them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use askama::Template;
use failover::cluster::Command;
use failover::{Route, State};

use super::figures::{Failover, Limits};
use super::fleet::{Bus, Fleet, FleetOrder, Node};
use super::format::{
    count, counted, duration, latency, machine, percent, roughly, share, short, time,
};
use super::render;

/// The most nodes of the table. Those that are not on the primary, or are suspect, come first.
const ROWS: usize = 30;
/// How many digits of a node's id are shown.
const SHORT: usize = 8;

pub(super) fn fleet(failover: &Failover, fleet: &Fleet, now: SystemTime) -> String {
    let shown = Shown { failover, fleet };
    let mut nodes: Vec<_> = fleet.nodes.iter().collect();
    nodes.sort_by_key(|node| (node.id != fleet.node, !node.is_unusual()));
    let left_out = match nodes.len().saturating_sub(ROWS) {
        0 => String::new(),
        more => format!("{} not shown.", counted(more as u64, "more node")),
    };
    render(&Part {
        class: if fleet.bus.is_up { "" } else { "bad" },
        bus: bus(&fleet.bus),
        sentences: vec![shown.pooled(), shown.together()],
        facts: shown.facts(),
        nodes: nodes.into_iter().take(ROWS).map(|node| shown.node(node)).collect(),
        left_out,
        orders: fleet.orders.iter().map(|order| shown.order(order, now)).collect(),
    })
}

#[derive(Template)]
#[template(path = "operator/fleet.html")]
struct Part {
    class: &'static str,
    bus: String,
    sentences: Vec<String>,
    facts: Vec<(&'static str, String, &'static str)>,
    nodes: Vec<NodeRow>,
    left_out: String,
    orders: Vec<OrderRow>,
}

struct NodeRow {
    id: String,
    is_this: bool,
    labels: String,
    class: &'static str,
    asked: String,
    state: String,
    failed: String,
    age: String,
    notes: Vec<(&'static str, String)>,
}

struct OrderRow {
    machine: String,
    time: String,
    what: String,
    by: String,
    reason: String,
}

fn bus(bus: &Bus) -> String {
    if bus.is_up {
        return format!("✓ The bus is connected ({}).", roughly(bus.since));
    }
    let why = if bus.reason.is_empty() { "no connection yet" } else { &bus.reason };
    let since = roughly(bus.since);
    format!(
        "✗ The bus is not connected ({since}): {why}. Until it is, this node decides by its own calls alone."
    )
}

struct Shown<'a> {
    failover: &'a Failover,
    fleet: &'a Fleet,
}

impl Shown<'_> {
    /// What all nodes count together, and the limit.
    fn pooled(&self) -> String {
        let Fleet { calls, failures, nodes, .. } = self.fleet;
        let Limits { failure_rate, minimum_calls, .. } = self.failover.decision.limits;
        let primary = short(self.failover.primary);
        let limit = format!(
            "limit: more than {} of at least {}",
            share(failure_rate),
            count(minimum_calls)
        );
        if nodes.len() <= 1 {
            return "No other node is heard: this node decides by its own calls alone.".to_owned();
        }
        match calls {
            0 => format!("No call to {primary} counts on any node now ({limit})."),
            calls => format!(
                "{} of {} to {primary} on all nodes failed: {} ({limit}, also without the worst failure domain).",
                count(*failures),
                counted(*calls, "call"),
                percent(*failures, *calls),
            ),
        }
    }

    /// Which nodes are on the fallback together.
    fn together(&self) -> String {
        let Fleet { epoch, scope, vouchers, .. } = self.fleet;
        let fallback = short(self.failover.fallback);
        let who = match scope.as_deref() {
            None => return format!("The fleet has not sent this node to {fallback}."),
            Some("fleet") => "The whole fleet asks".to_owned(),
            Some(label) => format!("Only the nodes with {label} ask"),
        };
        let vouchers = match vouchers {
            0 => "no other failure domain vouches for it".to_owned(),
            1 => "1 other failure domain vouches for it".to_owned(),
            others => format!("{} other failure domains vouch for it", count(*others)),
        };
        format!("{who} {fallback} together (epoch {}): {vouchers}.", count(*epoch))
    }

    fn facts(&self) -> Vec<(&'static str, String, &'static str)> {
        let Fleet { node, epoch, domains, refused, nodes, bus, .. } = self.fleet;
        let mut facts = vec![
            ("this node", digits(node), ""),
            ("nodes", count(nodes.len() as u64), ""),
            ("failure domains", count(*domains), ""),
            ("epoch", count(*epoch), ""),
            ("bus lost", times(bus.losses), ""),
            ("messages lost", count(bus.lagged), ""),
        ];
        if *refused > 0 {
            facts.push(("messages refused", count(*refused), "bad"));
        }
        facts
    }

    fn node(&self, node: &Node) -> NodeRow {
        let (class, state) = self.state(node);
        let asked = match node.state {
            State::Fallback | State::Probing | State::ForcedFallback => {
                format!("⇢ {}", short(self.failover.fallback))
            }
            _ => format!("→ {}", short(self.failover.primary)),
        };
        let failed = match node.calls {
            0 => "no calls".to_owned(),
            calls => format!(
                "{} of {} ({})",
                count(node.failures),
                count(calls),
                percent(node.failures, calls)
            ),
        };
        // A node that keeps its beat is not older than two; its exact age would change all the time.
        let on_time = 2 * self.fleet.beat;
        let age = match node.age {
            age if age <= on_time => format!("under {}", latency(on_time)),
            age => latency(age),
        };
        let mut notes = Vec::new();
        if let Some(why) = &node.suspicion {
            let counts = if self.most_are_suspect() {
                "its calls count all the same, as most nodes are suspect"
            } else {
                "its calls don't count"
            };
            notes.push(("suspect", format!("⚠ suspect: {why}; {counts}")));
        }
        if !node.is_informed {
            notes.push(("note", "does not know the newest order yet".to_owned()));
        }
        if node.epoch != self.fleet.epoch {
            notes.push(("note", format!("in epoch {}", count(node.epoch))));
        }
        NodeRow {
            id: digits(&node.id),
            is_this: node.id == self.fleet.node,
            labels: node.labels.join(", "),
            class,
            asked,
            state,
            failed,
            age,
            notes,
        }
    }

    /// Then the fault is no single node's, and the library counts their calls.
    fn most_are_suspect(&self) -> bool {
        let suspects = self.fleet.nodes.iter().filter(|node| node.suspicion.is_some());
        suspects.count() * 2 > self.fleet.nodes.len()
    }

    fn state(&self, node: &Node) -> (&'static str, String) {
        let back = |what: &str| match node.reverts_in {
            Some(left) => format!("{what}, back in {}", duration(left)),
            None => what.to_owned(),
        };
        match node.state {
            State::ForcedPrimary | State::ForcedFallback => ("order", back("forced")),
            State::Probing => ("to-fallback", format!("probing {}", short(self.failover.primary))),
            State::Ramping => ("to-primary", "returning".to_owned()),
            State::Fallback => {
                let with = match node.scope.as_deref() {
                    None => "alone".to_owned(),
                    Some("fleet") => "with the fleet".to_owned(),
                    Some(label) => format!("with {label}"),
                };
                ("to-fallback", back(&with))
            }
            _ => ("to-primary", String::new()),
        }
    }

    fn order(&self, order: &FleetOrder, now: SystemTime) -> OrderRow {
        let what = match &order.command {
            Command::Force { route, lasts } => {
                let to = match route {
                    Route::Primary => self.failover.primary,
                    Route::Fallback => self.failover.fallback,
                };
                match lasts {
                    Some(lasts) => format!("{} first, for {}", short(to), duration(*lasts)),
                    None => format!("{} first, until it is released", short(to)),
                }
            }
            Command::Release => "forced route released".to_owned(),
            Command::Policy(text) => format!("policy: {}", policy(text)),
            // Of a later version of the library.
            other => format!("{other:?}"),
        };
        let at = now.checked_sub(seconds(order.age)).unwrap_or(SystemTime::UNIX_EPOCH);
        OrderRow {
            machine: machine(at),
            time: time(at, now),
            what,
            by: order.by.clone(),
            reason: order.reason.clone(),
        }
    }
}

/// The settings that an order changes: `key = value, …`. The text as it is, if that is something else.
fn policy(text: &str) -> String {
    let Ok(settings) = serde_json::from_str::<BTreeMap<String, String>>(text) else {
        return text.to_owned();
    };
    let settings = settings.iter().map(|(key, value)| format!("{key} = {value}"));
    settings.collect::<Vec<_>>().join(", ")
}

/// Whole seconds, so that the same moment is shown each time.
fn seconds(age: Duration) -> Duration {
    Duration::from_secs(age.as_secs())
}

fn digits(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

fn times(number: u64) -> String {
    match number {
        0 => "never".to_owned(),
        number => counted(number, "time"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn shown(overview: &super::super::Overview) -> String {
        let failover = &overview.failovers[0];
        fleet(failover, failover.fleet.as_ref().unwrap(), overview.now).replace('\u{a0}', " ")
    }

    #[test]
    fn a_table_of_nodes_marks_this_one_and_says_what_is_unusual() {
        let html = shown(&samples::fleet());
        for text in [
            "✓ The bus is connected (2 h).",
            "24 of 300 calls to SuperCar on all nodes failed: 8 % (limit: more than 1/2 of at least 10, \
             also without the worst failure domain).",
            "The fleet has not sent this node to Premium.",
            "<code>3f9a0c51</code> <strong>this node</strong>",
            "⇢ Premium</span> alone, back in 22 s",
            "⚠ suspect: its application reports a fault of its own; its calls don&#39;t count",
            "under 400 ms",
            "910 ms",
            "does not know the newest order yet",
            "forced route released",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert_eq!(html.matches("this node</strong>").count(), 1);

        let mut overview = samples::fleet();
        for node in &mut overview.failovers[0].fleet.as_mut().unwrap().nodes {
            node.suspicion = Some("its beats come late".to_owned());
        }
        assert!(
            shown(&overview).contains("its calls count all the same, as most nodes are suspect")
        );
    }

    #[test]
    fn a_fleet_on_the_fallback_says_who_vouches_and_a_lost_bus_what_it_means() {
        let mut overview = samples::fleet();
        let fleet = overview.failovers[0].fleet.as_mut().unwrap();
        (fleet.scope, fleet.vouchers, fleet.epoch) = (Some("fleet".to_owned()), 2, 7);
        fleet.bus.is_up = false;
        "connection refused".clone_into(&mut fleet.bus.reason);
        let html = shown(&overview);
        for text in [
            "The whole fleet asks Premium together (epoch 7): 2 other failure domains vouch for it.",
            "✗ The bus is not connected (2 h): connection refused. Until it is, this node decides by its own \
             calls alone.",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        let fleet = overview.failovers[0].fleet.as_mut().unwrap();
        fleet.scope = Some("zone=a".to_owned());
        fleet.vouchers = 1;
        fleet.nodes.truncate(1);
        let html = shown(&overview);
        let scope = "Only the nodes with zone=a ask Premium together (epoch 7): 1 other failure domain vouches";
        assert!(html.contains(scope) && html.contains("No other node is heard"), "{html}");
    }

    #[test]
    fn a_large_fleet_shows_the_unusual_nodes_first_and_says_how_many_are_left_out() {
        let mut overview = samples::fleet();
        let fleet = overview.failovers[0].fleet.as_mut().unwrap();
        let usual = fleet.nodes[0].clone();
        for number in 0..100_u64 {
            let id = format!("{:016x}", number << 32);
            fleet.nodes.insert(1, Node { id, ..usual.clone() });
        }
        let html = shown(&overview);
        assert_eq!(html.matches("<code>").count(), ROWS);
        assert!(html.contains("⚠ suspect") && html.contains("alone, back in"), "{html}");
        assert!(html.contains("73 more nodes not shown."), "{html}");
    }

    #[test]
    fn orders_say_what_for_how_long_by_whom_and_why_and_are_escaped() {
        let mut overview = samples::fleet();
        let fleet = overview.failovers[0].fleet.as_mut().unwrap();
        let order = |command| FleetOrder {
            command,
            by: "192.0.2.7".to_owned(),
            reason: "<b>why</b>".to_owned(),
            age: Duration::from_secs(60),
        };
        let lasts = Some(Duration::from_secs(7_200));
        fleet.orders = vec![
            order(Command::Force { route: Route::Fallback, lasts }),
            order(Command::Force { route: Route::Primary, lasts: None }),
            order(Command::Policy(r#"{"failure-rate":"1/3","min-calls":"20"}"#.to_owned())),
            order(Command::Policy("of a later version".to_owned())),
        ];
        let html = shown(&overview);
        for text in [
            "Premium first, for 2 h",
            "SuperCar first, until it is released",
            "policy: failure-rate = 1/3, min-calls = 20",
            "policy: of a later version",
            "12:02:07",
            "192.0.2.7",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("<b>"), "{html}");
    }
}
