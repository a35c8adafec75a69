//! What each bus must do, held against each of them.

use failover::cluster::bus::{Bus, LONGEST_MESSAGE};

use super::node::Node;

const FLEET: &str = "fleet-a";

async fn nodes<B: Bus>(buses: Vec<B>) -> Vec<Node> {
    let nodes: Vec<_> = buses.into_iter().map(|bus| Node::start(bus, FLEET)).collect();
    for node in &nodes {
        node.is_up().await;
    }
    nodes
}

async fn all_hear_one_another<B: Bus>(buses: Vec<B>) {
    let nodes = nodes(buses).await;
    for (from, sender) in nodes.iter().enumerate() {
        let message = format!("from {from}");
        sender.publish(1, &message);
        for (to, receiver) in nodes.iter().enumerate() {
            if to != from {
                receiver.hears(&message).await;
            }
        }
    }
}

async fn a_full_kilobyte_passes_unharmed<B: Bus>(buses: Vec<B>) {
    let nodes = nodes(buses).await;
    let message: Vec<u8> = (0..LONGEST_MESSAGE).map(|at| at.to_le_bytes()[at % 2]).collect();
    nodes[0].publish(1, &message);
    nodes[1].hears(&message).await;
}

async fn a_burst_of_one_key_delivers_its_last<B: Bus>(buses: Vec<B>) {
    let nodes = nodes(buses).await;
    for message in 0..1_000 {
        nodes[0].publish(1, format!("message {message}"));
    }
    nodes[1].hears("message 999").await;
}

/// The contract of every bus. `$buses` makes that many which reach one another, or `None` where their
/// engine is missing.
macro_rules! contract {
    ($buses:expr) => {
        #[tokio::test]
        async fn two_nodes_hear_one_another() {
            let Some((_engine, buses)) = ($buses)(2) else { return };
            crate::cluster::bus_contract::all_hear_one_another(buses).await;
        }

        #[tokio::test]
        async fn three_nodes_hear_one_another() {
            let Some((_engine, buses)) = ($buses)(3) else { return };
            crate::cluster::bus_contract::all_hear_one_another(buses).await;
        }

        #[tokio::test]
        async fn a_full_kilobyte_passes_unharmed() {
            let Some((_engine, buses)) = ($buses)(2) else { return };
            crate::cluster::bus_contract::a_full_kilobyte_passes_unharmed(buses).await;
        }

        #[tokio::test]
        async fn a_burst_of_one_key_delivers_its_last() {
            let Some((_engine, buses)) = ($buses)(2) else { return };
            crate::cluster::bus_contract::a_burst_of_one_key_delivers_its_last(buses).await;
        }
    };
}

// Without a broker.
mod memory {
    use failover::cluster::bus::MemoryBus;

    contract!(|nodes| {
        let network = MemoryBus::new();
        Some(((), vec![network; nodes]))
    });
}

#[cfg(feature = "cluster-udp")]
mod udp {
    contract!(|nodes| Some(((), super::super::mesh::mesh(nodes))));
}

#[cfg(feature = "cluster-tls")]
mod brokers;
