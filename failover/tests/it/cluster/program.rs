//! A private server program for one test: on a free loopback port, in a temporary folder, killed at the end.

use std::env;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Program {
    command: Command,
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Program {
    /// Starts a program with the arguments for a folder, and waits until it accepts connections
    /// on the port. `None` if it is not on the PATH; in CI that is a failure.
    pub(crate) fn start(
        name: &str,
        port: u16,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Option<Self> {
        let Some(program) = find(name) else {
            println!("skipped: there is no `{name}` on the PATH");
            assert_ne!(env::var("CI").as_deref(), Ok("true"), "`{name}` must be there in CI");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(arguments(folder.path())).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = accepting(&mut command, port);
        Some(Self { command, port, child, _folder: folder })
    }

    /// By SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with the same arguments, and so on the same port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = accepting(&mut self.command, self.port);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn find(name: &str) -> Option<PathBuf> {
    // Debian keeps servers there, and a user's PATH has no such folder.
    let folders = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&folders).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Starts the program until it accepts connections. One that ends at once found its port taken, such
/// as by a connection that it had before.
fn accepting(command: &mut Command, port: u16) -> Child {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    while TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < DEADLINE, "{command:?} does not accept connections");
        if child.try_wait().unwrap().is_some() {
            child = command.spawn().unwrap();
        }
        sleep(Duration::from_millis(20));
    }
    child
}
