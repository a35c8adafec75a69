//! The newest order for the route, and the newest for the policy.
//!
//! Each is a register whose higher version wins. A node that knows a newer version than another says so
//! in its frames, and one or two of those that know it send the order, until nobody lags behind. So an
//! order needs no broker that stores it, and reaches who joins later.

use super::probers::elect;
use crate::cluster::wire::{Command, Frame, NodeId, Order};

/// How many nodes answer one that lags behind.
const SENDERS: usize = 2;

/// By how many milliseconds an order has to be later than another to be later for certain.
const LATER: i128 = 1_000;

/// The next version after one, of a node: two nodes that give an order at the same time differ in the lowest
/// 16 bits.
fn after(version: u64, node: NodeId) -> u64 {
    ((version >> 16) + 1) << 16 | node.0 & 0xffff
}

/// An order, and when it was given on the node's own clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    order: Order,
    given: i128,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Orders([Option<Held>; 2]);

impl Orders {
    /// The newest versions that the node knows.
    pub(crate) fn versions(&self) -> [u64; 2] {
        self.0.each_ref().map(|held| held.as_ref().map_or(0, |held| held.order.version))
    }

    /// A version for a new order: higher than all known ones.
    pub(crate) fn next_version(&self, command: &Command, node: NodeId) -> u64 {
        after(self.versions()[command.register() as usize], node)
    }

    /// Takes an order. False if it is not newer than the known one.
    ///
    /// A node that was cut off, or has just started, may have given an order without knowing the newest
    /// version. It was given later all the same, and gets a higher version of node `me`.
    pub(crate) fn take(&mut self, order: Order, me: NodeId, now: u64) -> bool {
        let register = order.command.register() as usize;
        if order.version <= self.versions()[register] {
            return false;
        }
        let given = i128::from(now) - i128::from(order.age);
        if let Some(held) = &mut self.0[register]
            && held.given > given + LATER
        {
            held.order.version = after(order.version, me);
            return false;
        }
        self.0[register] = Some(Held { order, given });
        true
    }

    /// The newest orders, with their ages at `now`.
    pub(crate) fn newest(&self, now: u64) -> impl Iterator<Item = Order> {
        self.0.iter().flatten().map(move |held| {
            let age = u64::try_from(i128::from(now) - held.given).unwrap_or(0);
            Order { age, ..held.order.clone() }
        })
    }

    /// The orders that this node should send now, since a live node lags behind.
    pub(crate) fn to_send<'a>(
        &self,
        me: NodeId,
        others: &(impl Iterator<Item = &'a Frame> + Clone),
        now: u64,
    ) -> Vec<Order> {
        let is_due = |order: &Order| {
            let known = |frame: &Frame| frame.orders[order.command.register() as usize];
            let lags = others.clone().any(|frame| known(frame) < order.version);
            let informed = others.clone().filter(|frame| known(frame) == order.version);
            let informed = informed.map(|frame| frame.node).chain([me]);
            lags && elect(order.version, informed, SENDERS).contains(&me)
        };
        self.newest(now).filter(is_due).map(|order| Order { node: me, ..order }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Route;

    fn order(version: u64, command: Command) -> Order {
        Order {
            node: NodeId(1),
            failover: "x".into(),
            version,
            age: 0,
            command,
            by: String::new(),
            reason: String::new(),
        }
    }

    fn force(version: u64) -> Order {
        order(version, Command::Force { route: Route::Fallback, lasts: None })
    }

    #[test]
    fn the_higher_version_wins_in_any_order_of_arrival() {
        let orders = [force(3 << 16), order(5 << 16, Command::Release), force(4 << 16)];
        for first in 0..3 {
            let mut register = Orders::default();
            for at in 0..3 {
                register.take(orders[(first + at) % 3].clone(), NodeId(1), 0);
            }
            assert_eq!(register.versions(), [5 << 16, 0]);
        }
        let mut register = Orders::default();
        assert!(register.take(force(7), NodeId(1), 0) && !register.take(force(7), NodeId(1), 0));
        // A policy is another register.
        assert!(register.take(order(2, Command::Policy("x".into())), NodeId(1), 0));
        assert_eq!(register.versions(), [7, 2]);
        let next = register.next_version(&Command::Release, NodeId(0xabcd_0009));
        assert_eq!(next, 1 << 16 | 9);
    }

    #[test]
    fn an_order_that_was_given_later_wins_although_its_node_did_not_know_the_newest() {
        let (me, mut register) = (NodeId(3), Orders::default());
        // After a start, without a word of the others.
        assert!(register.take(order(1 << 16, Command::Release), me, 60_000));
        // The fleet's, of ten seconds before.
        let older = Order { age: 10_000, ..force(5 << 16) };
        assert!(!register.take(older.clone(), me, 60_000));
        let newest: Vec<_> = register.newest(60_000).collect();
        assert_eq!((newest[0].version, &newest[0].command), (6 << 16 | 3, &Command::Release));
        assert!(!register.take(older, me, 60_000));
    }

    #[test]
    fn an_order_keeps_its_age_from_node_to_node() {
        let mut register = Orders::default();
        register.take(Order { age: 500, ..force(1) }, NodeId(1), 100);
        assert_eq!(register.newest(400).map(|order| order.age).collect::<Vec<_>>(), [800]);
    }

    #[test]
    fn one_or_two_of_those_that_know_an_order_send_it_to_those_that_do_not() {
        let frame =
            |node, version| Frame { node: NodeId(node), orders: [version, 0], ..Frame::sample() };
        let mut register = Orders::default();
        register.take(force(9), NodeId(1), 0);
        let nodes: Vec<u64> = (1..=20).collect();
        let senders = |newest: &dyn Fn(u64) -> u64| {
            let sends = |me: &&u64| {
                let others: Vec<_> =
                    nodes.iter().filter(|n| n != me).map(|n| frame(*n, newest(*n))).collect();
                newest(**me) == 9 && !register.to_send(NodeId(**me), &others.iter(), 0).is_empty()
            };
            nodes.iter().filter(sends).count()
        };
        assert_eq!(senders(&|_| 9), 0);
        assert_eq!(senders(&|node| if node == 7 { 0 } else { 9 }), 2);
        assert_eq!(senders(&|node| if node == 7 { 9 } else { 0 }), 1);
    }
}
