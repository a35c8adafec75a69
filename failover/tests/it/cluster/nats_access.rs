//! NATS: who may connect, and to what.

use std::fs;

use failover::cluster::bus::nats::Nats;

use super::node::Node;
use super::program::{Program, free_port};

fn server(port: u16, configuration: &str) -> Option<Program> {
    Program::start("nats-server", port, |folder| {
        let file = folder.join("nats.conf");
        fs::write(&file, format!("listen: 127.0.0.1:{port}\n{configuration}\n")).unwrap();
        vec!["--config".to_owned(), file.to_str().unwrap().to_owned()]
    })
}

fn node(url: &str) -> Node {
    Node::start(Nats::from_url(url).unwrap(), "fleet")
}

#[tokio::test]
async fn a_token_opens_and_a_server_that_is_gone_is_passed_over() {
    let port = free_port();
    let Some(_server) = server(port, "authorization { token: s3cret }") else { return };
    let right = node(&format!("nats://s3cret@127.0.0.1:1,127.0.0.1:{port}"));
    right.is_up().await;
    let reason = node(&format!("nats://wrong@127.0.0.1:{port}")).is_down().await;
    assert!(reason.contains("authorization violation") && !reason.contains("wrong"), "{reason}");
}

#[tokio::test]
async fn a_subject_that_may_not_be_used_is_named_and_the_bus_is_not_up() {
    let port = free_port();
    let permissions = "authorization { users = [{ user: me, password: pw, permissions: \
                       { subscribe: { deny: \"failover.>\" } } }] }";
    let Some(_server) = server(port, permissions) else { return };
    let refused = node(&format!("nats://me:pw@127.0.0.1:{port}"));
    let reason = refused.is_down().await;
    assert!(reason.to_lowercase().contains("permissions violation"), "{reason}");
    assert!(refused.heard().states.iter().all(Result::is_err));
}

#[test]
fn a_wrong_url_says_what_is_wrong_and_what_is_right_without_the_password() {
    for (url, problem) in [
        ("http://me:secret@host", "scheme is `http`"),
        ("nats://:secret@host", "a password without a user"),
        ("nats://me:secret@host/path", "path `path`"),
        ("nats://me:secret@host?tls=1", "option `tls`"),
        ("nats://me:secret@one,", "the host ``"),
    ] {
        let error = Nats::from_url(url).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("nats://[user"), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let debug = format!("{:?}", Nats::from_url("nats://me:secret@host").unwrap());
    assert!(debug.contains("host") && !debug.contains("secret"), "{debug}");
}
