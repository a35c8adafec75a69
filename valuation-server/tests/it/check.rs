//! `check` and `--print-config`: what they say, and that they change nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use tokio::process::Command;
use valuation_server::demo::simulator::{Pace, Simulator};
use valuation_server::domain::Provider;
use valuation_server::store::{Store, StoreConfig};

use crate::process_harness::{Process, binary, simulators};
use crate::stub::{Stub, alone, response};

/// All files in a folder, with their content.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
        .collect()
}

async fn said(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn check(database: &Path, supercar: &Simulator, premium: &Simulator) -> Command {
    let url = |simulator: &Simulator| format!("http://{}", simulator.address());
    let mut command = binary();
    command
        .stdout(std::process::Stdio::piped())
        .args(["check", "--supercar-url", &url(supercar), "--premium-url", &url(premium)])
        .arg("--database")
        .arg(database);
    command
}

#[tokio::test]
async fn before_the_first_start_nothing_is_wrong_and_no_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let database = folder.path().join("v.sqlite");
    let (code, out, _) = said(&mut check(&database, &supercar, &premium)).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("v.sqlite: not there yet; serve makes it"), "{out}");
    assert!(out.contains("SuperCar Valuations at http://127.0.0.1"), "{out}");
    // The simulators answer 404 there, which proves nothing.
    assert!(out.ends_with("Nothing wrong was found; 2 of 4 checks prove nothing.\n"), "{out}");
    assert_eq!(files(folder.path()), BTreeMap::new());
    assert_eq!((supercar.calls(), premium.calls()), (0, 0), "nobody was asked for a valuation");
}

#[tokio::test]
async fn a_database_of_ours_is_recognised_and_left_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let database = folder.path().join("a b%20?#.sqlite");
    let store = Store::open(&StoreConfig::new(&database)).await.unwrap();
    store.shutdown().await;
    drop(store);
    let before = files(folder.path());
    let (code, out, _) = said(&mut check(&database, &supercar, &premium)).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("of this server, schema version 4"), "{out}");
    assert_eq!(files(folder.path()), before);
}

#[tokio::test]
async fn it_may_run_next_to_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let database = folder.path().join("v.sqlite");
    let mut server = Process::start(&database, &supercar, &premium).await;
    let (code, out, _) = said(&mut check(&database, &supercar, &premium)).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("of this server, schema version 4"), "{out}");
    server.signal("TERM");
    server.until_logged("stopped; everything is stored").await;
}

#[tokio::test]
async fn what_a_killed_server_left_is_read_with_its_log_and_stays_byte_for_byte() {
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    for left in ["all of it", "no shared memory", "no log either"] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("v.sqlite");
        let mut server = Process::start(&database, &supercar, &premium).await;
        server.kill().await;
        let beside = |suffix: &str| folder.path().join(format!("v.sqlite{suffix}"));
        if left != "all of it" {
            std::fs::remove_file(beside("-shm")).unwrap();
        }
        if left == "no log either" {
            std::fs::remove_file(beside("-wal")).unwrap();
        }
        let before = files(folder.path());
        let (code, out, _) = said(&mut check(&database, &supercar, &premium)).await;
        // What the killed server wrote is in its log alone.
        let found = if left == "no log either" { "empty; serve" } else { "of this server, schema" };
        assert_eq!(code, 0, "{left}: {out}");
        assert!(out.contains(found), "{left}: {out}");
        assert!(files(folder.path()) == before, "{left}: a file was changed");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_the_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "remember the milk. ".repeat(100)).unwrap();
    let before = files(folder.path());
    let (code, out, _) = said(&mut check(&text, &supercar, &premium)).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("FAIL  cannot use the database") && out.contains("notes.txt"), "{out}");
    assert!(out.ends_with("1 of 4 checks failed.\n"), "{out}");
    assert_eq!(files(folder.path()), before);

    let database = folder.path().join("no-such-folder").join("v.sqlite");
    let supercar = Simulator::start(Provider::SuperCar, alone(3), Pace::INSTANT).await.unwrap();
    let mut command = check(&database, &supercar, &premium);
    supercar.stop().await;
    let (code, out, _) = said(&mut command).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("its folder does not exist"), "{out}");
    assert!(out.contains("FAIL  SuperCar Valuations at http://127.0.0."), "{out}");
    assert!(out.contains("CONNECT"), "{out}");
    assert!(out.contains("?     Premium Car Valuations at "), "{out}");
    assert!(out.ends_with("2 of 4 checks failed.\n"), "{out}");
}

#[tokio::test]
async fn a_damaged_database_is_reported_though_its_schema_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let database = folder.path().join("v.sqlite");
    let store = Store::open(&StoreConfig::new(&database)).await.unwrap();
    store.shutdown().await;
    drop(store);
    let mut bytes = std::fs::read(&database).unwrap();
    // The root of the last table or index: the first page, with the schema, is whole.
    let last = bytes.len() - 4096;
    bytes[last..].fill(0xff);
    std::fs::write(&database, &bytes).unwrap();
    let (code, out, _) = said(&mut check(&database, &supercar, &premium)).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("v.sqlite: it is damaged ("), "{out}");
    assert_eq!(std::fs::read(&database).unwrap(), bytes);
}

#[tokio::test]
async fn what_a_providers_status_proves_is_said_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    for (status, label, part, code) in [
        ("200 OK", "ok   ", "the first call shows", 0),
        ("301 Moved Permanently", "?    ", "has the URL moved?", 0),
        ("401 Unauthorized", "FAIL ", "credentials and keys in the URL", 1),
        ("404 Not Found", "?    ", "says nothing about the path of valuations", 0),
        ("503 Service Unavailable", "FAIL ", "unhealthy", 1),
    ] {
        let stub = Stub::start(vec![response(status, b"")]).await;
        let url = format!("http://user:s3cret@{}/v1/?key=k3y", stub.address);
        let mut command = binary();
        command
            .stdout(std::process::Stdio::piped())
            .args(["check", "--supercar-url", &url, "--premium-url", &url, "--database"])
            .arg(folder.path().join("v.sqlite"));
        let (exit, out, _) = said(&mut command).await;
        let line = out.lines().find(|line| line.contains("SuperCar")).unwrap();
        assert!(line.starts_with(label) && line.contains(part), "{out}");
        assert_eq!(exit, code, "{out}");
        assert!(!out.contains("s3cret") && !out.contains("k3y"), "{out}");
        // Asked as a question is, and for no valuation.
        let heads = stub.heads();
        assert_eq!(heads.len(), 2);
        assert!(heads[0].starts_with("HEAD /v1?key=k3y HTTP/1.1\r\n"), "{heads:?}");
        assert!(heads[0].contains("authorization: Basic dXNlcjpzM2NyZXQ="), "{heads:?}");
    }
}

#[tokio::test]
async fn a_setting_that_is_wrong_is_named_and_the_code_is_2() {
    let (code, out, log) = said(binary().arg("check").stdout(std::process::Stdio::piped())).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(log.contains("--supercar-url"), "{log}");
}

#[tokio::test]
async fn print_config_prints_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("v.sqlite");
    let mut command = binary();
    command
        .stdout(std::process::Stdio::piped())
        .args(["serve", "--print-config", "--supercar-url", "http://u:p4ss@h/?key=k3y"])
        .arg("--database")
        .arg(&database)
        .env("VALUATION_PREMIUM_URL", "http://h2")
        .env("VALUATION_ADMIN_TOKEN", "0123456789abcdef");
    let (code, out, log) = said(&mut command).await;
    assert_eq!((code, log.as_str()), (0, ""));
    let line = |key: &str| out.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    let url = line("# supercar-url");
    assert!(url.contains("\"http://REDACTED@h/?key=REDACTED\""), "{out}");
    assert!(url.ends_with("# flag --supercar-url; a secret, to be given again"), "{out}");
    assert!(line("premium-url").ends_with("# environment VALUATION_PREMIUM_URL"), "{out}");
    assert!(line("# admin-token").contains("\"REDACTED\""), "{out}");
    assert!(line("min-calls").ends_with("# default"), "{out}");
    assert_eq!(files(folder.path()), BTreeMap::new());
}
