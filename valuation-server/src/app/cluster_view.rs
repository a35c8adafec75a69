//! The cluster as operators see it.

use failover::Route;
use failover::cluster::{self, Command, FleetView, NodeView};
use failover::monitor::Tally;

use super::fleet::Fleet;
use super::fleet_orders::policy_settings;
use crate::admin::{Bus, Cluster, Fleet as Shown, GivenOrder, Node, Window};

/// What this node knows of its cluster.
pub(super) fn of(fleet: &Fleet) -> Cluster {
    let cluster::View { cluster, node, beat, bus, messages, failovers, .. } = fleet.view();
    Cluster {
        cluster: cluster.to_string(),
        node,
        beat,
        bus: Bus {
            url: fleet.url().to_string(),
            up: bus.is_up,
            reason: some(bus.reason),
            since: bus.since,
            losses: bus.losses,
            lagged: bus.lagged,
        },
        doubt: fleet.doubt().map(|doubt| doubt.to_string()),
        messages,
        failovers: failovers.into_iter().map(shown).collect(),
    }
}

fn shown(fleet: FleetView) -> Shown {
    Shown {
        failover: fleet.failover.to_string(),
        epoch: fleet.epoch,
        scope: fleet.scope.map(|scope| scope.to_string()),
        vouchers: fleet.vouchers,
        window: window(fleet.tally),
        nodes: fleet.nodes.into_iter().map(node).collect(),
        orders: fleet.orders.into_iter().map(order).collect(),
    }
}

fn node(node: NodeView) -> Node {
    let label = |label: &cluster::Label| (label.key().to_owned(), label.value().to_owned());
    Node {
        id: node.id,
        labels: node.labels.iter().map(label).collect(),
        state: node.state.as_str(),
        reverts_in: node.reverts_in,
        epoch: node.epoch,
        scope: node.scope.map(|scope| scope.to_string()),
        suspicion: node.suspicion.map(cluster::Suspicion::as_str),
        age: node.age,
        window: window(node.tally),
        informed: node.is_informed,
    }
}

fn order(order: cluster::GivenOrder) -> GivenOrder {
    let (command, lasts, policy) = match order.command {
        Command::Force { route: Route::Primary, lasts } => ("FORCE_PRIMARY", lasts, None),
        Command::Force { route: Route::Fallback, lasts } => ("FORCE_FALLBACK", lasts, None),
        Command::Release => ("AUTO", None, None),
        Command::Policy(text) => ("policy", None, policy_settings(&text)),
        // Of a later version.
        _ => ("", None, None),
    };
    let (by, reason, age) = (order.by, some(order.reason), order.age);
    GivenOrder { command, lasts, policy, by, reason, age }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// What a window held.
pub(super) fn window(tally: Tally) -> Window {
    Window {
        calls: tally.calls(),
        failures: tally.failures,
        slow: tally.slow,
        failure_rate: tally.failure_rate(),
    }
}
