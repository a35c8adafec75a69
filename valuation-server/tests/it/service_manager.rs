//! The protocol of systemd's `Type=notify`, with a socket of our own as the manager's.

#![cfg(target_os = "linux")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use valuation_server::demo::simulator::Pace;

use crate::process_harness::{Process, binary, simulators};

/// Far longer than any message takes.
const DEADLINE: Duration = Duration::from_secs(30);

struct Manager(UnixDatagram);

impl Manager {
    fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// The next message. The server is another process, so that this thread may wait.
    fn next(&self) -> String {
        let mut message = [0; 512];
        let length = self.0.recv(&mut message).expect("a message of the server");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }
}

/// A server whose manager has this socket and wants these further variables.
async fn start(folder: &Path, variables: &[(&str, &str)]) -> Process {
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let mut command = binary();
    command.env("NOTIFY_SOCKET", folder.join("notify")).envs(variables.iter().copied());
    Process::of(command, &folder.join("v.sqlite"), &supercar, &premium, &[]).await
}

#[tokio::test]
async fn the_manager_hears_of_readiness_when_the_port_is_bound_and_of_the_stop_with_its_longest_time()
 {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::bind(&folder.path().join("notify"));
    let mut process = start(folder.path(), &[]).await;
    assert_eq!(manager.next(), "READY=1\n");
    assert!(tokio::net::TcpStream::connect(process.address).await.is_ok());
    process.signal("TERM");
    // Twice the provider's deadline of 5 s and 7 s, then 1 + 1 + 10 + 1 s.
    assert_eq!(manager.next(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\n");
    process.until_logged("stopped; everything is stored").await;
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_manager_hears_of_a_reload_and_of_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::bind(&folder.path().join("notify"));
    let config = folder.path().join("c.toml");
    std::fs::write(&config, "min-calls = 7\n").unwrap();
    let mut process = start(folder.path(), &[("VALUATION_CONFIG", config.to_str().unwrap())]).await;
    assert_eq!(manager.next(), "READY=1\n");
    for text in ["min-calls = 8\n", "min-calls = none\n"] {
        std::fs::write(&config, text).unwrap();
        process.signal("HUP");
        let message = manager.next();
        let time = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim();
        assert!(time.parse::<u64>().is_ok_and(|micros| micros > 0), "{message}");
        assert_eq!(manager.next(), "READY=1\n", "also after one that is refused");
    }
    process.signal("TERM");
    assert!(manager.next().starts_with("STOPPING=1\n"));
    assert_eq!(process.exit_code().await, Some(0));

    // Without a document there is nothing to read, and the manager does not wait.
    let mut process = start(folder.path(), &[]).await;
    assert_eq!(manager.next(), "READY=1\n");
    process.signal("HUP");
    assert!(manager.next().starts_with("RELOADING=1\n"));
    assert_eq!(manager.next(), "READY=1\n");
    process.signal("TERM");
    assert!(manager.next().starts_with("STOPPING=1\n"));
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_watchdog_hears_at_least_twice_in_its_time_and_without_one_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::bind(&folder.path().join("notify"));
    let mut process = start(folder.path(), &[("WATCHDOG_USEC", "200000")]).await;
    assert_eq!(manager.next(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    process.signal("TERM");
    while manager.next() != "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\n" {}
    assert_eq!(process.exit_code().await, Some(0));

    // A variable of another process, which was inherited.
    let mut process =
        start(folder.path(), &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]).await;
    // What was sent by the first process until its end.
    while manager.next() != "READY=1\n" {}
    process.signal("TERM");
    assert!(manager.next().starts_with("STOPPING=1\n"));
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_manager_that_cannot_be_reached_is_a_warning_and_the_server_serves() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path(), &[]).await;
    let warning = process.until_logged("NOTIFY_SOCKET").await;
    assert!(warning.contains("WARN") && warning.contains("No such file"), "{warning}");
    process.signal("TERM");
    process.until_logged("stopped; everything is stored").await;
    assert_eq!(process.exit_code().await, Some(0));
}
