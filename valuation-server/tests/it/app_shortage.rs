//! The binary short of something: files, or a database at the stop.

use std::io::Write as _;
use std::process::Stdio;

use tokio::process::Command;
use valuation_server::demo::simulator::{Fault, Mode, Pace};

use crate::app_harness::admin_get;
use crate::http_harness::{Client, get, put};
use crate::process_harness::{Process, Rig, simulators};

/// The binary, run by a shell with these limits.
fn limited(limits: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("{limits}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_valuation-server")]);
    command.env_clear().stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn with_few_files_fewer_clients_are_accepted_and_no_open_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let command = limited("ulimit -n 512");
    let database = folder.path().join("v.sqlite");
    let flags = ["--admin-listen", "127.0.0.1:0"];
    let mut process = Process::of(command, &database, &supercar, &premium, &flags).await;
    let said = process.said.join("\n");
    assert!(said.contains("this process may open 512 files"), "{said}");
    assert!(said.contains("at most 154 and 51 are taken; raise the limit (ulimit -n)"), "{said}");
    let line = process.until_logged("operators: http://").await;
    let admin = line.split("http://").nth(1).unwrap().parse().unwrap();

    let (mut crowd, mut operators, mut served) = (Vec::new(), Vec::new(), 0);
    for number in 0..300 {
        let mut client = Client::connect(process.address).await;
        let request = put(&format!("/valuations/F{number}"), "{\"mileage\": 1}");
        client.send(&request).await;
        let answer = client.answer().await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        // A rejected client goes. Some are answered at once, others are closed without an answer.
        if answer.status == 200 {
            served += 1;
            crowd.push(client);
        }
        let operator = Client::operator(admin).await;
        operators.push(operator);
    }
    assert_eq!(served, 154);
    let mut operator = Client::operator(admin).await;
    operator.send(admin_get("/readyz")).await;
    assert_eq!(operator.answer().await.status, 200);
    crowd[0].send(get("/valuations/F0")).await;
    assert_eq!(crowd[0].answer().await.status, 200, "who is connected is served");

    drop((crowd, operators, operator));
    process.signal("TERM");
    let mut log = Vec::new();
    while let Some(line) = process.next_line().await {
        log.push(line);
    }
    assert!(!log.iter().any(|line| line.contains("accepting")), "{log:?}");
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_limit_on_files_is_raised_as_far_as_the_system_allows() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let command = limited("ulimit -S -n 300 && ulimit -H -n 700");
    let database = folder.path().join("v.sqlite");
    let flags = ["--max-connections", "200", "--max-puts", "50"];
    let process = Process::of(command, &database, &supercar, &premium, &flags).await;
    assert!(!process.said.join("\n").contains("are taken"), "{:?}", process.said);
    for number in 0..200 {
        let mut client = Client::connect(process.address).await;
        client.send(put(&format!("/valuations/F{number}"), "{\"mileage\": 1}")).await;
        assert_eq!(client.answer().await.status, 200);
    }
}

/// Sets how many files the process may open from now on; false if there is no `prlimit`.
fn may_open(process: &Process, files: u32) -> bool {
    let id = process.child.id().unwrap().to_string();
    let limit = format!("--nofile={files}:");
    match std::process::Command::new("prlimit").args(["--pid", &id, &limit]).status() {
        Ok(status) => status.success(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn while_no_file_can_be_opened_connected_clients_are_served_and_others_wait() {
    let mut rig = Rig::start(Fault::NONE, &[]).await;
    let process = &mut rig.process;
    let mut kept = Client::connect(process.address).await;
    kept.send(put("/valuations/A", "{\"mileage\": 1}")).await;
    assert_eq!(kept.answer().await.status, 200);

    if !may_open(process, 3) {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no prlimit");
        let _ = writeln!(std::io::stderr(), "skipped: no prlimit to take a process's files with");
        return;
    }
    let mut waiting = Client::connect(process.address).await;
    waiting.send(get("/valuations/A")).await;
    let line = process.until_logged("accepting a connection failed; pausing").await;
    assert!(line.contains("Too many open files"), "{line}");
    kept.send(get("/valuations/A")).await;
    assert_eq!(kept.answer().await.status, 200, "who is connected is served");
    // A connection to a provider is one more file. That there is none is not the provider's fault.
    kept.send(put("/valuations/B", "{\"mileage\": 1}")).await;
    assert_eq!(kept.answer().await.status, 503);
    let line = process.until_logged("SuperCar Valuations: LOCAL").await;
    assert!(line.contains("Too many open files") && line.contains("does not count"), "{line}");
    // A line a second, and not one each time that it is tried.
    let line = process.until_logged("accepting a connection failed; pausing").await;
    assert!(!line.contains("withheld=0"), "{line}");

    assert!(may_open(process, 256));
    assert_eq!(waiting.answer().await.status, 200);
    kept.send(put("/valuations/B", "{\"mileage\": 1}")).await;
    assert_eq!(kept.answer().await.status, 200);
}

#[tokio::test]
async fn calls_that_could_not_be_stored_by_the_stop_are_in_the_log_and_in_the_exit_code() {
    let mut rig = Rig::start(Fault::always(Mode::Hang), &["--provider-timeout", "300ms"]).await;
    rig.premium.set_fault(Fault::always(Mode::Hang));
    let mut client = rig.put_in_flight().await;
    std::fs::rename(&rig.database, rig.folder.path().join("elsewhere")).unwrap();
    let process = &mut rig.process;
    assert_eq!(client.answer().await.status, 503);
    process.signal("TERM");
    for _ in 0..2 {
        let line = process.until_logged("could not be stored in ProviderLogs").await;
        assert!(line.contains("vrm=A"), "{line}");
    }
    process.until_logged("calls=2").await;
    assert_eq!(process.exit_code().await, Some(4));
}
