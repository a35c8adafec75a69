//! Shared by the tests of `logs`, `export` and `backup`: a log, and the commands on it.

use std::path::Path;
use std::process::{Output, Stdio};

use rusqlite::Connection;
use tokio::process::Command;

use crate::process_harness::binary;
use crate::report_support::{LogRow, insert};
use crate::store_support::Place;

/// 1 October 2026 in UTC, in milliseconds.
pub(crate) const OCTOBER: i64 = 1_790_812_800_000;
pub(crate) const SUPERCAR: &str = "SuperCar Valuations";
pub(crate) const PREMIUM: &str = "Premium Car Valuations";

/// A row each minute: each tenth fails, and the next is its rescue.
pub(crate) fn row(number: i64) -> LogRow {
    let (has_failed, is_rescue) = (number % 10 == 8, number % 10 == 9);
    LogRow {
        at: Ok(OCTOBER + number * 60_000),
        provider: if is_rescue { PREMIUM } else { SUPERCAR },
        duration_ms: number,
        response_code: (!has_failed).then_some(200),
        error_code: has_failed.then_some("TIMEOUT"),
        outcome: Some(if has_failed { "failure" } else { "success" }),
        rescue: Some(is_rescue),
    }
}

/// A database with so many rows, ids 1 and up.
pub(crate) async fn log_of(rows: i64) -> Place {
    let made = move || {
        let place = Place::new();
        place.make();
        insert(&place.neighbour(), &(0..rows).map(row).collect::<Vec<_>>());
        place
    };
    tokio::task::spawn_blocking(made).await.unwrap()
}

pub(crate) fn command(name: &str, database: &Path, arguments: &[&str]) -> Command {
    let mut command = binary();
    command.arg(name).arg("--database").arg(database).args(arguments);
    command.stdout(Stdio::piped());
    command
}

/// The exit code, what was printed, and what was reported.
pub(crate) async fn run(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

pub(crate) async fn printed(name: &str, place: &Place, arguments: &[&str]) -> String {
    let (code, out, error) = run(command(name, &place.path(), arguments)).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    out
}

/// The ids of JSON lines.
pub(crate) fn ids(jsonl: &str) -> Vec<i64> {
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_i64();
    jsonl.lines().map(|line| id(line).unwrap()).collect()
}

/// A copy of a database with its write-ahead log, as a killed server leaves them.
pub(crate) fn killed(place: &Place) -> Place {
    let copy = Place::new();
    for suffix in ["", "-wal"] {
        let name = format!("valuations.sqlite{suffix}");
        std::fs::copy(place.folder.path().join(&name), copy.folder.path().join(&name)).unwrap();
    }
    copy
}

/// The database and its log; shared memory has nothing that must last.
pub(crate) fn database_and_log(place: &Place) -> [Vec<u8>; 2] {
    ["", "-wal"].map(|suffix| {
        std::fs::read(place.folder.path().join(format!("valuations.sqlite{suffix}"))).unwrap()
    })
}

/// A connection of which the log is not carried into the file when it is closed.
pub(crate) fn keeping_its_log(place: &Place) -> Connection {
    let conn = place.neighbour();
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    conn
}

/// A database as the first version made it.
pub(crate) fn of_the_first_version() -> Place {
    let place = Place::new();
    let first =
        concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/001_valuations_and_provider_logs.sql");
    let conn = place.neighbour();
    conn.execute_batch(&std::fs::read_to_string(first).unwrap()).unwrap();
    conn.execute_batch(
        r#"PRAGMA user_version = 1;
        INSERT INTO "ProviderLogs" ("vrm", "providerName", "requestedAt", "requestDurationMs",
            "requestUrl", "responseCode", "errorCode") VALUES
            ('A', 'SuperCar Valuations', '2025-01-01T00:00:00.000Z', 5, 'u', 404, 'STATUS'),
            ('A', 'SuperCar Valuations', '2025-01-01T00:01:00.000Z', 5, 'u', 503, 'STATUS');"#,
    )
    .unwrap();
    place
}
