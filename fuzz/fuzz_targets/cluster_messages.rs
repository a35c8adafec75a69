//! Messages of other nodes, from whoever can reach the bus: never a panic; what is accepted has one
//! spelling; each message is counted once; and frames of one node alone, whatever they say, never take
//! this one off its healthy primary.
//!
//! An input is a message as it is, and bytes for what happens to a node.
#![no_main]

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use failover::clock::ManualClock;
use failover::cluster::bus::Port;
use failover::cluster::{Cluster, encoded_again};
use failover::{Monitor, Outcome, Policy, State};
use libfuzzer_sys::fuzz_target;

#[path = "support/show.rs"]
mod show;

use show::show;

/// Of version 1, a frame, and the id of one node: the bytes with which all its frames begin.
const FRAME: [u8; 10] = [1, 0, 7, 7, 7, 7, 7, 7, 7, 7];

#[derive(Arbitrary, Debug)]
enum Operation {
    /// A message of any kind and any node.
    Any,
    /// What follows the id in a frame of the one node.
    Frame,
    Millis(u16),
    Beat,
    Call,
}

struct Node {
    clock: ManualClock,
    monitor: Monitor<ManualClock>,
    cluster: Cluster,
    port: Port,
    delivered: u64,
}

impl Node {
    fn new(labelled: bool) -> Self {
        let clock = ManualClock::new();
        let monitor = Monitor::with_clock(Policy::default(), clock.clone()).named("x");
        let builder = Cluster::builder("fuzz");
        let label = "z=a".parse().expect("a label");
        let builder = if labelled { builder.label(label) } else { builder };
        let cluster = builder.build_on(clock.clone()).expect("sound settings");
        cluster.join(&monitor.handle()).expect("a sound name");
        let port = cluster.port();
        Self { clock, monitor, cluster, port, delivered: 0 }
    }

    fn deliver(&mut self, message: &[u8]) {
        self.port.deliver(message);
        self.delivered += 1;
        let counted: u64 = self.cluster.view().messages.values().sum();
        assert_eq!(counted, self.delivered);
    }

    fn beat(&self) {
        self.cluster.beat();
        while let Some(message) = self.port.try_next() {
            assert_eq!(encoded_again(&message).as_ref(), Some(&message));
        }
    }
}

fn go_on(bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut node = Node::new(bytes.arbitrary()?);
    // Orders of strangers are obeyed where there is no secret, and several nodes may be right.
    let mut alone = true;
    for _ in 0..128 {
        if bytes.is_empty() {
            break;
        }
        let operation = Operation::arbitrary(bytes)?;
        show(&operation);
        match operation {
            Operation::Any => {
                alone = false;
                let message: Vec<u8> = bytes.arbitrary()?;
                node.deliver(&message);
            }
            Operation::Frame => {
                let rest: Vec<u8> = bytes.arbitrary()?;
                node.deliver(&[&FRAME[..], &rest].concat());
            }
            Operation::Millis(by) => node.clock.advance(Duration::from_millis(by.into())),
            Operation::Beat => node.beat(),
            Operation::Call => {
                if let Some(ticket) = node.monitor.admit().ticket() {
                    node.monitor.record(ticket, Outcome::Success);
                }
            }
        }
        if alone {
            let state = node.monitor.handle().snapshot().state;
            assert_eq!(state, State::Primary, "{:?}", node.cluster.view());
        }
    }
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    if let Some(again) = encoded_again(input) {
        assert_eq!(again, input, "one spelling");
    }
    let _ = go_on(&mut Unstructured::new(input));
});
