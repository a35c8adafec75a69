//! What each bus must do, held against each of them.

use failover::cluster::bus::{Bus, LONGEST_MESSAGE};

use super::node::{Node, until};

async fn nodes<B: Bus>(buses: Vec<B>) -> Vec<Node> {
    let nodes: Vec<_> = buses.into_iter().map(|bus| Node::start(bus, "fleet-a")).collect();
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

/// The contract's part without a broker.
macro_rules! contract {
    ($engine:ident, $buses:expr) => {
        mod $engine {
            #[tokio::test]
            async fn two_nodes_hear_one_another() {
                super::all_hear_one_another($buses(2)).await;
            }

            #[tokio::test]
            async fn three_nodes_hear_one_another() {
                super::all_hear_one_another($buses(3)).await;
            }

            #[tokio::test]
            async fn a_full_kilobyte_passes_unharmed() {
                super::a_full_kilobyte_passes_unharmed($buses(2)).await;
            }

            #[tokio::test]
            async fn a_burst_of_one_key_delivers_its_last() {
                super::a_burst_of_one_key_delivers_its_last($buses(2)).await;
            }
        }
    };
}

#[cfg(feature = "cluster-udp")]
contract!(udp, super::super::mesh::mesh);

#[cfg(feature = "cluster-udp")]
#[tokio::test]
async fn dropping_the_mesh_closes_its_socket() {
    use failover::cluster::bus::udp::Udp;

    let bus = Udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = bus.local_addr();
    let node = Node::start(bus, "fleet-a");
    node.is_up().await;
    node.stop().await;
    until(|| Udp::bind(address).is_ok()).await.unwrap();
}
