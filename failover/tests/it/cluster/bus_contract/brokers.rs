//! The contract of a bus with a broker: killed, stalled, restarted, shared with others.

use std::time::Duration;

use super::super::brokers::{Broker, PASSWORD, Running, Setup};
use super::super::certificates::Certificates;
use super::super::node::{Node, until};
use super::super::program::free_port;
use super::super::proxy::Proxy;
use super::FLEET;

async fn messages_flow_again_after_a_kill<B: Broker>() {
    let Some(mut broker) = Running::<B>::start() else { return };
    let nodes = super::nodes(broker.buses(2)).await;
    nodes[0].publish(1, "before");
    nodes[1].hears("before").await;
    broker.kill();
    for node in &nodes {
        let reason = node.is_down().await;
        assert!(reason.contains(&broker.port.to_string()) && reason.len() > 20, "{reason}");
    }
    broker.restart();
    for node in &nodes {
        node.is_up().await;
        let heard = node.heard();
        assert_eq!(heard.states.iter().filter(|state| state.is_ok()).count(), 2, "{heard:?}");
    }
    nodes[0].publish(1, "after");
    nodes[1].hears("after").await;
    nodes[1].publish(1, "and back");
    nodes[0].hears("and back").await;
}

async fn only_the_newest_of_each_key_passes_after_a_kill<B: Broker>() {
    let Some(mut broker) = Running::<B>::start() else { return };
    let node = Node::start(broker.bus(), FLEET);
    node.is_up().await;
    broker.kill();
    node.is_down().await;
    for message in 0..50 {
        node.publish(1, format!("one {message}"));
        node.publish(2, format!("two {message}"));
    }
    broker.restart();
    node.hears("one 49").await;
    node.hears("two 49").await;
    node.publish(1, "last");
    node.hears("last").await;
    assert_eq!(node.heard().messages, [&b"one 49"[..], b"two 49", b"last"]);
}

async fn an_engine_that_is_not_there_yet_is_no_error<B: Broker>() {
    let port = free_port();
    let node = Node::start(B::bus(port, None), FLEET);
    let reason = node.is_down().await;
    assert!(reason.contains("refused"), "{reason}");
    let Some(_broker) = Running::<B>::with(&Setup::at(port)) else { return };
    node.is_up().await;
    node.publish(1, "at last");
    node.hears("at last").await;
}

async fn a_wrong_password_is_named_and_not_shown<B: Broker>() {
    let setup = Setup { password: true, ..Setup::at(free_port()) };
    let Some(broker) = Running::<B>::with(&setup) else { return };
    for password in [None, Some("wrong-secret")] {
        let node = Node::start(B::bus(broker.port, password), FLEET);
        let reason = node.is_down().await;
        assert!(password.is_none() || reason.contains(B::REFUSAL), "{reason}");
        assert!(!reason.contains("wrong-secret") && !reason.contains(PASSWORD), "{reason}");
    }
}

async fn a_right_password_serves<B: Broker>() {
    let setup = Setup { password: true, ..Setup::at(free_port()) };
    let Some(broker) = Running::<B>::with(&setup) else { return };
    let node = Node::start(B::bus(broker.port, Some(PASSWORD)), FLEET);
    node.is_up().await;
    node.publish(1, "let in");
    node.hears("let in").await;
}

async fn fleets_of_another_name_hear_nothing<B: Broker>() {
    let Some(broker) = Running::<B>::start() else { return };
    let nodes = super::nodes(broker.buses(2)).await;
    let other = Node::start(broker.bus(), "fleet-b");
    other.is_up().await;
    nodes[0].publish(1, "for us");
    nodes[1].hears("for us").await;
    other.publish(1, "for others");
    other.hears("for others").await;
    assert_eq!(other.heard().messages, [b"for others"]);
    assert!(!nodes[1].has_heard("for others"));
}

/// A broker behind a proxy, and a node that reaches it that way. `None` where there is no such broker.
async fn behind_a_proxy<B: Broker>() -> Option<(Running<B>, Proxy, Node)> {
    let port = free_port();
    let proxy = Proxy::start(port, None).await;
    let setup = Setup { reached_by: proxy.port, ..Setup::at(port) };
    let broker = Running::<B>::with(&setup)?;
    let node = Node::start(B::bus(proxy.port, None), FLEET);
    node.is_up().await;
    Some((broker, proxy, node))
}

async fn dropping_the_future_closes_the_connections<B: Broker>() {
    let Some((_broker, proxy, node)) = behind_a_proxy::<B>().await else { return };
    assert!(proxy.open() > 0);
    node.stop().await;
    until(|| proxy.open() == 0).await.expect("connections stay open");
}

async fn a_stalled_engine_is_noticed_in_seconds_and_the_newest_message_follows<B: Broker>() {
    let Some((_broker, proxy, node)) = behind_a_proxy::<B>().await else { return };
    proxy.stall(true);
    let start = std::time::Instant::now();
    // A fleet's beat: some of it is lost in the connection that nobody reads.
    for beat in 0.. {
        node.publish(1, format!("beat {beat}"));
        if matches!(node.heard().states.last(), Some(Err(_))) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", node.heard());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    proxy.stall(false);
    node.publish(1, "newest");
    node.hears("newest").await;
}

async fn own_authorities_are_trusted_and_no_others<B: Broker>() {
    let certificates = Certificates::of("ours");
    let port = free_port();
    let proxy = Proxy::start(port, Some(certificates.acceptor())).await;
    let (tls, reached_by) = if B::TLS { (Some(&certificates), port) } else { (None, proxy.port) };
    let Some(_broker) = Running::<B>::with(&Setup { tls, reached_by, ..Setup::at(port) }) else {
        return;
    };
    let node = Node::start(B::tls_bus(reached_by, &certificates.authority), FLEET);
    node.is_up().await;
    node.publish(1, "in private");
    node.hears("in private").await;
    let other = Certificates::of("another");
    let reason = Node::start(B::tls_bus(reached_by, &other.authority), FLEET).is_down().await;
    assert!(reason.contains("certificate"), "{reason}");
}

/// A test of this file for a broker.
macro_rules! held {
    ($broker:ty: $($test:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                super::$test::<$broker>().await;
            }
        )*
    };
}

macro_rules! broker {
    ($module:ident, $broker:ty $(, $more:ident)?) => {
        mod $module {
            use crate::cluster::brokers::{Broker, Running};

            type Buses = Vec<<$broker as Broker>::Bus>;

            fn buses(count: usize) -> Option<(Running<$broker>, Buses)> {
                let broker = Running::<$broker>::start()?;
                let buses = broker.buses(count);
                Some((broker, buses))
            }

            contract!(buses);
            held!($broker:
                messages_flow_again_after_a_kill,
                only_the_newest_of_each_key_passes_after_a_kill,
                an_engine_that_is_not_there_yet_is_no_error,
                a_wrong_password_is_named_and_not_shown,
                fleets_of_another_name_hear_nothing,
                dropping_the_future_closes_the_connections,
                a_stalled_engine_is_noticed_in_seconds_and_the_newest_message_follows,
                own_authorities_are_trusted_and_no_others,
                $($more)?
            );
        }
    };
}

#[cfg(feature = "cluster-kafka")]
broker!(kafka, crate::cluster::brokers::Tansu);
#[cfg(feature = "cluster-nats")]
broker!(nats, crate::cluster::brokers::NatsServer, a_right_password_serves);
#[cfg(feature = "cluster-redis")]
broker!(redis, crate::cluster::brokers::RedisServer, a_right_password_serves);
