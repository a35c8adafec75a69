//! `rollups`, as an operator runs it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::AtomicBool;

use rusqlite::Connection;

use valuation_server::demo::simulator::Fault;
use valuation_server::tools::{DatabaseArgs, RollupsArgs};

use crate::http_harness::{Client, put};
use crate::process_harness::{Rig, binary};
use crate::report_support::{LogRow, insert, number};
use crate::store_support::{OLDER_TABLE, Place, count};

/// 1 October 2026, in milliseconds.
const OCTOBER: i64 = 1_790_812_800_000;

fn rows(count: i64) -> Vec<LogRow> {
    let row = |number: i64| LogRow {
        at: Ok(OCTOBER + number * 60_007),
        provider: "SuperCar Valuations",
        duration_ms: number % 700,
        response_code: Some(200),
        error_code: None,
        outcome: Some("success"),
        rescue: Some(false),
    };
    (0..count).map(row).collect()
}

/// As the version before the rollups left it, with this many rows.
fn older_version(count: i64) -> Place {
    let place = Place::new();
    place.make();
    let conn = place.neighbour();
    conn.execute_batch(
        "DROP TABLE call_hours; DROP TABLE call_durations; DROP TABLE rollup_mark; DROP TABLE log_chain;
        PRAGMA user_version = 3",
    )
    .unwrap();
    insert(&conn, &rows(count));
    place
}

/// Of the sums, of each of their tables, and of the rows; and the mark.
fn sums(conn: &Connection) -> [u64; 5] {
    [
        "SELECT sum(calls) FROM call_hours",
        "SELECT sum(calls) FROM call_durations WHERE span = 3600",
        "SELECT sum(calls) FROM call_durations WHERE span = 86400",
        "SELECT count(*) FROM ProviderLogs",
        "SELECT countedTo FROM rollup_mark",
    ]
    .map(|sql| number(conn, sql))
}

async fn run(command: &str, database: &Path, more: &[&str]) -> (i32, String, String) {
    let mut process = binary();
    process.arg(command).arg("--database").arg(database).args(more).stdout(Stdio::piped());
    let Output { status, stdout, stderr } = process.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test]
async fn the_log_of_an_earlier_version_is_summed_once_and_its_report_stays_the_same() {
    let place = tokio::task::spawn_blocking(|| older_version(7_001)).await.unwrap();
    let report = || async {
        let (code, out, _) = run("report", &place.path(), &["--format", "csv"]).await;
        assert_eq!(code, 0);
        let lines = out.lines().filter(|line| !line.starts_with("# state: made at "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = report().await;
    for _ in 0..2 {
        let done = "the rollups and the hash chain have all rows up to id 7001\n";
        let found = run("rollups", &place.path(), &[]).await;
        assert_eq!(found, (0, done.to_owned(), String::new()));
        assert_eq!(sums(&place.neighbour()), [7_001; 5]);
    }
    assert_eq!(report().await, before);
}

#[test]
fn stopped_after_a_piece_it_goes_on_where_it_was() {
    let place = older_version(600);
    let database = DatabaseArgs { database: Some(place.path().into()), config: None };
    let command = RollupsArgs { database };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _context = runtime.enter();
    let run = |is_stopped| command.run([], &AtomicBool::new(is_stopped));
    for done in [240, 480] {
        assert!(run(true).unwrap_err().is_interrupted());
        assert_eq!(sums(&place.neighbour()), [done, done, done, 600, done]);
    }
    run(false).unwrap();
    assert_eq!(sums(&place.neighbour()), [600; 5]);
}

#[tokio::test]
async fn next_to_a_server_each_row_is_counted_once_and_the_server_goes_on() {
    let mut rig = Rig::start(Fault::NONE, &[]).await;
    let mut client = Client::connect(rig.process.address).await;
    let body = "{\"mileage\": 1}";
    client.send(put("/valuations/A", body)).await;
    assert_eq!(client.answer().await.status, 200);
    let conn = Connection::open(&rig.database).unwrap();
    insert(&conn, &rows(6_000));
    let builds = run("rollups", &rig.database, &[]);
    let puts = async {
        for mark in ["B", "C", "D"] {
            client.send(put(&format!("/valuations/{mark}"), body)).await;
            assert_eq!(client.answer().await.status, 200);
        }
    };
    let ((code, _, error), ()) = tokio::join!(builds, puts);
    assert_eq!((code, error.as_str()), (0, ""));
    let (code, ..) = run("rollups", &rig.database, &[]).await;
    assert_eq!(code, 0);
    assert_eq!(sums(&conn), [6_004; 5]);
    drop(conn);
    rig.stop().await;
}

#[tokio::test]
async fn a_database_of_the_older_service_is_migrated_as_serve_does() {
    let place = Place::new();
    let conn = Connection::open(place.path()).unwrap();
    conn.execute_batch(OLDER_TABLE).unwrap();
    conn.execute_batch("INSERT INTO vehicle_valuation VALUES ('OLD1', 22350, 24750)").unwrap();
    let (code, out, error) = run("rollups", &place.path(), &[]).await;
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(out, "the rollups and the hash chain have all rows up to id 0\n");
    assert_eq!((count(&conn, "vehicle_valuation"), count(&conn, "ProviderLogs")), (1, 0));
    let (code, _, error) = run("report", &place.path(), &[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("the log has no calls"), "{error}");
}

#[tokio::test]
async fn what_can_not_be_summed_is_refused_with_what_to_do_and_nothing_is_created() {
    let place = Place::new();
    let (code, _, error) = run("rollups", &place.path(), &[]).await;
    assert_eq!(code, 1);
    assert!(error.contains("there is no such file") && error.contains("--database"), "{error}");
    assert!(!place.path().exists());

    std::fs::write(place.path(), b"").unwrap();
    assert_eq!(run("rollups", &place.path(), &[]).await.0, 1);
    assert_eq!(place.contents(), [(place.path(), Vec::new())]);
    std::fs::remove_file(place.path()).unwrap();

    let place = tokio::task::spawn_blocking(|| older_version(10)).await.unwrap();
    assert_eq!(run("rollups", &place.path(), &[]).await.0, 0);
    let conn = place.neighbour();
    conn.execute_batch("DELETE FROM rollup_mark").unwrap();
    let (code, _, error) = run("rollups", &place.path(), &[]).await;
    assert_eq!(code, 1);
    // What it says to run is run as it is said.
    let (_, sql) = error.trim_end().split_once("run: ").unwrap();
    conn.execute_batch(sql).unwrap();
    assert_eq!(run("rollups", &place.path(), &[]).await.0, 0);
    assert_eq!(sums(&conn), [10; 5]);
}
