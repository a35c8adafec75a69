//! A network in memory, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::ratio::Ratio;

/// Delays are multiples of this: messages that arrive together share a queue.
const STEP: Duration = Duration::from_micros(100);

/// What a [`Network`] does to messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The share of messages that are lost.
    pub loss: Option<Ratio>,
    /// The share of messages that arrive twice.
    pub duplication: Option<Ratio>,
    /// How long a message takes, to the tenth of a millisecond: evenly distributed, so that messages
    /// overtake one another.
    pub delay: RangeInclusive<Duration>,
}

/// A node of a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(usize);

#[derive(Clone, Debug)]
struct Station {
    is_up: bool,
    side: u32,
}

/// A network that carries each message of a node to all others. It has no clock: the time is an argument,
/// since any origin. The same seed and the same calls give the same deliveries.
#[derive(Clone, Debug)]
pub struct Network<M> {
    conditions: Conditions,
    random: u64,
    stations: Vec<Station>,
    in_flight: BTreeMap<Duration, VecDeque<(Address, Address, M)>>,
}

impl Default for Conditions {
    /// A perfect network: nothing is lost, and nothing takes time.
    fn default() -> Self {
        Self { loss: None, duplication: None, delay: Duration::ZERO..=Duration::ZERO }
    }
}

impl Address {
    /// The number of the node: they are numbered from 0 on, in the order in which they joined.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

impl<M: Clone> Network<M> {
    /// A network without nodes, whose chances follow from the seed.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self { conditions, random: seed, stations: Vec::new(), in_flight: BTreeMap::new() }
    }

    /// Replaces the conditions, for messages that are sent from now on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Adds a node.
    pub fn join(&mut self) -> Address {
        self.stations.push(Station { is_up: true, side: 0 });
        Address(self.stations.len() - 1)
    }

    /// Takes a node down, or up again. One that is down neither sends nor receives.
    pub fn set_up(&mut self, node: Address, is_up: bool) {
        if let Some(station) = self.stations.get_mut(node.0) {
            station.is_up = is_up;
        }
    }

    /// Puts a node on a side: only nodes of the same side hear one another. All begin on side 0.
    pub fn partition(&mut self, node: Address, side: u32) {
        if let Some(station) = self.stations.get_mut(node.0) {
            station.side = side;
        }
    }

    /// Puts all nodes on one side again.
    pub fn heal(&mut self) {
        for station in &mut self.stations {
            station.side = 0;
        }
    }

    /// Sends a message to all other nodes.
    pub fn send(&mut self, from: Address, message: &M, now: Duration) {
        for to in (0..self.stations.len()).map(Address) {
            if !self.reaches(from, to) || self.chance(self.conditions.loss) {
                continue;
            }
            let copies = 1 + u8::from(self.chance(self.conditions.duplication));
            for _ in 0..copies {
                let due = now.saturating_add(self.delay());
                self.in_flight.entry(due).or_default().push_back((from, to, message.clone()));
            }
        }
    }

    /// Drops all messages on their way.
    pub fn clear(&mut self) {
        self.in_flight.clear();
    }

    /// When the next message arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Duration> {
        self.in_flight.first_key_value().map(|(due, _)| *due)
    }

    /// The next message that has arrived by `now`: from where, to where, and what.
    pub fn receive(&mut self, now: Duration) -> Option<(Address, Address, M)> {
        loop {
            let mut next = self.in_flight.first_entry().filter(|next| *next.key() <= now)?;
            let arrived = next.get_mut().pop_front();
            if next.get().is_empty() {
                next.remove();
            }
            if let Some((from, to, message)) = arrived
                && self.reaches(from, to)
            {
                return Some((from, to, message));
            }
        }
    }

    fn reaches(&self, from: Address, to: Address) -> bool {
        let (Some(sender), Some(receiver)) = (self.stations.get(from.0), self.stations.get(to.0))
        else {
            return false;
        };
        from != to && sender.is_up && receiver.is_up && sender.side == receiver.side
    }

    fn chance(&mut self, of: Option<Ratio>) -> bool {
        of.is_some_and(|ratio| {
            self.number() % u64::from(ratio.denominator()) < u64::from(ratio.numerator())
        })
    }

    fn delay(&mut self) -> Duration {
        let (shortest, longest) = (*self.conditions.delay.start(), *self.conditions.delay.end());
        let steps = longest.saturating_sub(shortest).as_micros() / STEP.as_micros();
        let Ok(steps @ 1..) = u32::try_from(steps) else { return shortest };
        let chosen = self.number() % (u64::from(steps) + 1);
        // `chosen` is at most `steps`, a `u32`.
        shortest + STEP * u32::try_from(chosen).unwrap_or(steps)
    }

    /// splitmix64.
    fn number(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.random;
        for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
            number = (number ^ number >> shift).wrapping_mul(factor);
        }
        number ^ number >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn received(network: &mut Network<u32>, now: Duration) -> Vec<(usize, u32)> {
        std::iter::from_fn(|| network.receive(now)).map(|(_, to, m)| (to.index(), m)).collect()
    }

    #[test]
    fn a_message_reaches_all_others_after_its_delay() {
        let delay = MILLI * 5..=MILLI * 5;
        let mut network = Network::new(1, Conditions { delay, ..Conditions::default() });
        let nodes = [(); 3].map(|()| network.join());
        network.send(nodes[1], &7, MILLI * 10);
        assert_eq!(network.next_arrival(), Some(MILLI * 15));
        assert_eq!(received(&mut network, MILLI * 14), []);
        assert_eq!(received(&mut network, MILLI * 15), [(0, 7), (2, 7)]);
        assert_eq!(network.next_arrival(), None);
    }

    #[test]
    fn messages_are_lost_repeated_and_overtake_one_another_as_the_seed_says() {
        let conditions = Conditions {
            loss: Some(Ratio::percent(30)),
            duplication: Some(Ratio::percent(10)),
            delay: MILLI..=MILLI * 20,
        };
        let run = |seed| {
            let mut network = Network::new(seed, conditions.clone());
            let [from, _] = [(); 2].map(|()| network.join());
            (0..1_000).for_each(|m| network.send(from, &m, MILLI * m));
            received(&mut network, Duration::MAX)
        };
        let once = run(3);
        assert_eq!(once, run(3));
        assert_ne!(once, run(4));
        assert!((700..840).contains(&once.len()), "{}", once.len());
        assert!(!once.is_sorted_by_key(|(_, m)| *m));
    }

    #[test]
    fn sides_and_nodes_that_are_down_hear_nothing_even_of_what_was_on_its_way() {
        let delay = MILLI..=MILLI;
        let mut network = Network::new(1, Conditions { delay, ..Conditions::default() });
        let nodes = [(); 3].map(|()| network.join());
        network.partition(nodes[2], 1);
        network.send(nodes[0], &1, MILLI);
        network.heal();
        assert_eq!(received(&mut network, MILLI * 2), [(1, 1)]);
        network.send(nodes[0], &2, MILLI);
        network.set_up(nodes[1], false);
        network.send(nodes[1], &3, MILLI);
        assert_eq!(received(&mut network, MILLI * 2), [(2, 2)]);
        network.set_up(nodes[1], true);
        network.send(nodes[1], &4, MILLI * 3);
        assert_eq!(received(&mut network, MILLI * 4), [(0, 4), (2, 4)]);
    }
}
