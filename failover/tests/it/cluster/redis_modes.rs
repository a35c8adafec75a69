//! Redis with sentinels, and Redis Cluster with sharded pub/sub.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use failover::cluster::bus::redis::Redis;

use super::node::{Node, until};
use super::program::{Program, free_port};

const SERVER: &str = "redis-server";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn server(port: u16, more: &str) -> Option<Program> {
    let mut arguments = words(&format!("--port {port} --bind 127.0.0.1 {more} --save"));
    arguments.push(String::new());
    Program::start(SERVER, port, |_| arguments)
}

/// The answer to an inline command. It is short, and ends with a line.
fn ask(port: u16, command: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    connection.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        let mut buffer = [0; 4_096];
        let length = connection.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "{command}");
        answer.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn sharded_channels_are_found_by_any_node_and_followed_when_their_slot_moves() {
    let ports = [free_port(), free_port()];
    let more = |bus: u16| format!("--cluster-enabled yes --cluster-port {bus} --loglevel warning");
    let Some(_first) = server(ports[0], &more(free_port())) else { return };
    let bus = free_port();
    let Some(_second) = server(ports[1], &more(bus)) else { return };
    assert_eq!(ask(ports[0], "CLUSTER ADDSLOTSRANGE 0 16383"), "+OK\r\n");
    assert_eq!(ask(ports[0], &format!("CLUSTER MEET 127.0.0.1 {} {bus}", ports[1])), "+OK\r\n");
    let ready = |port| ask(port, "CLUSTER INFO").contains("cluster_state:ok");
    until(|| ports.into_iter().all(ready)).await.unwrap();

    let [first, second] = ports;
    let hosts = [format!("127.0.0.1:{second}"), format!("127.0.0.1:1,127.0.0.1:{first}")];
    let nodes = hosts.map(|hosts| {
        Node::start(Redis::from_url(&format!("redis-cluster://{hosts}")).unwrap(), "fleet")
    });
    for node in &nodes {
        node.is_up().await;
    }
    nodes[0].publish(1, "by the shard");
    nodes[1].hears("by the shard").await;
    assert_eq!(ask(first, "PUBSUB SHARDNUMSUB failover.fleet").matches(":2").count(), 1);

    let id = |port| ask(port, "CLUSTER MYID").lines().nth(1).unwrap().to_owned();
    let slot = ask(first, "CLUSTER KEYSLOT failover.fleet");
    let slot = slot.trim().trim_start_matches(':');
    // The new owner first, so that no node believes the slot to be nobody's.
    for port in [second, first] {
        let moved = ask(port, &format!("CLUSTER SETSLOT {slot} NODE {}", id(second)));
        assert_eq!(moved, "+OK\r\n");
    }
    for node in &nodes {
        until(|| node.heard().states.len() >= 3).await.unwrap();
        let reason = node.heard().states[1].clone().unwrap_err();
        assert!(reason.contains("moved"), "{reason}");
        node.is_up().await;
    }
    nodes[1].publish(1, "by the other");
    nodes[0].hears("by the other").await;
}

#[tokio::test]
async fn sentinels_name_the_master_and_the_next_one() {
    let [master, replica, sentinel] = [free_port(), free_port(), free_port()];
    let Some(mut first) = server(master, "") else { return };
    let Some(_second) = server(replica, &format!("--replicaof 127.0.0.1 {master}")) else { return };
    let replicates = || ask(replica, "INFO replication").contains("master_link_status:up");
    until(replicates).await.unwrap();
    let watching = Program::start(SERVER, sentinel, |folder| {
        let file = folder.join("sentinel.conf");
        let text = format!(
            "port {sentinel}\nbind 127.0.0.1\nsentinel monitor fleet-master 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds fleet-master 300\n"
        );
        fs::write(&file, text).unwrap();
        vec![file.to_str().unwrap().to_owned(), "--sentinel".to_owned()]
    });
    assert!(watching.is_some());
    let knows_both =
        || ask(sentinel, "SENTINEL MASTER fleet-master").contains("num-slaves\r\n$1\r\n1");
    until(knows_both).await.unwrap();

    // A sentinel that is gone is passed over.
    let url = |name| format!("redis-sentinel://127.0.0.1:1,127.0.0.1:{sentinel}/{name}");
    let node = Node::start(Redis::from_url(&url("fleet-master")).unwrap(), "fleet");
    node.is_up().await;
    let unknown = Node::start(Redis::from_url(&url("other")).unwrap(), "fleet");
    let reason = unknown.is_down().await;
    assert!(reason.contains("no master `other`"), "{reason}");

    first.kill();
    node.is_down().await;
    node.is_up().await;
    node.publish(1, "by the next one");
    node.hears("by the next one").await;
    assert!(ask(replica, "ROLE").contains("master"));
}

#[test]
fn a_wrong_url_says_what_is_wrong_and_what_is_right_without_the_password() {
    for (url, problem) in [
        ("http://:secret@host", "scheme is `http`"),
        ("redis://:secret@", "the host ``"),
        ("redis://:secret@one,two", "several hosts"),
        ("redis://:secret@host/name", "path `name`"),
        ("redis://secret@host", "a user without a password"),
        ("redis://:secret@host?db=1", "option `db`"),
        ("redis-sentinel://:secret@host", "no name of a master"),
    ] {
        let error = Redis::from_url(url).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("redis-cluster://"), "{url}: {error}");
        assert!(url.contains("//secret") || !error.contains("secret"), "{error}");
    }
    let debug = format!("{:?}", Redis::from_url("rediss://me:secret@host/0").unwrap());
    assert!(debug.contains("host") && !debug.contains("secret"), "{debug}");
}
