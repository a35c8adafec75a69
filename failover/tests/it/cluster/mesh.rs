//! UDP: what only a mesh without a broker has.

use std::net::UdpSocket;
use std::time::Duration;

use failover::cluster::bus::LONGEST_MESSAGE;
use failover::cluster::bus::peers::Peer;
use failover::cluster::bus::udp::Udp;

use super::node::{Node, until};

const LOOPBACK: &str = "127.0.0.1:0";

/// That many buses, each with all as its peers.
pub(crate) fn mesh(nodes: usize) -> Vec<Udp> {
    let buses: Vec<_> = (0..nodes).map(|_| Udp::bind(LOOPBACK.parse().unwrap()).unwrap()).collect();
    let peers: Vec<Peer> = buses.iter().map(|bus| bus.local_addr().into()).collect();
    buses.into_iter().map(|bus| bus.peers(peers.clone())).collect()
}

#[tokio::test]
async fn a_url_names_the_address_and_the_peers_and_names_are_looked_up() {
    let other = Udp::bind(LOOPBACK.parse().unwrap()).unwrap();
    let port = other.local_addr().port();
    let url = format!("udp://{LOOPBACK}?peers=localhost:{port},dns:localhost:{port}");
    let (this, other) = (Udp::from_url(&url).unwrap(), Node::start(other, "a"));
    let this = Node::start(this, "a");
    // What is sent before the first lookup has ended is lost.
    for beat in 0_u64.. {
        this.publish(1, beat.to_be_bytes());
        if !other.heard().messages.is_empty() {
            break;
        }
        assert!(beat < 3_000, "{:?}", this.heard());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(this.heard().states, [Ok(())]);
}

#[tokio::test]
async fn a_peer_that_is_gone_ends_nothing_and_one_that_comes_is_heard() {
    let mut buses = mesh(3);
    let gone = buses.remove(1);
    let address = gone.local_addr();
    drop(gone);
    let nodes: Vec<_> = buses.into_iter().map(|bus| Node::start(bus, "a")).collect();
    for message in 0..20 {
        nodes[0].publish(1, format!("message {message}"));
        nodes[1].hears(format!("message {message}")).await;
    }
    let returned = Node::start(Udp::bind(address).unwrap(), "a");
    nodes[0].publish(1, "welcome");
    returned.hears("welcome").await;
    assert_eq!(nodes[0].heard().states, [Ok(())]);
}

#[tokio::test]
async fn a_datagram_that_is_too_long_arrives_as_too_long() {
    let bus = Udp::bind(LOOPBACK.parse().unwrap()).unwrap();
    let address = bus.local_addr();
    let node = Node::start(bus, "a");
    node.is_up().await;
    UdpSocket::bind(LOOPBACK).unwrap().send_to(&[7; 5_000], address).unwrap();
    node.hears([7; LONGEST_MESSAGE + 1]).await;
}

#[tokio::test]
async fn a_peer_without_an_address_is_told_once_until_a_peer_can_be_reached() {
    let bus = Udp::from_url("udp://127.0.0.1:0?peers=[::1]:7").unwrap();
    let node = Node::start(bus, "a");
    for _ in 0..3 {
        node.publish(1, "anybody?");
        node.is_drained().await;
    }
    let reason = node.is_down().await;
    assert!(reason.contains("[::1]:7 has no IPv4 address"), "{reason}");
    assert_eq!(node.heard().states.len(), 2);
}

#[tokio::test]
async fn dropping_the_mesh_closes_its_socket() {
    let bus = Udp::bind(LOOPBACK.parse().unwrap()).unwrap();
    let address = bus.local_addr();
    let node = Node::start(bus, "a");
    node.is_up().await;
    node.stop().await;
    until(|| Udp::bind(address).is_ok()).await.unwrap();
}

#[test]
fn a_wrong_url_says_what_is_wrong_and_what_is_right() {
    for (url, problem) in [
        ("127.0.0.1:1", "no scheme"),
        ("tcp://127.0.0.1:1", "scheme is `tcp`"),
        ("udp://localhost:1", "not one IP address"),
        ("udp://127.0.0.1", "not one IP address"),
        ("udp://127.0.0.1:1,127.0.0.2:1", "not one IP address"),
        ("udp://me@127.0.0.1:1", "no credentials"),
        ("udp://127.0.0.1:1/path", "path `path`"),
        ("udp://127.0.0.1:1?peer=a:1", "option `peer`"),
        ("udp://127.0.0.1:0?peers=a", "the peer `a`"),
        ("udp://192.0.2.1:1", "192.0.2.1:1 can't be bound"),
    ] {
        let error = Udp::from_url(url).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("expected"), "{url}: {error}");
    }
}
