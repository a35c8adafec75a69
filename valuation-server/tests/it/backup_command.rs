//! `backup`, as an operator runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use valuation_server::demo::simulator::Fault;
use valuation_server::domain::Entry;

use crate::http_harness::{Client, put};
use crate::log_support::{
    command, database_and_log, keeping_its_log, killed, log_of, of_the_first_version, row, run,
};
use crate::process_harness::{Process, Rig};
use crate::report_support::insert;
use crate::store_support::{Place, call, count};

async fn backup(place: &Place, target: &Path, more: &[&str]) -> (i32, String, String) {
    let arguments = [&[target.to_str().unwrap()], more].concat();
    run(command("backup", &place.path(), &arguments)).await
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| name(entry).unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_has_every_row_and_is_one_file() {
    let place = log_of(5_000).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("backup.sqlite");
    let (code, out, error) = backup(&place, &target, &[]).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.contains("integrity_check: ok") && out.contains("ProviderLogs 5000"), "{out}");
    assert_eq!(names(elsewhere.path()), ["backup.sqlite"]);
    let copy = Connection::open(&target).unwrap();
    assert_eq!(count(&copy, "ProviderLogs"), 5_000);
    drop(copy);
    // The same users may read both.
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(backup(&place, &target, &["--force"]).await.0, 0);
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn it_ends_next_to_a_server_that_commits_all_the_time_and_the_commits_go_on() {
    let place = log_of(20_000).await;
    let store = place.open();
    let target = place.folder.path().join("backup.sqlite");
    let mut running =
        command("backup", &place.path(), &[target.to_str().unwrap()]).spawn().unwrap();
    let mut committed = 0;
    let status = loop {
        store.commit(Entry { valuation: None, calls: vec![call("V")] }).await.unwrap();
        committed += 1;
        if let Some(status) = running.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(0));
    let rows = count(&Connection::open(&target).unwrap(), "ProviderLogs");
    assert!((20_000..=20_000 + committed).contains(&rows), "{rows} of {committed}");
    store.shutdown().await;
}

#[tokio::test]
async fn a_server_starts_on_a_restored_backup_as_on_the_database_of_that_time() {
    let mut rig = Rig::start(Fault::NONE, &[]).await;
    let asked = |mark: &'static str, address| async move {
        let mut client = Client::connect(address).await;
        client.send(put(&format!("/valuations/{mark}"), "{\"mileage\": 1}")).await;
        client.answer().await.status
    };
    assert_eq!(asked("A", rig.process.address).await, 200);
    let target = rig.folder.path().join("backup.sqlite");
    let made = run(command("backup", &rig.database, &[target.to_str().unwrap()])).await;
    assert_eq!(made.0, 0, "{}", made.2);
    assert_eq!(asked("B", rig.process.address).await, 200);
    rig.process.kill().await;

    for suffix in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", rig.database.display())).unwrap();
    }
    fs::copy(&target, &rig.database).unwrap();
    rig.process = Process::start(&rig.database, &rig.supercar, &rig.premium).await;
    assert_eq!(rig.rows("vehicle_valuation"), 1);
    assert_eq!(asked("C", rig.process.address).await, 200);
    assert_eq!(rig.rows("ProviderLogs"), 2);
    rig.stop().await;
}

#[tokio::test]
async fn the_log_of_a_killed_server_and_an_older_schema_are_copied_as_they_are() {
    let place = log_of(3).await;
    let conn = keeping_its_log(&place);
    insert(&conn, &[row(3)]);
    let left = killed(&place);
    let before = database_and_log(&left);
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("backup.sqlite");
    assert_eq!(backup(&left, &target, &[]).await.0, 0);
    assert!(database_and_log(&left) == before);
    assert_eq!(count(&Connection::open(&target).unwrap(), "ProviderLogs"), 4);

    let older = of_the_first_version();
    let (code, out, error) = backup(&older, &target, &["--force"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("schema version 1") && out.contains("ProviderLogs 2"), "{out}");
}

#[tokio::test]
async fn an_existing_file_is_replaced_only_by_force_and_a_database_in_use_never() {
    let place = log_of(1).await;
    let target = place.folder.path().join("backup.sqlite");
    fs::write(&target, "another's").unwrap();
    let (code, _, error) = backup(&place, &target, &[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("backup.sqlite exists; name another file, or give --force"), "{error}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "another's");

    let log = place.folder.path().join("backup.sqlite-wal");
    fs::write(&log, "").unwrap();
    let (code, _, error) = backup(&place, &target, &["--force"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("is a database in use"), "{error}");
    // SQLite would read it as the log of the copy.
    fs::remove_file(&target).unwrap();
    for suffix in ["-wal", "-journal"] {
        let left = place.folder.path().join(format!("backup.sqlite{suffix}"));
        fs::write(&left, "").unwrap();
        let (code, _, error) = backup(&place, &target, &[]).await;
        assert_eq!(code, 1);
        assert!(error.contains("is a database in use"), "{suffix}: {error}");
        assert!(!target.exists());
        fs::remove_file(left).unwrap();
    }
    fs::write(&target, "another's").unwrap();

    let before = place.contents();
    let (code, _, error) = backup(&place, &place.path(), &["--force"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("is the database itself"), "{error}");
    assert_eq!(place.contents(), before);
    assert_eq!(backup(&place, &target, &["--force"]).await.0, 0);
    assert_eq!(count(&Connection::open(&target).unwrap(), "ProviderLogs"), 1);
}

#[tokio::test]
async fn a_full_disk_a_missing_folder_and_a_damaged_database_are_errors_and_leave_nothing() {
    let place = log_of(5_000).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("backup.sqlite");
    let mut shell = tokio::process::Command::new("sh");
    let script = "ulimit -f 100; exec \"$0\" backup --database \"$1\" \"$2\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_valuation-server")]);
    shell.arg(place.path()).arg(&target).env_clear().env("PATH", "/usr/bin:/bin");
    let out = shell.output().await.unwrap();
    let error = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot write") && error.contains("backup.sqlite.part"), "{error}");
    assert_eq!(names(elsewhere.path()), [""; 0]);

    let (code, _, error) = backup(&place, &elsewhere.path().join("no/backup.sqlite"), &[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("No such file or directory"), "{error}");

    let length = fs::metadata(place.path()).unwrap().len();
    let mut bytes = fs::read(place.path()).unwrap();
    let middle = usize::try_from(length / 2).unwrap() / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0xa5);
    fs::write(place.path(), bytes).unwrap();
    let (code, _, error) = backup(&place, &target, &[]).await;
    assert_eq!(code, 1, "a damaged database was copied");
    assert!(!error.is_empty());
    assert_eq!(names(elsewhere.path()), [""; 0]);
}
