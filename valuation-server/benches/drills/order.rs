//! The order of the write to the disk and of the answer, as the kernel sees it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::load::Client;
use crate::marks::{mark, put};
use crate::process::{BINARY, Process, Providers, serve};
use crate::{Found, Scale};

/// Watches the system calls of single PUTs: between the request and its answer the write-ahead log
/// must have been synchronised with the disk.
pub(crate) async fn of_the_sync_and_the_answer(scale: Scale) -> Found {
    let puts = scale.of(100, 10);
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace");
    let database = folder.path().join("valuations.sqlite");
    if !Path::new("/usr/bin/strace").exists() {
        return Ok("passed over, since there is no strace".to_owned());
    }
    let providers = Providers::start().await?;
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        "trace=fdatasync,fsync,writev,write,sendto,recvfrom,read",
    ]);
    command.arg("-o").arg(&trace).arg(BINARY);
    serve(&mut command, &database, &providers.urls());
    let process = Process::start(&mut command)?;
    let mut client = Client::connect(process.address).await?;
    for number in 0..puts {
        let mut request = Vec::new();
        put(&mut request, &mark(number));
        if client.ask(&request).await?.status != 200 {
            return Err("a PUT was not answered 200".into());
        }
    }
    drop(process);
    let trace = fs::read_to_string(&trace)?;
    let (mut synced, mut answers, mut late) = (false, 0, 0);
    for line in trace.lines() {
        if line.contains("PUT /valuations/") {
            synced = false;
        } else if line.contains("sync")
            && line.contains("valuations.sqlite-wal")
            && line.ends_with("= 0")
        {
            synced = true;
        } else if line.contains("sync resumed") && line.ends_with("= 0") {
            synced = true;
        } else if line.contains("HTTP/1.1 200")
            && line.contains("content-type: application")
            && !line.contains("read")
            && !line.contains("recvfrom")
        {
            answers += 1;
            late += u64::from(!synced);
        }
    }
    if late > 0 || answers < puts {
        return Err(format!("{late} of {answers} answers went out before the sync").into());
    }
    Ok(format!(
        "{puts} PUTs under strace: the log's fdatasync ended before every answer was written"
    ))
}
