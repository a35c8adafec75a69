//! Every state of three real nodes, checked by `stateright`: frames are lost and repeated, nodes are cut off in
//! one direction or in both, a frame comes late and overtaken by newer ones, and primaries fail and recover.
//! Two epochs are looked at.
//!
//! Time advances by ticks for all nodes, of half the life of a slot. It is relative, so that states of
//! different times are the same state, and the number of ticks has no bound. The nodes' failovers do not trip
//! by themselves: what is checked is what nodes do to one another. Their clocks run alike, and without probing.

use stateright::{Checker, Model, Property};

use super::*;
use crate::cluster::node::{Own, Stay};
use crate::cluster::wire::Bucket;
use crate::state::State as Phase;

const NODES: usize = 3;
/// Now, in each state.
const NOW: u64 = 1_000;
const TICK: u64 = 10;
/// A slot lives for 5 of these: until the next tick, but not until the one after it.
const SHORT_BEAT: u64 = TICK / 5;
/// In ticks.
const STAY_TICKS: u64 = 2;
/// The highest that is looked at.
const EPOCHS: u64 = 2;
/// In ticks. A late frame is no older.
const LATEST: u64 = 2;
/// The sequence of a node's newest frame, in each state. Of older ones only their order matters, and only
/// if one of them is still to come.
const NEWEST: u64 = 100;
const LATE: u64 = 50;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Three {
    nodes: [Node; NODES],
    /// How long each failover is on the fallback from now on.
    away: [u64; NODES],
    fails: [bool; NODES],
    /// The highest epoch that each node has left.
    ended: [u64; NODES],
    /// The newest frame of each.
    sent: [Option<Frame>; NODES],
    /// A frame that comes late, and its age in ticks.
    late: Option<(Frame, u64)>,
    toggles: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Time passes, each node beats and publishes, and the frames arrive on those links whose bits are set;
    /// on the others they are lost.
    Tick { arrives: u8 },
    /// The newest frame of a node is on its way for longer.
    Delay { from: usize },
    /// And arrives, at one node or at several, once or twice.
    Late { to: usize },
    /// The primary of a node begins or ends to fail.
    Toggle { node: usize },
}

/// What may happen.
#[derive(Clone, Debug)]
struct Bounds {
    /// On which links frames may arrive in a tick.
    arrivals: Vec<u8>,
    /// Of which nodes the primaries may fail.
    can_fail: [bool; NODES],
    toggles: u8,
    late: bool,
}

impl Three {
    fn new() -> Self {
        let node = |at: usize| {
            let identity = Identity {
                id: NodeId(at as u64 + 1),
                failover: "f".into(),
                labels: [].into(),
                beat: SHORT_BEAT,
            };
            let rules = Rules {
                failure_rate: Some(Ratio::HALF),
                minimum_calls: 10,
                spare: 1,
                domain: None,
            };
            Node::new(identity, Terms { rules, window: Some(TICK + TICK / 2), patience: None })
        };
        Self {
            nodes: std::array::from_fn(node),
            away: [0; NODES],
            fails: [false; NODES],
            ended: [0; NODES],
            sent: [const { None }; NODES],
            late: None,
            toggles: 0,
        }
    }

    fn own(&self, at: usize) -> Own {
        let is_away = self.away[at] > 0;
        let bucket = Bucket { age: 0, calls: 10, failures: if self.fails[at] { 10 } else { 0 } };
        Own {
            state: if is_away { Phase::Fallback } else { Phase::Primary },
            left: self.away[at],
            revert_after: STAY_TICKS * TICK,
            buckets: if is_away { Vec::new() } else { vec![bucket] },
            suspicion: None,
        }
    }

    fn apply(&mut self, at: usize, change: Option<&Change>) {
        match change {
            None => {}
            Some(Change::Enter { left, .. } | Change::Deadline { left }) => self.away[at] = *left,
            Some(Change::Return) => self.away[at] = 0,
        }
    }

    fn publish(&mut self, at: usize) {
        let own = self.own(at);
        self.sent[at] = Some(self.nodes[at].frame(&own, NOW));
    }

    /// Whether the receiver announces something in answer.
    fn receive(&mut self, to: usize, frame: Frame) -> bool {
        let own = self.own(to);
        let (_, change) = self.nodes[to].receive(frame, NOW, || own);
        if let Some(change) = &change {
            self.apply(to, Some(change));
            self.publish(to);
            self.renumber();
        }
        change.is_some()
    }

    /// The newest frames arrive on some links; then those that were announced in answer.
    fn deliver(&mut self, arrives: u8) {
        let mut sends = [true; NODES];
        while sends != [false; NODES] {
            let mut answers = [false; NODES];
            for (at, (from, to)) in links().enumerate() {
                if arrives >> at & 1 == 1
                    && sends[from]
                    && let Some(frame) = self.sent[from].clone()
                {
                    answers[to] |= self.receive(to, frame);
                }
            }
            sends = answers;
        }
    }

    fn tick(&mut self) {
        // A deadline of another node is a millisecond later, by rounding: no tick is that long.
        let later =
            |left: u64| left.checked_sub(TICK).filter(|left| *left >= TICK / 2).unwrap_or(0);
        self.away = self.away.map(later);
        self.shift();
        for at in 0..NODES {
            let had = self.nodes[at].stay().is_some().then(|| self.nodes[at].epoch());
            let own = self.own(at);
            let change = self.nodes[at].beat(&own, NOW);
            if let Some(epoch) = had
                && (self.nodes[at].stay().is_none() || self.nodes[at].epoch() > epoch)
            {
                self.ended[at] = self.ended[at].max(epoch);
            }
            self.apply(at, change.as_ref());
            self.publish(at);
        }
        self.renumber();
    }

    /// Makes everything a tick older.
    fn shift(&mut self) {
        let longest = TICK + TICK / 2;
        for node in &mut self.nodes {
            node.members.shift(TICK);
            node.evidence.shift(TICK, NOW, longest);
            node.returned = node.returned.map(|at| at.saturating_sub(TICK).max(NOW - 3 * longest));
            if let Some(stay) = &mut node.stay {
                stay.deadline -= TICK;
            }
        }
        self.late = self.late.take().map(|(frame, age)| (frame, age + 1));
        self.late.take_if(|(_, age)| *age > LATEST);
    }

    /// Numbers the frames of each node anew.
    fn renumber(&mut self) {
        let newest: [u64; NODES] = std::array::from_fn(|at| self.nodes[at].sequence);
        let late = self.late.as_ref().map(|(frame, _)| (frame.node, frame.sequence));
        let number = |node: NodeId, sequence: u64| {
            let is_newest = sequence == newest[usize::try_from(node.0).unwrap() - 1];
            let is_late = late.is_some_and(|(of, late)| of == node && sequence >= late);
            if is_newest {
                NEWEST
            } else if is_late {
                LATE
            } else {
                0
            }
        };
        for node in &mut self.nodes {
            node.sequence = NEWEST;
            node.members.renumber(number);
        }
        let late = self.late.iter_mut().map(|(frame, _)| frame);
        for frame in self.sent.iter_mut().flatten().chain(late) {
            frame.sequence = number(frame.node, frame.sequence);
            frame.clock = 0;
        }
    }

    fn routes(&self) -> [bool; NODES] {
        self.away.map(|left| left > 0)
    }

    fn is_one_route(&self) -> bool {
        self.routes().windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Whether the network, once it is whole, and with primaries that stay as `fails` says, soon has all nodes
    /// on one route, for good.
    fn heals(&self, fails: [bool; NODES]) -> bool {
        let mut fleet = self.clone();
        (fleet.fails, fleet.late) = (fails, None);
        let mut is_one = [false; 8];
        for one in &mut is_one {
            fleet.tick();
            fleet.deliver(u8::MAX);
            *one = fleet.is_one_route();
        }
        is_one.iter().skip(3).all(|one| *one)
    }
}

fn links() -> impl Iterator<Item = (usize, usize)> {
    (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to))).filter(|(from, to)| from != to)
}

impl Model for Bounds {
    type State = Three;
    type Action = Action;

    fn init_states(&self) -> Vec<Three> {
        vec![Three::new()]
    }

    fn actions(&self, state: &Three, actions: &mut Vec<Action>) {
        actions.extend(self.arrivals.iter().map(|arrives| Action::Tick { arrives: *arrives }));
        for node in 0..NODES {
            if self.can_fail[node] && state.toggles < self.toggles {
                actions.push(Action::Toggle { node });
            }
            if self.late && state.late.is_none() && state.sent[node].is_some() {
                actions.push(Action::Delay { from: node });
            }
            if state.late.is_some() {
                actions.push(Action::Late { to: node });
            }
        }
    }

    fn next_state(&self, last: &Three, action: Action) -> Option<Three> {
        let mut next = last.clone();
        match action {
            Action::Tick { arrives } => {
                next.tick();
                next.deliver(arrives);
            }
            Action::Delay { from } => next.late = Some((last.sent[from].clone()?, 0)),
            Action::Late { to } => {
                next.receive(to, last.late.clone()?.0);
            }
            Action::Toggle { node } => {
                next.fails[node] = !last.fails[node];
                // 255: no bound, and nothing to count.
                next.toggles += u8::from(self.toggles < u8::MAX);
            }
        }
        (next != *last).then_some(next)
    }

    fn within_boundary(&self, state: &Three) -> bool {
        state.nodes.iter().all(|node| node.epoch() <= EPOCHS)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no node enters an epoch that it has left", |_, state: &Three| {
                let enters = |(node, ended): (&Node, &u64)| match node.stay() {
                    Some(Stay { .. }) => node.epoch() > *ended,
                    None => true,
                };
                state.nodes.iter().zip(&state.ended).all(enters)
            }),
            Property::always("healed and healthy, all end on one route", |_, state: &Three| {
                state.heals([false; NODES])
            }),
        ];
        if self.can_fail == [true; NODES] {
            properties.extend([
                Property::always("healed and failing, all end on one route", |_, state: &Three| {
                    state.heals([true; NODES])
                }),
                Property::sometimes("all leave in one epoch", |_, state: &Three| {
                    state.routes() == [true; NODES] && state.nodes.iter().all(|n| n.epoch() == 1)
                }),
                Property::sometimes("all leave a second time", |_, state: &Three| {
                    state.routes() == [true; NODES] && state.ended == [1; NODES]
                }),
                Property::sometimes("all are back", |_, state: &Three| {
                    state.routes() == [false; NODES] && state.ended == [1; NODES]
                }),
                Property::sometimes("a partition divides the routes", |_, state: &Three| {
                    state.routes() == [true, true, false]
                }),
            ]);
        } else {
            properties.extend([
                Property::always("one node alone does not trip the others", |_, state: &Three| {
                    state.routes() == [false; NODES]
                }),
                Property::sometimes("it fails, and all know", |_, state: &Three| {
                    let knows = |node: &Node| {
                        node.witnesses(NOW).iter().any(|witness| witness.tally.failures > 0)
                    };
                    state.nodes.iter().all(knows)
                }),
            ]);
        }
        properties
    }
}

/// Each set of links. The states of one bad node are few enough for it.
fn any_links() -> Vec<u8> {
    (0..1 << links().count()).collect()
}

/// The links that are left if some are cut.
fn without(cut: impl Fn(usize, usize) -> bool) -> u8 {
    links().enumerate().filter(|(_, (from, to))| !cut(*from, *to)).map(|(at, _)| 1 << at).sum()
}

/// All, none, and those that are left if one node neither is heard nor hears.
fn halves() -> Vec<u8> {
    let alone = |node| without(move |from, to| from == node || to == node);
    [without(|_, _| false), 0].into_iter().chain((0..NODES).map(alone)).collect()
}

/// Also those that are left if one node is not heard, or does not hear.
fn partitions() -> Vec<u8> {
    let deaf = (0..NODES).map(|node| without(move |_, to| to == node));
    let mute = (0..NODES).map(|node| without(move |from, _| from == node));
    halves().into_iter().chain(deaf).chain(mute).collect()
}

fn check(name: &str, bounds: Bounds) {
    let properties = bounds.properties().iter().map(|p| p.name).collect::<Vec<_>>().join("; ");
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} of them different, depth {}: {properties}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
    );
    assert!(checker.is_done());
    checker.assert_properties();
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without optimisation: CI runs it with --release")]
fn one_node_of_three_never_trips_the_others() {
    let can_fail = [true, false, false];
    let bounds = Bounds { arrivals: any_links(), can_fail, toggles: u8::MAX, late: false };
    check("one bad node, any loss", bounds.clone());
    let bounds = Bounds { arrivals: halves(), late: true, ..bounds };
    check("one bad node, a late frame", bounds);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without optimisation: CI runs it with --release")]
fn three_nodes_in_two_epochs() {
    let can_fail = [true; NODES];
    let bounds = Bounds { arrivals: partitions(), can_fail, toggles: 2, late: false };
    check("three nodes, one-sided partitions", bounds);
}

#[test]
#[ignore = "minutes of CPU time: 1,274,547 states"]
fn three_nodes_in_two_epochs_and_a_late_frame() {
    let can_fail = [true; NODES];
    let bounds = Bounds { arrivals: halves(), can_fail, toggles: 2, late: true };
    check("three nodes, a late frame", bounds);
}
