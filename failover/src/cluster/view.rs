//! What a node knows of its cluster, for operators.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::decision::sum;
use crate::cluster::label::{Label, Scope};
use crate::cluster::members::Slot;
use crate::cluster::node::{Node, tally};
use crate::cluster::wire::{Command, Frame, Order, Suspicion};
use crate::state::State;
use crate::tally::Tally;

/// What a node knows of its cluster at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// This node: 16 hexadecimal digits, new at each start.
    pub node: String,
    /// How often nodes publish.
    pub beat: Duration,
    /// The connection to the others.
    pub bus: BusView,
    /// Incoming messages by what became of them: `merged`, `order`; `own`, `stale`, `other_failover`, which are
    /// no errors; `too_long`, `version`, `tag`, `malformed`, `full`, which were refused.
    pub messages: BTreeMap<&'static str, u64>,
    /// Each failover that has joined.
    pub failovers: Vec<FleetView>,
}

/// What becomes of a message: see [`View::messages`].
const RESULTS: [&str; 10] = [
    "full",
    "malformed",
    "merged",
    "order",
    "other_failover",
    "own",
    "stale",
    "tag",
    "too_long",
    "version",
];

/// No message of any kind, so that each has its series from the start.
pub(super) fn no_messages() -> BTreeMap<&'static str, u64> {
    RESULTS.into_iter().map(|result| (result, 0)).collect()
}

/// The connection to the other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusView {
    /// Whether the bus is connected. Without it nodes decide by themselves.
    pub is_up: bool,
    /// Why it is not; empty while it is, and before the first attempt.
    pub reason: String,
    /// For how long it has been as it is.
    pub since: Duration,
    /// How often it was lost.
    pub losses: u64,
    /// How many incoming messages the bus dropped.
    pub lagged: u64,
}

/// The fleet of one failover, as this node sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FleetView {
    /// The failover's name.
    pub failover: Arc<str>,
    /// The fleet's epoch: the current one, or the last that ended.
    pub epoch: u64,
    /// The nodes that are on the fallback together, if this node is one of them.
    pub scope: Option<Scope>,
    /// How many other failure domains are on the fallback in this epoch.
    pub vouchers: usize,
    /// The calls of all live nodes that count: those of nodes that doubt their own evidence don't.
    pub tally: Tally,
    /// How many failure domains these calls are of.
    pub domains: usize,
    /// The live nodes, this one first.
    pub nodes: Vec<NodeView>,
    /// The newest orders for all nodes: for the route, and for the policy.
    pub orders: Vec<GivenOrder>,
}

/// One live node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeView {
    /// 16 hexadecimal digits, new at each start.
    pub id: String,
    /// Its labels.
    pub labels: Arc<[Label]>,
    /// How it routes its calls.
    pub state: State,
    /// How long until its revert; `None` if no timer runs.
    pub reverts_in: Option<Duration>,
    /// The fleet's epoch, as it knows it.
    pub epoch: u64,
    /// The nodes with which it is on the fallback, if the fleet sent it there.
    pub scope: Option<Scope>,
    /// Why it doubts its own evidence, if it does.
    pub suspicion: Option<Suspicion>,
    /// How old this is.
    pub age: Duration,
    /// Its primary's calls in the window, or those before its trip.
    pub tally: Tally,
    /// Whether it knows the newest orders.
    pub is_informed: bool,
}

/// An operator's order for all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GivenOrder {
    /// The failover's name.
    pub failover: Arc<str>,
    /// What to do.
    pub command: Command,
    /// Who gave it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How long ago it was given.
    pub age: Duration,
    /// The node that passed it on.
    pub node: String,
}

impl From<Order> for GivenOrder {
    fn from(order: Order) -> Self {
        let Order { node, failover, age, command, by, reason, .. } = order;
        let (age, node) = (Duration::from_millis(age), node.to_string());
        Self { failover, command, by, reason, age, node }
    }
}

impl FleetView {
    /// `own`: the frame that this node would publish now.
    pub(super) fn new(node: &Node, own: Frame, now: u64) -> Self {
        let (rules, witnesses) = (&node.terms().rules, node.witnesses(now));
        let domains: BTreeSet<_> =
            witnesses.iter().map(|w| rules.domain_of(&Scope::Fleet, w.node, w.labels)).collect();
        let scope = node.stay().map(|stay| stay.scope.clone());
        let vouchers = scope.as_ref().map_or(0, |_| node.vouchers(node.epoch()));
        let newest = node.orders().versions();
        let own = Slot { frame: own, at: now };
        let nodes = [&own].into_iter().chain(node.members().live());
        Self {
            failover: Arc::clone(&node.identity().failover),
            epoch: node.epoch(),
            scope,
            vouchers,
            tally: sum(witnesses.iter().map(|witness| witness.tally)),
            domains: domains.len(),
            nodes: nodes.map(|slot| NodeView::new(slot, newest, now)).collect(),
            orders: node.orders().newest(now).map(GivenOrder::from).collect(),
        }
    }
}

impl NodeView {
    fn new(slot: &Slot, newest: [u64; 2], now: u64) -> Self {
        let (frame, age) = (&slot.frame, slot.age(now));
        let left = frame.left.saturating_sub(age);
        Self {
            id: frame.node.to_string(),
            labels: Arc::clone(&frame.labels),
            state: frame.state,
            reverts_in: (left > 0).then(|| Duration::from_millis(left)),
            epoch: frame.epoch,
            scope: frame.stay.clone(),
            suspicion: frame.suspicion,
            age: Duration::from_millis(age),
            tally: tally(&frame.buckets, 0, u64::MAX),
            is_informed: frame.orders == newest,
        }
    }
}

impl Suspicion {
    /// A label for logs and metrics: `late_beats`, `other_failovers`, `reported`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LateBeats => "late_beats",
            Self::OtherFailovers => "other_failovers",
            Self::Reported => "reported",
        }
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LateBeats => "its beats come late",
            Self::OtherFailovers => "its other failovers are on the fallback as well",
            Self::Reported => "its application reports a fault of its own",
        })
    }
}
