//! The order of the write to the disk and the answer, by the system calls.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::load::Client;
use crate::marks::{mark, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::{Failed, Found, Scale, passed_over};

/// Traces the system calls of single PUTs: between the request and its answer the write-ahead log must
/// be synced to the disk. The same with `--durability normal`, which need not do so, shows that the
/// trace can tell.
pub(crate) async fn of_the_sync_and_the_answer(scale: Scale) -> Found {
    let puts = scale.of(100, 10);
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|traced| traced.status.success()) {
        return passed_over("strace is not there, or may not trace");
    }
    let full = synced_answers(puts, "full").await?;
    if full != puts {
        return Err(format!("{} of {puts} answers went out before the sync", puts - full).into());
    }
    let normal = synced_answers(puts, "normal").await?;
    if normal == puts {
        return Err("the answers wait for a sync with --durability normal as well".into());
    }
    Ok(format!(
        "{puts} PUTs under strace: before each answer was written the log's sync had ended; with \
         --durability normal before {normal}"
    ))
}

/// The complete trace.
fn whole(trace: &Path) -> Result<String, Failed> {
    for _ in 0..100 {
        let text = fs::read_to_string(trace)?;
        if text.lines().rev().take(64).any(|line| line.contains("+++ killed by SIGKILL")) {
            return Ok(text);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err("strace has not written the server's end".into())
}

/// How many answers were written after a sync of the log that began after their request.
async fn synced_answers(puts: u64, durability: &str) -> Result<u64, Failed> {
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace");
    let database = folder.path().join("valuations.sqlite");
    let providers = Providers::start().await?;
    let mut command = Command::new("strace");
    let calls = "trace=fdatasync,fsync,write,sendto,recvfrom,read";
    // The server is the child process and not strace, so that killing the child kills the server.
    command.args(["-D", "-f", "-y", "-s", "64", "-e", calls, "-o"]).arg(&trace).arg(BINARY);
    serve(&mut command, &database, &providers.urls());
    let process = Process::start(command.args(["--durability", durability]))?;
    let mut client = Client::connect(process.address).await?;
    for number in 0..puts {
        let mut request = Vec::new();
        put(&mut request, &mark(number));
        if client.ask(&request).await?.status != 200 {
            return Err("a PUT was not answered 200".into());
        }
    }
    drop(process);
    let trace = whole(&trace)?;
    let (mut synced, mut answers, mut in_order) = (false, 0, 0);
    for line in trace.lines() {
        // A call that another thread's interrupts is shown in two lines.
        let sync = line.contains("valuations.sqlite-wal") || line.contains("resumed");
        if line.contains("\"PUT /valuations/") {
            synced = false;
        } else if line.contains("sync") && sync && line.ends_with("= 0") {
            synced = true;
        } else if line.contains("\"HTTP/1.1 200") && line.contains("sendto(") {
            // Providers' answers are received; only ours are sent.
            answers += 1;
            in_order += u64::from(synced);
        }
    }
    if answers == puts { Ok(in_order) } else { Err(format!("{answers} answers seen").into()) }
}
