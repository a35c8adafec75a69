//! What a node publishes each beat: its whole state for one failover.

use std::fmt;
use std::sync::Arc;

use super::codec::{Input, Output};
use crate::cluster::label::{LONGEST_NAME, Label, MOST_LABELS, Scope, is_name};
use crate::state::State;
use crate::tally::Tally;

/// The most buckets of a frame; a longer window is published in wider ones.
pub(crate) const MOST_BUCKETS: usize = 20;

/// The largest time, epoch and sequence: 2^48 − 1, some 8,900 years in milliseconds. No sum overflows.
const MOST: u64 = (1 << 48) - 1;
/// The epoch after which none begins.
pub(crate) const LAST_EPOCH: u64 = MOST;

/// A node, by a number that is random at each start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Calls and failures that began to be counted `age` milliseconds ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    pub(crate) age: u64,
    pub(crate) calls: u64,
    pub(crate) failures: u64,
}

/// Why a node doubts its own evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suspicion {
    /// Its beats come late: it is short of CPU time, or was suspended.
    LateBeats,
    /// Another of its failovers is on the fallback as well.
    OtherFailovers,
    /// Its application said so: its fallback fails too, or its DNS.
    Reported,
}

/// The state of one node for one failover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(crate) node: NodeId,
    /// Rises with each frame of a node.
    pub(crate) sequence: u64,
    /// The node's monotonic clock, in milliseconds since it started.
    pub(crate) clock: u64,
    pub(crate) failover: Arc<str>,
    /// Sorted by key, each key once.
    pub(crate) labels: Arc<[Label]>,
    /// It stops: its slot is forgotten at once.
    pub(crate) leaving: bool,
    pub(crate) suspicion: Option<Suspicion>,
    /// What the node's own failover does.
    pub(crate) state: State,
    /// How long until its revert, in milliseconds; 0 if no timer runs.
    pub(crate) left: u64,
    /// The fleet's epoch: the one that the node is in, or the last that ended.
    pub(crate) epoch: u64,
    /// The node is on the fallback in this epoch, and vouches for it.
    pub(crate) stay: Option<Scope>,
    /// Whether the node's probes of this epoch succeeded; `None` if it has no result.
    pub(crate) probes: Option<bool>,
    /// The newest orders that the node knows, for the route and for the policy.
    pub(crate) orders: [u64; 2],
    /// Newest first.
    pub(crate) buckets: Vec<Bucket>,
}

impl Bucket {
    pub(crate) fn tally(&self) -> Tally {
        let Self { calls, failures, .. } = *self;
        Tally { successes: calls.saturating_sub(failures), failures, ..Tally::default() }
    }
}

/// By the bytes on the wire, as the next tables: their order never changes.
const STATES: [State; 6] = [
    State::Primary,
    State::Fallback,
    State::Probing,
    State::Ramping,
    State::ForcedPrimary,
    State::ForcedFallback,
];

const PROBES: [Option<bool>; 3] = [None, Some(false), Some(true)];

const SUSPICIONS: [Option<Suspicion>; 4] =
    [None, Some(Suspicion::LateBeats), Some(Suspicion::OtherFailovers), Some(Suspicion::Reported)];

/// The byte of a value in a table.
fn place<T: PartialEq>(table: &[T], value: &T) -> u8 {
    table.iter().position(|known| known == value).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

impl Frame {
    pub(super) fn encode(&self, output: &mut Output) {
        output.word(self.node.0);
        for number in [self.sequence, self.clock, self.left, self.epoch] {
            output.number(number.min(MOST));
        }
        output.text(&self.failover);
        output.number(self.labels.len() as u64);
        for label in self.labels.iter() {
            output.text(&label.key);
            output.text(&label.value);
        }
        output.byte(u8::from(self.leaving));
        output.byte(place(&SUSPICIONS, &self.suspicion));
        output.byte(place(&PROBES, &self.probes));
        output.byte(place(&STATES, &self.state));
        output.byte(self.scope_place());
        for order in self.orders {
            output.number(order);
        }
        output.number(self.buckets.len() as u64);
        let mut before = 0;
        for bucket in &self.buckets {
            let age = bucket.age.min(MOST).max(before);
            output.number(age - before);
            output.number(bucket.calls.min(MOST));
            output.number(bucket.failures.min(MOST));
            before = age;
        }
    }

    /// 0: no stay. 1: the fleet's. From 2 on: that of one of the node's labels.
    fn scope_place(&self) -> u8 {
        match &self.stay {
            None => 0,
            Some(Scope::Fleet) => 1,
            Some(Scope::Label(label)) => self
                .labels
                .iter()
                .position(|own| own == label)
                .map_or(0, |at| u8::try_from(at + 2).unwrap_or(0)),
        }
    }

    pub(super) fn decode(input: &mut Input<'_>) -> Option<Self> {
        let node = NodeId(input.word()?);
        let (sequence, clock) = (input.up_to(MOST)?, input.up_to(MOST)?);
        let (left, epoch) = (input.up_to(MOST)?, input.up_to(MOST)?);
        let failover = input.text(LONGEST_NAME).filter(|name| is_name(name))?;
        let mut labels: Vec<Label> = Vec::new();
        for _ in 0..input.count(MOST_LABELS)? {
            let (key, value) = (input.text(LONGEST_NAME)?, input.text(LONGEST_NAME)?);
            let label = Label::new(key, value).ok()?;
            if labels.last().is_some_and(|last| last.key >= label.key) {
                return None;
            }
            labels.push(label);
        }
        let leaving = input.up_to(1)? == 1;
        let suspicion = *SUSPICIONS.get(usize::from(input.byte()?))?;
        let probes = *PROBES.get(usize::from(input.byte()?))?;
        let state = *STATES.get(usize::from(input.byte()?))?;
        let stay = match usize::from(input.byte()?) {
            0 => None,
            1 => Some(Scope::Fleet),
            at => Some(Scope::Label(labels.get(at - 2)?.clone())),
        };
        let orders = [input.number()?, input.number()?];
        let mut buckets = Vec::new();
        let mut age = 0;
        for _ in 0..input.count(MOST_BUCKETS)? {
            age += input.up_to(MOST - age)?;
            let (calls, failures) = (input.up_to(MOST)?, input.up_to(MOST)?);
            if failures > calls {
                return None;
            }
            buckets.push(Bucket { age, calls, failures });
        }
        Some(Self {
            node,
            sequence,
            clock,
            failover: failover.into(),
            labels: labels.into(),
            leaving,
            suspicion,
            state,
            left,
            epoch,
            stay,
            probes,
            orders,
            buckets,
        })
    }
}

#[cfg(test)]
impl Frame {
    pub(crate) fn sample() -> Self {
        let labels = ["version=1.4", "zone=a"].map(|text| text.parse::<Label>().unwrap());
        Self {
            node: NodeId(7),
            sequence: 300,
            clock: 60_000,
            failover: "valuations".into(),
            stay: Some(Scope::Label(labels[1].clone())),
            labels: labels.into(),
            leaving: false,
            suspicion: None,
            state: State::Fallback,
            left: 2_000,
            epoch: 3,
            probes: None,
            orders: [1 << 16 | 7, 0],
            buckets: (0..10)
                .map(|bucket| Bucket { age: 100 + bucket * 600, calls: 12, failures: 3 })
                .collect(),
        }
    }

    pub(super) fn longest() -> Self {
        let name = "n".repeat(LONGEST_NAME);
        let value = "v".repeat(20);
        let label = |at| Label::new(&format!("{at}{}", "k".repeat(19)), &value).unwrap();
        Self {
            failover: name.into(),
            labels: (0..MOST_LABELS).map(label).collect(),
            sequence: MOST,
            clock: MOST,
            left: MOST,
            epoch: MOST,
            stay: Some(Scope::Fleet),
            orders: [u64::MAX; 2],
            buckets: vec![Bucket { age: MOST, calls: MOST, failures: MOST }; MOST_BUCKETS],
            ..Self::sample()
        }
    }
}
