//! A fleet in virtual time: real monitors and real clusters, over a network in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover::clock::{ManualClock, Moment};
use failover::cluster::bus::{Address, Conditions, Network, Port};
use failover::cluster::{Cluster, Label};
use failover::{Monitor, Outcome, Policy, Route};

/// Microseconds of the true time.
pub(crate) type Micros = u64;

pub(crate) const SECOND: Micros = 1_000_000;
const BEAT: Micros = 200_000;
/// From here on clocks run, so that one that is slow never shows a negative time.
const ORIGIN: Micros = 100 * SECOND;

/// A fleet, and what it is like.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) nodes: usize,
    /// Between two calls of a node.
    pub(crate) every: Micros,
    pub(crate) window: Duration,
    pub(crate) revert_after: Duration,
    /// By the number of a node.
    pub(crate) label: Option<fn(usize) -> String>,
    pub(crate) domain: Option<&'static str>,
    pub(crate) conditions: Conditions,
    /// When the nodes begin to publish: before it, messages would only cost the simulation time.
    pub(crate) publish_after: Micros,
    /// How much faster a node's clock is, in parts per million.
    pub(crate) drift: fn(usize) -> i64,
}

pub(crate) struct Node {
    clock: ManualClock,
    monitor: Monitor<ManualClock>,
    cluster: Cluster,
    port: Port,
    address: Address,
    pub(crate) fails: bool,
    /// When it went to the fallback (`true`), and when it came back.
    pub(crate) switches: Vec<(Micros, bool)>,
}

/// What happens to a node, in the order of one moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Call,
    Beat,
}

pub(crate) struct Fleet {
    setup: Setup,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network<Arc<[u8]>>,
    agenda: BinaryHeap<Reverse<(Micros, usize, Event)>>,
    pub(crate) now: Micros,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) deliveries: u64,
}

impl Fleet {
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        let network = Network::new(seed, setup.conditions.clone());
        let mut fleet = Self {
            nodes: Vec::with_capacity(setup.nodes),
            network,
            agenda: BinaryHeap::new(),
            now: ORIGIN,
            messages: 0,
            bytes: 0,
            deliveries: 0,
            setup,
        };
        let mut phase = seed;
        for number in 0..fleet.setup.nodes {
            let address = fleet.network.join();
            let node = fleet.node(number, address);
            fleet.nodes.push(node);
            // The golden ratio: phases of their own, evenly spread.
            phase = phase.wrapping_add(0x9e37_79b9_7f4a_7c15);
            for (event, every) in [(Event::Beat, BEAT), (Event::Call, fleet.setup.every)] {
                let first = (u128::from(phase) * u128::from(every)) >> 64;
                let delay = if event == Event::Beat { fleet.setup.publish_after } else { 0 };
                let first = ORIGIN + delay + u64::try_from(first).unwrap_or_default();
                fleet.agenda.push(Reverse((first, number, event)));
            }
        }
        fleet
    }

    fn node(&self, number: usize, address: Address) -> Node {
        let setup = &self.setup;
        let policy = Policy::builder()
            .window(setup.window, 10)
            .revert_after(setup.revert_after)
            .build()
            .expect("a window of ten buckets and a time");
        let clock = ManualClock::new();
        set(&clock, self.now, (setup.drift)(number));
        let monitor = Monitor::with_clock(policy, clock.clone()).named("quotes");
        let mut builder = Cluster::builder("lab");
        if let Some(label) = setup.label {
            let label: Label = label(number).parse().expect("a key and a value");
            builder = builder.label(label);
        }
        if let Some(domain) = setup.domain {
            builder = builder.domain(domain);
        }
        let cluster = builder.build_on(clock.clone()).expect("a cluster's name and labels");
        cluster.join(&monitor.handle()).expect("one failover with a name");
        let port = cluster.port();
        port.up();
        Node { clock, monitor, cluster, port, address, fails: false, switches: Vec::new() }
    }

    /// A node starts anew: without a memory, and with another id.
    pub(crate) fn restart(&mut self, number: usize) {
        let old = &mut self.nodes[number];
        let (address, fails) = (old.address, old.fails);
        let switches = std::mem::take(&mut old.switches);
        self.nodes[number] = Node { fails, switches, ..self.node(number, address) };
    }

    /// Some nodes' primaries begin or end to fail.
    pub(crate) fn outage(&mut self, fails: bool, whose: impl Fn(usize) -> bool) {
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.fails = if whose(number) { fails } else { node.fails };
        }
    }

    pub(crate) fn partition(&mut self, whose: impl Fn(usize) -> bool) {
        for (number, node) in self.nodes.iter().enumerate() {
            self.network.partition(node.address, u32::from(whose(number)));
        }
    }

    pub(crate) fn run(&mut self, time: Micros) {
        let end = self.now + time;
        loop {
            let arrival = self.network.next_arrival().map_or(u64::MAX, micros);
            let event = self.agenda.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let next = arrival.min(event);
            if next > end {
                break;
            }
            self.now = next;
            if arrival <= event {
                while let Some((_, to, message)) =
                    self.network.receive(Duration::from_micros(self.now))
                {
                    self.deliveries += 1;
                    self.visit(to.index(), |node| node.port.deliver(&message));
                }
            } else if let Some(Reverse((_, number, event))) = self.agenda.pop() {
                let every = if event == Event::Beat { BEAT } else { self.setup.every };
                self.agenda.push(Reverse((next + every, number, event)));
                self.visit(number, |node| match event {
                    Event::Beat => node.cluster.beat(),
                    Event::Call => node.call(),
                });
            }
        }
        self.now = end;
        for number in 0..self.nodes.len() {
            self.visit(number, |_| {});
        }
    }

    /// Runs one node, and sends what it publishes.
    fn visit(&mut self, number: usize, act: impl FnOnce(&mut Node)) {
        let (now, drift) = (self.now, (self.setup.drift)(number));
        let node = &mut self.nodes[number];
        set(&node.clock, now, drift);
        act(node);
        let is_away = node.is_away();
        if is_away != node.switches.last().is_some_and(|(_, away)| *away) {
            node.switches.push((now, is_away));
            // As `Cluster::run` does: a transition is announced at once.
            node.cluster.beat();
        }
        loop {
            let node = &self.nodes[number];
            let next = pin!(node.port.next()).poll_once();
            let Some(message) = next else { return };
            self.messages += 1;
            self.bytes += message.len() as u64;
            self.network.send(node.address, &message.into(), Duration::from_micros(now));
        }
    }
}

impl Node {
    fn call(&mut self) {
        if let Some(ticket) = self.monitor.admit().ticket() {
            let outcome = if self.fails { Outcome::Failure } else { Outcome::Success };
            self.monitor.record(ticket, outcome);
        }
    }

    pub(crate) fn is_away(&self) -> bool {
        self.monitor.route() == Route::Fallback
    }

    /// When it first switched to the fallback, or back, after a moment.
    pub(crate) fn first(&self, away: bool, after: Micros) -> Option<Micros> {
        let later = self.switches.iter().filter(|(at, _)| *at >= after);
        later.filter(|(_, is)| *is == away).map(|(at, _)| *at).next()
    }
}

trait PollOnce: Future {
    fn poll_once(self) -> Option<Self::Output>;
}

impl<F: Future> PollOnce for std::pin::Pin<&mut F> {
    fn poll_once(mut self) -> Option<F::Output> {
        match self.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}

fn set(clock: &ManualClock, now: Micros, ppm: i64) {
    let drifted = i128::from(now) + i128::from(now) * i128::from(ppm) / 1_000_000;
    let nanos = u64::try_from(drifted * 1_000).unwrap_or_default();
    clock.set(Moment::from_nanos(nanos));
}

fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
