//! Disks that are full, read-only or missing under a running server, and that recover.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::Client;
use crate::marks::{Marks, get, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::records::Records;
use crate::{Failed, Found, Scale, passed_over};

/// How soon a server must be healthy after the cause is gone.
const WELL_AGAIN: Duration = Duration::from_secs(1);

/// A server on a disk, and one client.
struct Patient {
    process: Process,
    providers: Providers,
    client: Client,
    marks: Marks,
    stored: Vec<String>,
}

impl Patient {
    async fn on(database: &Path) -> Result<Self, Failed> {
        let providers = Providers::start().await?;
        let mut command = Command::new(BINARY);
        serve(&mut command, database, &providers.urls());
        // Stored valuations are read from the file.
        let process = Process::start(command.args(["--cache", "off"]))?;
        let client = Client::connect(process.address).await?;
        let (marks, stored) = (Marks::default(), Vec::new());
        let mut patient = Self { process, providers, client, marks, stored };
        patient.put().await?;
        Ok(patient)
    }

    async fn put(&mut self) -> Result<u16, Failed> {
        let mark = self.marks.next();
        let mut request = Vec::new();
        put(&mut request, &mark);
        let status = self.client.ask(&request).await?.status;
        if status == 200 {
            self.stored.push(mark);
        }
        Ok(status)
    }

    /// PUTs until one is refused, then checks that stored valuations can be read and that no provider is
    /// called.
    async fn falls_ill(&mut self) -> Result<(), Failed> {
        let started = Instant::now();
        while self.put().await? == 200 {
            if started.elapsed() > Duration::from_secs(60) {
                return Err("PUTs go on being answered 200".into());
            }
        }
        let bought = self.providers.calls();
        for _ in 0..20 {
            let status = self.put().await?;
            if status != 503 {
                return Err(format!("a PUT was answered {status}").into());
            }
        }
        if self.providers.calls() != bought {
            return Err("valuations were bought that could not be stored".into());
        }
        let mut request = Vec::new();
        get(&mut request, self.stored.last().ok_or("nothing was stored")?);
        match self.client.ask(&request).await?.status {
            200 => Ok(()),
            status => Err(format!("a GET was answered {status}").into()),
        }
    }

    /// The time until a PUT is answered 200.
    async fn is_well_after(&mut self, cause_gone: Instant) -> Result<Duration, Failed> {
        loop {
            if self.put().await? == 200 {
                let took = cause_gone.elapsed();
                return if took <= WELL_AGAIN {
                    Ok(took)
                } else {
                    Err(format!("well after {took:?}").into())
                };
            }
            if cause_gone.elapsed() > 10 * WELL_AGAIN {
                return Err(format!("not well: {:?}", self.process.log().last()).into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops it, and checks that nothing was lost.
    fn ends_whole(mut self, database: &Path) -> Result<usize, Failed> {
        self.process.signal("TERM")?;
        let ended = self.process.wait()?;
        let records = Records::open(database)?;
        let (rows, calls) = (records.rows("ProviderLogs")?, self.providers.calls());
        for mark in &self.stored {
            let body = br#"{"providerName":"SuperCar Valuations"}"#;
            records.has_answered(mark, body)?;
        }
        if ended.success() && rows == calls && records.halves()? == 0 {
            return Ok(self.stored.len());
        }
        Err(format!("{rows} log rows of {calls} calls; the server ended with {ended}").into())
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Failed> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Runs a command as root: by `sudo`, without a password, unless this user is root.
fn run_as_root(program: &str, arguments: &[&str]) -> Result<(), Failed> {
    run(program, arguments)
        .or_else(|error| run("sudo", &[&["-n", program], arguments].concat()).map_err(|_| error))
}

/// A small file system in memory, which is unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Result<Self, Failed> {
        fs::create_dir(at)?;
        let place = at.to_str().ok_or("the folder's name is no text")?;
        run_as_root("mount", &["-t", "tmpfs", "-o", "size=1m,mode=1777", "none", place])?;
        Ok(Self(at.to_owned()))
    }

    fn remount(&self, options: &str) -> Result<Instant, Failed> {
        let place = self.0.to_str().ok_or("the folder's name is no text")?;
        run_as_root("mount", &["-o", &format!("remount,{options}"), place])?;
        Ok(Instant::now())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.0.to_str().map(|place| run_as_root("umount", &["-l", place]));
    }
}

/// A small disk that is full, then read-only, then without the file.
pub(crate) async fn full_and_gone(_: Scale) -> Found {
    let folder = tempfile::tempdir()?;
    let disk = match SmallDisk::mount(&folder.path().join("disk")) {
        Ok(disk) => disk,
        Err(error) => return passed_over(&format!("nothing can be mounted: {error}")),
    };
    let database = disk.0.join("valuations.sqlite");
    let mut patient = Patient::on(&database).await?;
    patient.falls_ill().await?;
    let full = patient.is_well_after(disk.remount("size=64m")?).await?;

    let away = disk.0.join("away.sqlite");
    fs::rename(&database, &away)?;
    patient.falls_ill().await?;
    fs::rename(&away, &database)?;
    let gone = patient.is_well_after(Instant::now()).await?;

    let stored = patient.ends_whole(&database)?;
    Ok(format!(
        "a 1 MiB disk filled up, and the file moved away: PUTs 503 and nothing bought, GETs 200, \
         well again {} ms and {} ms after the cause was gone, {stored} PUTs answered and all there",
        full.as_millis(),
        gone.as_millis()
    ))
}

/// A limit on the size of the process's files, set and lifted while it runs.
pub(crate) async fn file_size_limit(_: Scale) -> Found {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("valuations.sqlite");
    let mut patient = Patient::on(&database).await?;
    let id = patient.process.id().to_string();
    let limit =
        |bytes: &str| run("prlimit", &["--pid", &id, &format!("--fsize={bytes}:unlimited")]);
    limit("200000")?;
    patient.falls_ill().await?;
    limit("unlimited")?;
    let took = patient.is_well_after(Instant::now()).await?;
    let stored = patient.ends_whole(&database)?;
    Ok(format!(
        "files bounded to 200,000 bytes (RLIMIT_FSIZE): PUTs 503 and nothing bought, GETs 200, \
         well again {} ms after the bound was lifted, {stored} PUTs answered and all there",
        took.as_millis()
    ))
}
