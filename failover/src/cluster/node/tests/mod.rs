//! Nodes with failovers of a few lines, over a network in virtual time.

mod hostile;
mod local;
#[cfg(not(any(miri, failover_loom)))]
mod model;
mod probing;
mod returns;
mod trips;

use std::time::Duration;

use super::{Change, Identity, Node, Terms};
use crate::cluster::bus::{Address, Conditions, Network};
use crate::cluster::decision::Rules;
use crate::cluster::label::Label;
use crate::cluster::wire::{Command, Frame, Message, NodeId, Suspicion};
use crate::ratio::Ratio;
use crate::route::Route;
use local::{Local, WINDOW};

const BEAT: u64 = 200;
const STAY: u64 = 20_000;
/// How far apart nodes return, in milliseconds: the ticks that clocks may have, and the delay of a message.
const TOGETHER: u64 = 35;

/// What a node is like.
#[derive(Clone, Debug)]
struct Setup {
    labels: &'static str,
    domain: Option<&'static str>,
    /// Between two calls, in microseconds.
    every: u64,
    patience: Option<u64>,
    revert_after: u64,
    /// How much faster its clock is, in parts per million.
    ppm: i64,
    /// The ticks of its clock, in microseconds.
    tick: u64,
}

impl Default for Setup {
    /// Ten calls a second.
    fn default() -> Self {
        Self {
            labels: "",
            domain: None,
            every: 100_000,
            patience: None,
            revert_after: STAY,
            ppm: 0,
            tick: 1,
        }
    }
}

/// A node and its failover.
struct Member {
    setup: Setup,
    node: Node,
    local: Local,
    address: Address,
    /// In microseconds of the true time.
    next_beat: u64,
    next_call: u64,
    is_up: bool,
    fails: bool,
    suspicion: Option<Suspicion>,
    /// When it went to the fallback, and when it left it, in milliseconds of the true time.
    switches: Vec<(u64, bool)>,
    entered: Vec<Change>,
}

struct Fleet {
    members: Vec<Member>,
    network: Network<Message>,
    /// The true time in microseconds.
    now: u64,
    restarts: u64,
}

impl Member {
    fn new(id: u64, setup: Setup, address: Address, now: u64) -> Self {
        let labels = setup.labels.split_whitespace().map(|label| label.parse::<Label>().unwrap());
        let identity = Identity {
            id: NodeId(id.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            failover: "test".into(),
            labels: labels.collect(),
            beat: BEAT,
        };
        let rules = Rules {
            failure_rate: Some(Ratio::HALF),
            minimum_calls: 10,
            spare: 1,
            domain: setup.domain.map(Into::into),
        };
        let terms = Terms { rules, window: Some(WINDOW), patience: setup.patience };
        Self {
            node: Node::new(identity, terms),
            local: Local::new(setup.revert_after, setup.patience.is_some()),
            address,
            // All nodes have other phases.
            next_beat: now + id * 61_803 % (BEAT * 1_000),
            next_call: now + id * 38_197 % setup.every.max(1),
            is_up: true,
            fails: false,
            suspicion: None,
            switches: Vec::new(),
            entered: Vec::new(),
            setup,
        }
    }

    /// The time by the node's own clock, in microseconds.
    fn clock(&self, now: u64) -> u64 {
        let drift = i128::from(now) * i128::from(self.setup.ppm) / 1_000_000;
        let phase = i128::from(self.node.identity.id.0 % self.setup.tick.max(1_000));
        let time = u64::try_from(i128::from(now) + drift + phase).unwrap();
        time - time % self.setup.tick
    }

    fn apply(&mut self, change: Option<Change>, now: u64) {
        let Some(change) = change else { return };
        self.local.apply(&change, self.clock(now));
        if matches!(change, Change::Enter { .. }) {
            self.entered.push(change);
        }
    }

    /// A beat: the messages to send.
    fn beat(&mut self, now: u64) -> Vec<Message> {
        let (clock, suspicion) = (self.clock(now), self.suspicion);
        let own = self.local.own(clock, suspicion);
        let change = self.node.beat(&own, clock / 1_000);
        self.apply(change, now);
        let own = self.local.own(clock, suspicion);
        let frame = Message::Frame(self.node.frame(&own, clock / 1_000));
        let orders = self.node.orders_to_send(clock / 1_000);
        std::iter::once(frame).chain(orders.into_iter().map(Message::Order)).collect()
    }

    /// A message: the frame to announce at once, if it changed something.
    fn receive(&mut self, message: Message, now: u64) -> Option<Message> {
        let clock = self.clock(now);
        match message {
            Message::Frame(frame) => {
                let own = || self.local.own(clock, self.suspicion);
                let (_, change) = self.node.receive(frame, clock / 1_000, own);
                let change = change?;
                self.apply(Some(change), now);
                let own = self.local.own(clock, self.suspicion);
                Some(Message::Frame(self.node.frame(&own, clock / 1_000)))
            }
            Message::Order(order) => {
                let command = order.command.clone();
                if self.node.take(order, clock / 1_000) {
                    self.local.command(&command, clock);
                }
                None
            }
        }
    }

    fn call(&mut self, now: u64) {
        let clock = self.clock(now);
        if let Some(tally) = self.local.call(self.fails, clock) {
            self.node.tripped(tally, clock / 1_000);
        }
    }

    fn note_switch(&mut self, now: u64) {
        let is_away = self.local.is_away(self.clock(now));
        if is_away != self.switches.last().is_some_and(|(_, away)| *away) {
            self.switches.push((now / 1_000, is_away));
        }
    }
}

impl Fleet {
    fn new(nodes: u64, setup: impl Fn(u64) -> Setup) -> Self {
        Self::on(Conditions { delay: millis(1)..=millis(3), ..Conditions::default() }, nodes, setup)
    }

    fn on(conditions: Conditions, nodes: u64, setup: impl Fn(u64) -> Setup) -> Self {
        let network = Network::new(7, conditions);
        let mut fleet = Self { members: Vec::new(), network, now: 0, restarts: 0 };
        for id in 0..nodes {
            fleet.join(id + 1, setup(id));
        }
        fleet
    }

    fn join(&mut self, id: u64, setup: Setup) {
        let address = self.network.join();
        self.members.push(Member::new(id, setup, address, self.now));
    }

    /// A node starts anew, with another id.
    fn restart(&mut self, at: usize) {
        self.restarts += 1;
        let Member { setup, address, fails, switches, .. } = &self.members[at];
        let mut member = Member::new(1_000 + self.restarts, setup.clone(), *address, self.now);
        (member.fails, member.switches) = (*fails, switches.clone());
        self.members[at] = member;
        self.set_up(at, true);
    }

    fn set_up(&mut self, at: usize, is_up: bool) {
        self.members[at].is_up = is_up;
        self.network.set_up(self.members[at].address, is_up);
    }

    fn partition(&mut self, members: &[usize]) {
        for at in members {
            self.network.partition(self.members[*at].address, 1);
        }
    }

    fn outage(&mut self, fails: bool) {
        self.members.iter_mut().for_each(|member| member.fails = fails);
    }

    fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds * 1_000;
        loop {
            let arrival =
                self.network.next_arrival().map(|due| u64::try_from(due.as_micros()).unwrap());
            let up = self.members.iter().filter(|member| member.is_up);
            let timers = up.map(|member| member.next_beat.min(member.next_call));
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
        let now = self.now;
        self.members.iter_mut().for_each(|member| member.note_switch(now));
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some((_, to, message)) = self.network.receive(Duration::from_micros(now)) {
            let member = self.members.iter_mut().find(|member| member.address == to).unwrap();
            let answer = member.receive(message, now);
            member.note_switch(now);
            self.send(to, answer);
        }
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            if member.is_up && member.next_call <= now {
                // 0: it has no calls.
                let every = member.setup.every;
                member.next_call = if every == 0 { u64::MAX } else { member.next_call + every };
                if every > 0 {
                    member.call(now);
                }
            }
            if member.is_up && member.next_beat <= now {
                member.next_beat += BEAT * 1_000;
                let messages = member.beat(now);
                let from = member.address;
                self.send(from, messages);
            }
            self.members[at].note_switch(now);
        }
    }

    fn send(&mut self, from: Address, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            self.network.send(from, &message, Duration::from_micros(self.now));
        }
    }

    /// An operator's command at one node, for all.
    fn order(&mut self, at: usize, command: Command) {
        let now = self.now;
        let member = &mut self.members[at];
        let clock = member.clock(now);
        member.local.command(&command, clock);
        member.node.give(command, "me".into(), "a test".into(), clock / 1_000);
    }

    /// Which nodes that are up are on the fallback.
    fn away(&self) -> Vec<bool> {
        let up = self.members.iter().filter(|member| member.is_up);
        up.map(|member| member.local.is_away(member.clock(self.now))).collect()
    }

    fn epochs(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.node.epoch()).collect()
    }

    /// When each node went to the fallback (`true`) or came back for the last time.
    fn last(&self, away: bool) -> Vec<u64> {
        let last = |member: &Member| {
            let mut switches = member.switches.iter().rev();
            switches.find(|(_, is)| *is == away).map_or(0, |(at, _)| *at)
        };
        self.members.iter().map(last).collect()
    }

    fn trips(&self) -> Vec<usize> {
        let trips = |member: &Member| member.switches.iter().filter(|(_, away)| *away).count();
        self.members.iter().map(trips).collect()
    }
}

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// The primary is well again.
fn all_return_together(fleet: &mut Fleet) {
    fleet.outage(false);
    fleet.run(STAY);
    assert!(none(fleet));
    assert!(spread(&fleet.last(false)) <= TOGETHER, "{:?}", fleet.last(false));
}

/// Between the first and the last.
fn spread(times: &[u64]) -> u64 {
    times.iter().max().unwrap() - times.iter().min().unwrap()
}

fn all(fleet: &Fleet) -> bool {
    fleet.away().into_iter().all(|away| away)
}

fn none(fleet: &Fleet) -> bool {
    !fleet.away().into_iter().any(|away| away)
}
