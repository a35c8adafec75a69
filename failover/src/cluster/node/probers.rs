//! Who does something for the others, without a lock: rendezvous hashing.

use crate::cluster::wire::NodeId;

/// The `most` nodes that a number chooses. All nodes that see the same nodes choose the same ones, and a
/// node that comes or goes changes at most one of them.
pub(crate) fn elect(
    number: u64,
    nodes: impl IntoIterator<Item = NodeId>,
    most: usize,
) -> Vec<NodeId> {
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_unstable_by_key(|node| (weight(number, *node), *node));
    nodes.truncate(most);
    nodes
}

/// A hash of the pair: the finaliser of splitmix64, which every version of the protocol must keep.
fn weight(number: u64, NodeId(node): NodeId) -> u64 {
    let mut hash = node ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        hash = (hash ^ hash >> 30).wrapping_mul(factor);
    }
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_node_is_elected_about_as_often() {
        let nodes = || (0..10_u64).map(|node| NodeId(node << 40 | node));
        let mut elected = BTreeMap::<NodeId, usize>::new();
        for number in 0..1_000 {
            for node in elect(number, nodes(), 3) {
                *elected.entry(node).or_default() += 1;
            }
        }
        assert_eq!(elected.len(), 10);
        assert!(elected.values().all(|times| (220..380).contains(times)), "{elected:?}");
    }

    #[test]
    fn a_node_that_goes_changes_at_most_one_place_and_the_order_does_not_matter() {
        let nodes: Vec<_> = (0..20).map(NodeId).collect();
        for number in 0..50 {
            let before = elect(number, nodes.iter().copied(), 3);
            assert_eq!(before, elect(number, nodes.iter().rev().copied(), 3));
            let without = nodes.iter().copied().filter(|node| *node != before[1]);
            let after = elect(number, without, 3);
            assert_eq!(after[..2], [before[0], before[2]]);
        }
        assert_eq!(elect(1, [NodeId(4)], 3), [NodeId(4)]);
    }
}
