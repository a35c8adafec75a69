//! The server's binary, run as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use valuation_server::demo::simulator::{Fault, Pace, Simulator};
use valuation_server::domain::Provider;

use crate::http_harness::{Client, put};
use crate::store_support::until;

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_valuation-server"));
    command.env_clear().stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A server process and the lines of its log.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) log: Lines<BufReader<ChildStderr>>,
    pub(crate) address: SocketAddr,
    /// What it logged before it listened.
    pub(crate) said: Vec<String>,
}

impl Process {
    pub(crate) async fn start(database: &Path, supercar: &Simulator, premium: &Simulator) -> Self {
        Self::start_with(database, supercar, premium, &[]).await
    }

    /// Started with these flags in addition to the necessary ones.
    pub(crate) async fn start_with(
        database: &Path,
        supercar: &Simulator,
        premium: &Simulator,
        flags: &[&str],
    ) -> Self {
        Self::of(binary(), database, supercar, premium, flags).await
    }

    /// Started by this command, which runs the binary.
    pub(crate) async fn of(
        mut command: Command,
        database: &Path,
        supercar: &Simulator,
        premium: &Simulator,
        flags: &[&str],
    ) -> Self {
        let url = |simulator: &Simulator| format!("http://{}", simulator.address());
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--database"])
            .arg(database)
            .args(["--supercar-url", &url(supercar), "--premium-url", &url(premium)])
            .args(flags)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let line = loop {
            let line = log.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the server ended at its start: {said:?}"));
            if line.contains("listening on http://") {
                break line;
            }
            said.push(line);
        };
        let address = line.split("listening on http://").nth(1).unwrap();
        let address = address.split(';').next().unwrap().parse().unwrap();
        Self { child, log, address, said }
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// Its resident memory, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) async fn next_line(&mut self) -> Option<String> {
        self.log.next_line().await.unwrap()
    }

    /// The first line from now on that has this text.
    pub(crate) async fn until_logged(&mut self, text: &str) -> String {
        while let Some(line) = self.log.next_line().await.unwrap() {
            if line.contains(text) {
                return line;
            }
        }
        panic!("never logged: {text}; the process ended with {:?}", self.child.wait().await);
    }
}

/// A server process between two simulators, with a database in a folder of its own.
pub(crate) struct Rig {
    pub(crate) process: Process,
    pub(crate) supercar: Simulator,
    pub(crate) premium: Simulator,
    pub(crate) database: PathBuf,
    pub(crate) folder: TempDir,
}

impl Rig {
    /// Starts all of it, with this fault of SuperCar.
    pub(crate) async fn start(fault: Fault, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (supercar, premium) = simulators(Pace::INSTANT).await;
        supercar.set_fault(fault);
        let database = folder.path().join("v.sqlite");
        let process = Process::start_with(&database, &supercar, &premium, flags).await;
        Self { process, supercar, premium, database, folder }
    }

    /// Sends a PUT, and waits until SuperCar is asked.
    pub(crate) async fn put_in_flight(&self) -> Client {
        let mut client = Client::connect(self.process.address).await;
        client.send(put("/valuations/A", "{\"mileage\": 1}")).await;
        until("SuperCar is asked", || self.supercar.calls() != 0).await;
        client
    }

    /// Stops the process in order.
    pub(crate) async fn stop(&mut self) {
        self.process.signal("TERM");
        self.process.until_logged("stopped; everything is stored").await;
        assert_eq!(self.process.exit_code().await, Some(0));
    }

    /// The number of rows of a table, or of those that a condition after it selects.
    pub(crate) fn rows(&self, table: &str) -> u32 {
        let stored = rusqlite::Connection::open(&self.database).unwrap();
        stored.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }
}

pub(crate) async fn simulators(pace: Pace) -> (Simulator, Simulator) {
    let start = |provider| Simulator::start(provider, ([127, 0, 0, 1], 0).into(), pace);
    (start(Provider::SuperCar).await.unwrap(), start(Provider::Premium).await.unwrap())
}
