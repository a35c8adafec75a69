//! What the page shows of a fleet, as plain values.

use std::time::Duration;

use failover::State;
use failover::cluster::{Command, GivenOrder, NodeView, View};

/// What became of messages that were refused, as [`View::messages`] names it.
const REFUSED: [&str; 5] = ["too_long", "version", "tag", "malformed", "full"];

/// The nodes that decide together for one failover, as this node sees them.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The cluster's name.
    pub cluster: String,
    /// This node's id: 16 hexadecimal digits.
    pub node: String,
    /// How often nodes publish.
    pub beat: Duration,
    /// The connection to the others.
    pub bus: Bus,
    /// The epoch in force, or the last that ended.
    pub epoch: u64,
    /// Which nodes are on the fallback together, `fleet` or a label such as `zone=a`; `None` if this node is
    /// in no such group.
    pub scope: Option<String>,
    /// How many other failure domains are on the fallback in this epoch.
    pub vouchers: u64,
    /// The primary's calls that count, on all nodes.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// How many failure domains these calls are of.
    pub domains: u64,
    /// How many messages were refused since the start.
    pub refused: u64,
    /// The live nodes, this one first.
    pub nodes: Vec<Node>,
    /// The newest orders for all nodes.
    pub orders: Vec<FleetOrder>,
}

/// The connection to the other nodes.
#[derive(Clone, Debug)]
pub struct Bus {
    /// Whether it is connected.
    pub is_up: bool,
    /// Why it is not; empty while it is, and before the first attempt.
    pub reason: String,
    /// For how long it has been as it is.
    pub since: Duration,
    /// How often it was lost.
    pub losses: u64,
    /// How many incoming messages it dropped.
    pub lagged: u64,
}

/// A live node.
#[derive(Clone, Debug)]
pub struct Node {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Its labels, such as `zone=a`.
    pub labels: Vec<String>,
    /// How it routes its calls.
    pub state: State,
    /// How long until its revert; `None` if no timer runs.
    pub reverts_in: Option<Duration>,
    /// The epoch, as it knows it.
    pub epoch: u64,
    /// With which nodes it is on the fallback, like [`Fleet::scope`].
    pub scope: Option<String>,
    /// Why it doubts its own evidence, if it does.
    pub suspicion: Option<String>,
    /// How old its last message is.
    pub age: Duration,
    /// Its primary's calls in the window, or those before its trip.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Whether it knows the newest orders.
    pub is_informed: bool,
}

/// An order for all nodes.
#[derive(Clone, Debug)]
pub struct FleetOrder {
    /// What to do.
    pub command: Command,
    /// Who gave it.
    pub by: String,
    /// Why; empty if nobody said.
    pub reason: String,
    /// How long ago.
    pub age: Duration,
}

impl Fleet {
    /// What a node knows of the failover of this name; `None` if that has not joined.
    #[must_use]
    pub fn of(view: &View, failover: &str) -> Option<Self> {
        let fleet = view.failovers.iter().find(|fleet| *fleet.failover == *failover)?;
        let bus = &view.bus;
        let refused = REFUSED.iter().filter_map(|what| view.messages.get(what)).sum();
        Some(Self {
            cluster: view.cluster.to_string(),
            node: view.node.clone(),
            beat: view.beat,
            bus: Bus {
                is_up: bus.is_up,
                reason: bus.reason.clone(),
                since: bus.since,
                losses: bus.losses,
                lagged: bus.lagged,
            },
            epoch: fleet.epoch,
            scope: fleet.scope.as_ref().map(ToString::to_string),
            vouchers: fleet.vouchers as u64,
            calls: fleet.tally.calls(),
            failures: fleet.tally.failures,
            domains: fleet.domains as u64,
            refused,
            nodes: fleet.nodes.iter().map(Node::of).collect(),
            orders: fleet.orders.iter().map(FleetOrder::of).collect(),
        })
    }
}

impl Node {
    fn of(node: &NodeView) -> Self {
        Self {
            id: node.id.clone(),
            labels: node.labels.iter().map(ToString::to_string).collect(),
            state: node.state,
            reverts_in: node.reverts_in,
            epoch: node.epoch,
            scope: node.scope.as_ref().map(ToString::to_string),
            suspicion: node.suspicion.map(|why| why.to_string()),
            age: node.age,
            calls: node.tally.calls(),
            failures: node.tally.failures,
            is_informed: node.is_informed,
        }
    }

    /// Whether there is more to say of it than that it asks the primary.
    pub(super) fn is_unusual(&self) -> bool {
        self.state != State::Primary || self.suspicion.is_some() || !self.is_informed
    }
}

impl FleetOrder {
    fn of(order: &GivenOrder) -> Self {
        let GivenOrder { command, by, reason, age, .. } = order;
        Self { command: command.clone(), by: by.clone(), reason: reason.clone(), age: *age }
    }
}

#[cfg(test)]
mod tests {
    use failover::Policy;
    use failover::clock::ManualClock;
    use failover::cluster::Cluster;
    use failover::monitor::Monitor;

    use super::*;

    #[test]
    fn the_figures_are_those_of_the_nodes_view() {
        let clock = ManualClock::new();
        let monitor = Monitor::with_clock(Policy::default(), clock.clone()).named("valuations");
        let label = "zone=a".parse().unwrap();
        let cluster = Cluster::builder("demo").label(label).build_on(clock).unwrap();
        cluster.join(&monitor.handle()).unwrap();
        cluster.order("valuations", Command::Release, "192.0.2.7", "a test").unwrap();
        cluster.port().deliver(&[0; 3]);

        let view = cluster.view();
        assert!(Fleet::of(&view, "another").is_none());
        let fleet = Fleet::of(&view, "valuations").unwrap();
        assert_eq!((fleet.cluster.as_str(), fleet.domains, fleet.refused), ("demo", 1, 1));
        let [node] = &fleet.nodes[..] else { panic!("{fleet:?}") };
        assert_eq!((&node.id, &node.labels[..]), (&fleet.node, &["zone=a".to_owned()][..]));
        assert!(!node.is_unusual() && !fleet.bus.is_up);
        let [order] = &fleet.orders[..] else { panic!("{fleet:?}") };
        assert_eq!((order.by.as_str(), order.reason.as_str()), ("192.0.2.7", "a test"));
    }
}
