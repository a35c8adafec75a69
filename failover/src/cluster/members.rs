//! The live nodes: one slot each, replaced by a higher sequence.
//!
//! Loss, repetition and reordering do no harm, and a joiner is complete after one beat.

use std::collections::{BTreeMap, VecDeque};

use crate::cluster::wire::{Frame, NodeId};

/// For how many beats a slot lives without a newer frame.
pub(crate) const LIVES: u64 = 5;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Received {
    /// Of a new node, or newer than what was known.
    Merged,
    /// Not newer than what is known of its node: repeated, reordered or replayed.
    Stale,
    /// The node's own, come back.
    Own,
    /// There are as many nodes as may be known.
    Full,
}

/// A node's newest frame, and when it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) frame: Frame,
    pub(crate) at: u64,
}

impl Slot {
    /// How old the frame is.
    pub(crate) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.at)
    }
}

/// The slots of the other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    slots: BTreeMap<NodeId, Slot>,
    /// The last sequences of nodes that left or expired, the oldest first: a replayed frame brings none
    /// of them back.
    gone: VecDeque<(NodeId, u64)>,
}

impl Members {
    /// The most nodes, and the most that are remembered as gone.
    pub(crate) const MOST: usize = 4_096;

    /// Takes a frame. `longest`: how long a slot lives, in milliseconds. In constant time but for a new
    /// node: each node receives the frames of all others each beat.
    pub(crate) fn receive(&mut self, frame: Frame, now: u64, longest: u64) -> Received {
        let (node, sequence) = (frame.node, frame.sequence);
        let known = match self.slots.get(&node) {
            Some(slot) => Some(slot.frame.sequence),
            None => self.gone.iter().find(|(gone, _)| *gone == node).map(|(_, last)| *last),
        };
        if known.is_some_and(|known| sequence <= known) {
            return Received::Stale;
        }
        if frame.leaving {
            self.slots.remove(&node);
            self.forget(node, sequence);
            return Received::Merged;
        }
        if self.slots.len() >= Self::MOST && !self.slots.contains_key(&node) {
            self.expire(now, longest);
            if self.slots.len() >= Self::MOST {
                return Received::Full;
            }
        }
        self.slots.insert(node, Slot { frame, at: now });
        Received::Merged
    }

    fn forget(&mut self, node: NodeId, sequence: u64) {
        self.gone.retain(|(gone, _)| *gone != node);
        self.gone.push_back((node, sequence));
        if self.gone.len() > Self::MOST {
            self.gone.pop_front();
        }
    }

    /// Drops the slots of nodes that are not heard any more.
    pub(crate) fn expire(&mut self, now: u64, longest: u64) {
        let expired = |slot: &Slot| slot.age(now) > longest;
        // Most of the time none has.
        if !self.slots.values().any(expired) {
            return;
        }
        let gone: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| expired(slot))
            .map(|(node, slot)| (*node, slot.frame.sequence))
            .collect();
        for (node, sequence) in gone {
            self.slots.remove(&node);
            self.forget(node, sequence);
        }
    }

    /// The slot of a node.
    pub(crate) fn get(&self, node: NodeId) -> Option<&Slot> {
        self.slots.get(&node)
    }

    /// The other nodes, as of the last [`expire`](Self::expire).
    pub(crate) fn live(&self) -> impl Iterator<Item = &Slot> + Clone {
        self.slots.values()
    }
}

/// For the model check, whose time stands still.
#[cfg(test)]
impl Members {
    /// Lets time pass by making all slots older.
    pub(crate) fn shift(&mut self, by: u64) {
        self.slots.values_mut().for_each(|slot| slot.at -= by);
    }

    /// Maps all sequences. 0: as if the node had never been heard.
    pub(crate) fn renumber(&mut self, number: impl Fn(NodeId, u64) -> u64) {
        for (node, slot) in &mut self.slots {
            slot.frame.sequence = number(*node, slot.frame.sequence);
        }
        self.gone.retain_mut(|(node, last)| {
            *last = number(*node, *last);
            *last > 0
        });
        self.gone.make_contiguous().sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(node: u64, sequence: u64) -> Frame {
        Frame { node: NodeId(node), sequence, ..Frame::sample() }
    }

    fn ids(members: &Members) -> Vec<u64> {
        members.live().map(|slot| slot.frame.node.0).collect()
    }

    #[test]
    fn a_slot_is_replaced_by_a_higher_sequence_alone() {
        let mut members = Members::default();
        assert_eq!(members.receive(frame(1, 5), 0, 1_000), Received::Merged);
        for sequence in [5, 4, 0] {
            assert_eq!(members.receive(frame(1, sequence), 10, 1_000), Received::Stale);
        }
        assert_eq!(members.receive(frame(1, 6), 20, 1_000), Received::Merged);
        assert_eq!(members.live().map(|slot| (slot.frame.sequence, slot.at)).next(), Some((6, 20)));
    }

    #[test]
    fn a_node_that_left_or_expired_is_not_brought_back_by_an_old_frame() {
        let mut members = Members::default();
        members.receive(frame(1, 5), 0, 1_000);
        members.receive(frame(2, 5), 0, 1_000);
        members.receive(Frame { leaving: true, ..frame(1, 6) }, 500, 1_000);
        assert_eq!(ids(&members), [2]);
        members.expire(1_001, 1_000);
        assert_eq!(ids(&members), [0; 0]);
        assert_eq!(members.receive(frame(1, 6), 1_100, 1_000), Received::Stale);
        assert_eq!(members.receive(frame(2, 5), 1_100, 1_000), Received::Stale);
        // It was cut off, and is heard again.
        assert_eq!(members.receive(frame(2, 9), 1_200, 1_000), Received::Merged);
    }

    #[test]
    fn there_are_never_more_nodes_than_may_be() {
        let mut members = Members::default();
        for node in 0..Members::MOST as u64 {
            assert_eq!(members.receive(frame(node, 1), 0, 1_000), Received::Merged);
        }
        assert_eq!(members.receive(frame(9_999, 1), 0, 1_000), Received::Full);
        assert_eq!(members.receive(frame(7, 2), 0, 1_000), Received::Merged);
        members.receive(frame(9_999, 1), 2_000, 1_000);
        assert_eq!((ids(&members), members.gone.len()), (vec![9_999], Members::MOST));
    }
}
