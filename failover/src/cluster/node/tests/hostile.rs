//! Frames that no sound node sends.

use super::*;
use crate::cluster::label::Scope;
use crate::cluster::wire::{Bucket, LAST_EPOCH};
use crate::state::State;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
            number = (number ^ number >> shift).wrapping_mul(factor);
        }
        number ^ number >> 31
    }

    /// Small numbers, and the largest that a frame may have.
    fn number(&mut self) -> u64 {
        let most = [1, 3, 20, 30_000, LAST_EPOCH][usize::try_from(self.next() % 5).unwrap()];
        self.next() % (most + 1)
    }

    fn frame(&mut self, node: u64) -> Frame {
        let states = [State::Primary, State::Fallback, State::Probing, State::ForcedFallback];
        let bucket = |random: &mut Self| {
            let (age, calls) = (random.number(), random.number());
            Bucket { age, calls, failures: calls.min(random.number()) }
        };
        Frame {
            node: NodeId(node),
            sequence: self.number(),
            clock: self.number(),
            leaving: self.next().is_multiple_of(16),
            suspicion: self.next().is_multiple_of(4).then_some(Suspicion::Reported),
            state: states[usize::try_from(self.next() % 4).unwrap()],
            left: self.number(),
            epoch: self.number(),
            stay: (!self.next().is_multiple_of(3)).then_some(Scope::Fleet),
            probes: [None, Some(true), Some(false)][usize::try_from(self.next() % 3).unwrap()],
            orders: [self.number(), self.number()],
            buckets: (0..self.next() % 4).map(|_| bucket(self)).collect(),
            ..Frame::sample()
        }
    }
}

/// Feeds a node with the frames of some others.
fn fed(senders: u64, probing: bool, calls: bool, seed: u64) -> Fleet {
    let mut random = Random(seed);
    let setup = |_| Setup {
        patience: probing.then_some(5_000),
        every: if calls { 50_000 } else { 0 },
        ..Setup::default()
    };
    let mut fleet = Fleet::new(1, setup);
    for _ in 0..300 {
        let sender = 1 + random.next() % senders;
        let frame = random.frame(sender);
        let now = fleet.now;
        fleet.members[0].receive(Message::Frame(frame), now);
        fleet.run(random.next() % 100);
    }
    fleet
}

#[test]
fn frames_of_one_node_alone_never_trip() {
    for seed in 0..200 {
        let fleet = fed(1, seed % 2 == 0, seed % 4 < 2, seed);
        assert_eq!(fleet.members[0].entered, [], "{seed}");
        assert_eq!(fleet.trips(), [0], "{seed}");
    }
}

#[test]
fn frames_of_many_nodes_do_no_harm_but_trips() {
    let mut entered = 0;
    for seed in 0..200 {
        let fleet = fed(5, seed % 2 == 0, seed % 4 < 2, seed);
        entered += fleet.members[0].entered.len();
        assert!(fleet.epochs()[0] <= LAST_EPOCH);
    }
    assert!(entered > 0);
}
