//! One node's view of the fleet for one failover: a state machine without I/O. The time is an argument, in
//! milliseconds of any monotonic clock.

mod evidence;
mod orders;
mod probers;
mod probing;
mod stay;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::cluster::decision::{Rules, Witness, sum};
use crate::cluster::label::{Label, Scope};
use crate::cluster::members::{LIVES, Members, Received};
use crate::cluster::wire::{Bucket, Command, Frame, NodeId, Order, Suspicion};
use crate::state::State;
use crate::tally::Tally;
use evidence::Evidence;
use orders::Orders;

pub(crate) use evidence::tally;
pub(crate) use stay::Stay;

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) id: NodeId,
    pub(crate) failover: Arc<str>,
    /// Sorted by key, each key once.
    pub(crate) labels: Arc<[Label]>,
    /// How often it publishes, in milliseconds.
    pub(crate) beat: u64,
}

/// What the node's policy says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    pub(crate) rules: Rules,
    /// The window in milliseconds; `None` if it holds the last calls, which don't age.
    pub(crate) window: Option<u64>,
    /// How long to wait for the nodes that probe, in milliseconds; `None` without probing.
    pub(crate) patience: Option<u64>,
}

/// What the node's own failover says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    pub(crate) state: State,
    /// How long until its revert; 0 if no timer runs.
    pub(crate) left: u64,
    /// The time that a trip would have now.
    pub(crate) revert_after: u64,
    /// The window. Empty on the fallback.
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) suspicion: Option<Suspicion>,
}

/// What the node's own failover has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// To go to the fallback for so long, or to stay there until then.
    Enter { scope: Scope, left: u64, tally: Tally },
    /// To end the time on the fallback so much later than now, without a transition.
    Deadline { left: u64 },
    /// To return to the primary: another node's probes succeeded.
    Return,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    identity: Identity,
    terms: Terms,
    members: Members,
    orders: Orders,
    sequence: u64,
    /// The epoch that the node is in, or the last that ended for it.
    epoch: u64,
    stay: Option<Stay>,
    /// Whether its probes of this epoch succeeded; `None` if it has no result.
    probes: Option<bool>,
    /// When its last stay ended. Older evidence is of an outage that is over.
    returned: Option<u64>,
    evidence: Evidence,
    suspicion: Option<Suspicion>,
}

impl Own {
    /// Whether its window counts what the primary does.
    pub(crate) fn counts(&self) -> bool {
        matches!(self.state, State::Primary | State::Ramping | State::ForcedPrimary)
    }

    fn is_forced(&self) -> bool {
        matches!(self.state, State::ForcedPrimary | State::ForcedFallback)
    }
}

impl Node {
    pub(crate) fn new(identity: Identity, terms: Terms) -> Self {
        Self {
            identity,
            terms,
            members: Members::default(),
            orders: Orders::default(),
            sequence: 0,
            epoch: 0,
            stay: None,
            probes: None,
            returned: None,
            evidence: Evidence::default(),
            suspicion: None,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Continues by another policy.
    pub(crate) fn adopt(&mut self, terms: Terms) {
        self.terms = terms;
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn stay(&self) -> Option<&Stay> {
        self.stay.as_ref()
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The own failover tripped by itself, on these counts. A trip empties the window, and the fleet is to
    /// know what was in it.
    pub(crate) fn tripped(&mut self, tally: Tally, now: u64) {
        let bucket = Bucket { age: 0, calls: tally.calls(), failures: tally.failures };
        self.evidence = Evidence::new(vec![bucket], now, None);
    }

    /// Looks at the own failover and the fleet.
    pub(crate) fn beat(&mut self, own: &Own, now: u64) -> Option<Change> {
        self.members.expire(now, LIVES * self.identity.beat);
        self.observe(own, now);
        self.reconcile(own, now);
        self.learn_ended();
        if own.is_forced() {
            return None;
        }
        if self.stay.is_some() {
            return self.go_on(now);
        }
        let (scope, tally) = self.decide(now)?;
        Some(self.enter_or_follow(&scope, tally, own.revert_after, now))
    }

    /// Takes a frame of another node. `own` is read only if the frame is of a trip.
    pub(crate) fn receive(
        &mut self,
        frame: Frame,
        now: u64,
        own: impl FnOnce() -> Own,
    ) -> (Received, Option<Change>) {
        if frame.node == self.identity.id {
            return (Received::Own, None);
        }
        let node = frame.node;
        let received = self.members.receive(frame, now, LIVES * self.identity.beat);
        if received != Received::Merged {
            return (received, None);
        }
        let Some(news) = self.news_of(node, now) else { return (received, None) };
        let own = own();
        self.observe(&own, now);
        self.reconcile(&own, now);
        let change = if own.is_forced() { None } else { self.heed(news, own.revert_after, now) };
        (received, change)
    }

    /// The frame to publish.
    pub(crate) fn frame(&mut self, own: &Own, now: u64) -> Frame {
        self.sequence += 1;
        self.look(own, now)
    }

    /// What the frame would say now.
    pub(crate) fn look(&mut self, own: &Own, now: u64) -> Frame {
        self.observe(own, now);
        let Identity { id, failover, labels, .. } = self.identity.clone();
        let stay = self.stay.as_ref();
        // While others probe, this failover's own timer runs longer than the epoch.
        let left = stay.map_or(own.left, |stay| stay.deadline.saturating_sub(now).min(own.left));
        Frame {
            node: id,
            sequence: self.sequence,
            clock: now,
            failover,
            labels,
            leaving: false,
            suspicion: own.suspicion,
            state: own.state,
            left,
            epoch: self.epoch,
            stay: stay.map(|stay| stay.scope.clone()),
            probes: self.probes,
            orders: self.orders.versions(),
            buckets: self.evidence.aged(now, self.longest()),
        }
    }

    /// Gives an order to all nodes, this one included.
    pub(crate) fn give(&mut self, command: Command, by: String, reason: String, now: u64) -> Order {
        let node = self.identity.id;
        let version = self.orders.next_version(&command, node);
        let failover = Arc::clone(&self.identity.failover);
        let order = Order { node, failover, version, age: 0, command, by, reason };
        self.orders.take(order.clone(), node, now);
        order
    }

    /// Takes an order of another node. False if a newer one, or this one, is known.
    pub(crate) fn take(&mut self, order: Order, now: u64) -> bool {
        self.orders.take(order, self.identity.id, now)
    }

    /// Whether an order is still the newest of its register.
    pub(crate) fn is_newest(&self, order: &Order) -> bool {
        self.orders.versions()[order.command.register() as usize] == order.version
    }

    /// The orders to send now to nodes that lag behind.
    pub(crate) fn orders_to_send(&self, now: u64) -> Vec<Order> {
        let others = self.members.live().map(|slot| &slot.frame);
        self.orders.to_send(self.identity.id, &others, now)
    }

    /// The oldest evidence that counts.
    fn longest(&self) -> u64 {
        self.terms.window.unwrap_or(u64::MAX)
    }

    fn observe(&mut self, own: &Own, now: u64) {
        self.suspicion = own.suspicion;
        if own.counts() {
            self.evidence = Evidence::new(own.buckets.clone(), now, self.returned);
        }
    }

    /// Whether a node with this suspicion of itself is trusted: if it has none, or if most live nodes have
    /// one, since then the reason is no node's own.
    fn trust(&self) -> impl Fn(Option<Suspicion>) -> bool + use<> {
        let others = self.members.live();
        let suspects = others.clone().filter(|slot| slot.frame.suspicion.is_some()).count()
            + usize::from(self.suspicion.is_some());
        let most_are = suspects * 2 > others.count() + 1;
        move |suspicion| most_are || suspicion.is_none()
    }

    /// The evidence of all live nodes that are trusted.
    pub(crate) fn witnesses(&self, now: u64) -> Vec<Witness<'_>> {
        // Frames from before the return may come a little later.
        let slack = 2 * self.identity.beat;
        let since = self.returned.map_or(u64::MAX, |at| now.saturating_sub(at) + slack);
        let longest = self.longest().min(since);
        let others = self.members.live();
        let is_trusted = self.trust();
        let own = Witness {
            node: self.identity.id.0,
            labels: &self.identity.labels,
            tally: tally(&self.evidence.aged(now, longest), 0, longest),
        };
        let own = is_trusted(self.suspicion).then_some(own);
        // However late a frame comes: its sender had not yet heard of an epoch that is over, or was in it, and
        // had evidence from before it.
        let is_over = |frame: &Frame| {
            let is_older = frame.epoch < self.epoch;
            self.stay.is_none() && (is_older || frame.epoch == self.epoch && frame.stay.is_some())
        };
        let others = others.filter(|slot| is_trusted(slot.frame.suspicion));
        let others = others.filter(|slot| !is_over(&slot.frame));
        let others = others.map(|slot| Witness {
            node: slot.frame.node.0,
            labels: &slot.frame.labels,
            tally: tally(&slot.frame.buckets, slot.age(now), longest),
        });
        others.chain(own).collect()
    }

    /// Whether this node has to leave the primary, by all that it knows, and on which counts.
    fn decide(&self, now: u64) -> Option<(Scope, Tally)> {
        let witnesses = self.witnesses(now);
        let scope = self.terms.rules.decide(&witnesses, &self.identity.labels)?;
        let inside = witnesses.iter().filter(|witness| scope.has(witness.labels));
        let tally = sum(inside.map(|witness| witness.tally));
        Some((scope, tally))
    }
}
