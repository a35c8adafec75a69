//! A server process, seen from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use valuation_server::demo::simulator::{Pace, Simulator};
use valuation_server::domain::Provider;

use crate::Failed;

/// The server's own binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_valuation-server");
/// How long a server may take to listen.
const START: Duration = Duration::from_secs(30);
/// The kernel's unit of CPU time: a hundredth of a second on all current architectures.
const TICK: Duration = Duration::from_millis(10);

/// A running process that has logged its address. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// A command on these cores alone.
pub(crate) fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}

/// `serve` on a database, with the providers at these URLs.
pub(crate) fn serve(command: &mut Command, database: &Path, [supercar, premium]: &[String; 2]) {
    command.args(["serve", "--listen", "127.0.0.1:0", "--database"]).arg(database).args([
        "--supercar-url",
        supercar,
        "--premium-url",
        premium,
    ]);
}

/// Both providers, simulated in this process.
pub(crate) struct Providers {
    pub(crate) supercar: Simulator,
    pub(crate) premium: Simulator,
}

impl Providers {
    /// Providers that answer at once.
    pub(crate) async fn start() -> Result<Self, Failed> {
        Self::with(Pace::INSTANT).await
    }

    pub(crate) async fn with(pace: Pace) -> Result<Self, Failed> {
        let start = |provider| Simulator::start(provider, ([127, 0, 0, 1], 0).into(), pace);
        let supercar = start(Provider::SuperCar).await?;
        Ok(Self { supercar, premium: start(Provider::Premium).await? })
    }

    pub(crate) fn urls(&self) -> [String; 2] {
        [&self.supercar, &self.premium].map(|simulator| format!("http://{}", simulator.address()))
    }

    pub(crate) fn calls(&self) -> u64 {
        self.supercar.calls() + self.premium.calls()
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failed> {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (found, address) = mpsc::channel();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let address = rest.split(';').next().unwrap_or(rest).trim().parse();
                    let _ = found.send(address);
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let Ok(address) = address.recv_timeout(START) else {
            let _ = child.kill();
            let _ = child.wait();
            let said = log.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
            return Err(format!("the server did not start: {said}").into());
        };
        Ok(Self { child, address: address?, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its CPU time so far, in steps of a hundredth of a second.
    pub(crate) fn cpu(&self) -> Result<Duration, Failed> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // After the name, which may contain anything: fields 14 and 15 of proc_pid_stat(5).
        let fields = stat.rsplit_once(')').ok_or("no /proc/…/stat")?.1;
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
        let (user, system) = ticks.next().zip(ticks.next()).ok_or("no CPU times")?;
        Ok(TICK * (user? + system?))
    }

    /// Its resident memory, in KiB.
    pub(crate) fn resident(&self) -> Result<u64, Failed> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no VmRSS")?.parse()?)
    }

    pub(crate) fn signal(&self, name: &str) -> Result<(), Failed> {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(format!("SIG{name} could not be sent").into()) }
    }

    pub(crate) fn kill(&mut self) -> Result<(), Failed> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Failed> {
        Ok(self.child.wait()?)
    }

    /// Closes its standard input.
    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
