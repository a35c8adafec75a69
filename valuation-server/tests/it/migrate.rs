//! `migrate`: from SQLite to PostgreSQL and back.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;
use rusqlite::types::Value;
use tokio::runtime::{Builder, Runtime};
use valuation_server::store::{
    Backend, Location, MigrateError, Moved, Moving, PostgresConfig, Store, StoreConfig, StoreError,
    migrate, verify,
};

use crate::log_support::row;
use crate::postgres_server::PostgresServer;
use crate::report_support::insert;
use crate::store_support::{Place, count, entry, marks};

const NODE: &str = "it's-node-1";

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A database of this server, made by a store that was shut down, with its log sealed and counted.
pub(crate) fn made(change: impl FnOnce(&Connection)) -> Place {
    let place = Place::new();
    place.make();
    change(&place.neighbour());
    derive(&place);
    place
}

/// As `rollups` does.
pub(crate) fn derive(place: &Place) {
    let store = place.open();
    runtime().block_on(async {
        while store.catch_up().await.unwrap() {}
        store.shutdown().await;
    });
}

pub(crate) fn with_rows(rows: i64) -> Place {
    made(|conn| {
        insert(conn, &(0..rows).map(row).collect::<Vec<_>>());
        conn.execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            INSERT INTO vehicle_valuation
                SELECT printf('V%06d', i), 1000 + i / 100.0, 2000 + i, iif(i % 7, 'SuperCar Valuations', NULL) FROM n"
        ))
        .unwrap();
    })
}

fn moving(from: impl Into<Location>, to: impl Into<Location>) -> Moving {
    Moving { from: from.into(), to: to.into(), node: NODE.to_owned(), now: SystemTime::now() }
}

pub(crate) fn moved(
    from: impl Into<Location>,
    to: impl Into<Location>,
) -> Result<Moved, MigrateError> {
    migrate(&moving(from, to), &mut |_, _, _| ControlFlow::Continue(()))
}

#[track_caller]
pub(crate) fn refused(from: impl Into<Location>, to: impl Into<Location>, because: &str) {
    let error = moved(from, to).unwrap_err().to_string();
    assert!(error.contains(because), "{error}");
}

/// All rows of the tables that are moved, with the types of their values, and the highest id ever given.
fn contents(path: &Path) -> Vec<(&'static str, Vec<Vec<Value>>)> {
    let conn = Connection::open(path).unwrap();
    let tables = [
        "vehicle_valuation",
        "ProviderLogs",
        "log_chain",
        "call_hours",
        "call_durations",
        "rollup_mark",
        "history",
        "failover_state WHERE name <> 'migration'",
        "sqlite_sequence",
    ];
    let read = |table| {
        let mut select = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = select.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
        let rows: rusqlite::Result<Vec<Vec<Value>>> = select.query_map([], row).unwrap().collect();
        let mut rows = rows.unwrap();
        rows.sort_by_key(|row| format!("{row:?}"));
        (table, rows)
    };
    tables.map(read).into()
}

pub(crate) fn file(place: &Place, name: &str) -> Location {
    place.folder.path().join(name).into()
}

pub(crate) fn server_config(server: &PostgresServer, database: &str) -> StoreConfig {
    let (address, node) = (server.address(database), NODE.to_owned());
    let wait = Duration::from_secs(60);
    StoreConfig {
        queue_wait: wait,
        read_wait: wait,
        lock_wait: wait,
        ..StoreConfig::at(Backend::Postgres(PostgresConfig { address, connections: 2, node }))
    }
}

pub(crate) fn number(server: &PostgresServer, database: &str, select: &str) -> i64 {
    let rows = server.client(database).rows(select).unwrap();
    rows[0][0].as_deref().unwrap().parse().unwrap()
}

#[test]
fn there_and_back_a_file_has_the_same_rows_whatever_they_are() {
    let Some(server) = PostgresServer::shared() else { return };
    let source = made(|conn| {
        insert(conn, &(0..5_000).map(row).collect::<Vec<_>>());
        // Ids with gaps; times of no month, and of a wrong clock; NULL and empty texts.
        conn.execute_batch(
            "DELETE FROM ProviderLogs WHERE id IN (17, 4000);
            INSERT INTO ProviderLogs VALUES
                (6000, '', '', 'yesterday', -5, '', NULL, NULL, NULL, NULL, NULL),
                (6001, 'AB\u{e9}', 'x', '1970-01-01T00:00:00.000Z', 9, 'u', 0, '', '', '', 1),
                (6002, 'AB', 'x', '2126-01-01T00:00:00.000Z', 9, 'u', 0, '', '', 'failure', 0);
            INSERT INTO ProviderLogs SELECT 6003, vrm, providerName, requestedAt, requestDurationMs, requestUrl,
                responseCode, errorCode, errorMessage, outcome, rescue FROM ProviderLogs WHERE id = 1;
            UPDATE sqlite_sequence SET seq = 7000 WHERE name = 'ProviderLogs';
            INSERT INTO vehicle_valuation VALUES ('A', 1, 2.5, NULL), ('AA99BCD', 0.1 + 0.2, 99999999.99, 'x'),
                ('\u{e9}', 1.5, 1, '');
            INSERT INTO failover_state VALUES ('providers', 'it''s @ all', 'then');
            INSERT INTO history VALUES (10, 20, 's', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)",
        )
        .unwrap();
    });
    let database = server.database();
    let there = moved(source.path(), server.address(&database)).unwrap();
    assert!(there.is_equal() && there.added == 0, "{there:?}");
    let rows: Vec<_> = there.tables.iter().map(|table| (table.name, table.rows()[1])).collect();
    assert_eq!(rows[..2], [("vehicle_valuation", 3), ("ProviderLogs", 5_002)]);
    assert_eq!(number(server, &database, r#"SELECT "lastId" FROM log_head"#), 7_000);
    assert_eq!(number(server, &database, r#"SELECT count(*) FROM "ProviderLogs_2026_10""#), 4_999);
    assert_eq!(number(server, &database, r#"SELECT count(*) FROM "ProviderLogs_other""#), 3);
    let notes = "SELECT name FROM failover_state WHERE state LIKE 'it%'";
    let note = Some(format!("providers @ {NODE}"));
    assert_eq!(server.client(&database).rows(notes).unwrap(), [[note]]);

    let back = file(&source, "back.sqlite");
    let back_again = moved(server.address(&database), &back).unwrap();
    assert!(back_again.is_equal(), "{back_again:?}");
    let path = back.file().unwrap();
    for (found, expected) in contents(path).into_iter().zip(contents(&source.path())) {
        if expected.0 == "vehicle_valuation" {
            // An amount of more than two decimals is rounded.
            assert_eq!(found.1.len(), expected.1.len());
        } else {
            assert_eq!(found, expected);
        }
    }
    // The ids without rows are found in both.
    let verified = |place: Location| {
        let found = verify(std::slice::from_ref(&place), &[], |_, _| {}).unwrap().to_string();
        found.replace(&place.to_string(), "")
    };
    assert_eq!(verified(back.clone()), verified(source.path().into()));
}

#[test]
fn an_empty_database_is_moved_and_a_server_takes_it_over() {
    let Some(server) = PostgresServer::shared() else { return };
    let source = made(|_| {});
    let database = server.database();
    assert!(moved(source.path(), server.address(&database)).unwrap().is_equal());
    runtime().block_on(async {
        let store = Store::open(&server_config(server, &database)).await.unwrap();
        store.commit(entry("AA1")).await.unwrap();
        store.shutdown().await;
    });
    assert_eq!(number(server, &database, r#"SELECT max("id") FROM "ProviderLogs""#), 1);
    // It is a database of its own now.
    let because = "its table ProviderLogs has rows, which did not come by this command";
    refused(source.path(), server.address(&database), because);
}

#[test]
fn stopped_after_any_piece_it_goes_on_and_no_server_opens_what_is_unfinished() {
    let Some(server) = PostgresServer::shared() else { return };
    let source = with_rows(5_000);
    let database = server.database();
    let back = file(&source, "back.sqlite");
    for (from, to) in [
        (Location::from(source.path()), Location::from(server.address(&database))),
        (server.address(&database).into(), back.clone()),
    ] {
        let mut stops = 0;
        let moved = loop {
            let mut pieces = 0;
            let moved = migrate(&moving(&from, &to), &mut |_, _, _| {
                pieces += 1;
                if pieces > stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match moved {
                Err(MigrateError::Stopped) => stops += 1 + stops / 3,
                moved => break moved.unwrap(),
            }
            let config = match &to {
                Location::File(path) => StoreConfig::new(path),
                _ => server_config(server, &database),
            };
            let error = runtime().block_on(Store::open(&config)).unwrap_err();
            let StoreError::Open { problem, .. } = &error else { panic!("{error}") };
            assert!(
                problem.to_string().contains("run the same `valuation-server migrate` again"),
                "{error}"
            );
        };
        assert!(moved.is_equal() && stops > 10, "{stops}");
    }
    assert_eq!(contents(back.file().unwrap()), contents(&source.path()));
}

#[test]
fn next_to_a_server_that_writes_most_is_moved_and_the_rest_when_it_has_stopped() {
    let Some(server) = PostgresServer::shared() else { return };
    let source = with_rows(3_000);
    let database = server.database();
    let store = source.open();
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let writes = async {
                for mark in marks(1_000_000) {
                    store.commit(entry(&mark)).await.unwrap();
                    // Ordering: nothing else is read by it.
                    if has_ended.load(Ordering::Relaxed) {
                        return;
                    }
                }
            };
            runtime().block_on(writes);
        });
        for _ in 0..2 {
            let moved = moved(source.path(), server.address(&database)).unwrap();
            assert!(moved.is_equal(), "{moved:?}");
        }
        has_ended.store(true, Ordering::Relaxed);
        writing.join().unwrap();
    });
    let vrm = valuation_server::domain::Vrm::parse("V1").unwrap();
    assert!(runtime().block_on(store.forget(vrm)).unwrap());
    runtime().block_on(store.shutdown());
    let rest = moved(source.path(), server.address(&database)).unwrap();
    assert!(rest.is_equal() && rest.added == 0, "{rest:?}");
    let rows = count(&source.neighbour(), "ProviderLogs");
    assert_eq!(rest.tables[1].rows()[1], u64::from(rows));
    let forgotten = "SELECT count(*) FROM vehicle_valuation WHERE vrm = 'V1'";
    assert_eq!(number(server, &database, forgotten), 0);
}

#[test]
fn rows_that_were_archived_at_the_source_since_are_deleted() {
    let Some(server) = PostgresServer::shared() else { return };
    let source = with_rows(700);
    let database = server.database();
    moved(source.path(), server.address(&database)).unwrap();
    let conn = source.neighbour();
    conn.execute_batch(
        "DELETE FROM ProviderLogs WHERE id <= 240; DELETE FROM log_chain WHERE lastId <= 240",
    )
    .unwrap();
    let again = moved(source.path(), server.address(&database)).unwrap();
    assert!(again.is_equal() && again.tables[1].rows() == [460, 460], "{again:?}");
}

#[test]
fn a_process_that_was_killed_is_run_again() {
    let Some(server) = PostgresServer::shared() else { return };
    let source = with_rows(12_000);
    let database = server.database();
    let url = server.url(&database);
    let (credentials, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let url = format!("postgres://{}@{rest}", credentials.split_once(':').unwrap().0);
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_valuation-server"));
        command.env_clear().env("VALUATION_DATABASE_PASSWORD", "a secret: /?#");
        command.arg("migrate").arg("--from").arg(format!("sqlite:{}", source.path().display()));
        command.args(["--to", &url, "--node-name", NODE]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut child = command().spawn().unwrap();
    let client = server.client(&database);
    let deadline = Instant::now() + Duration::from_secs(60);
    while client.rows("SELECT 1 FROM log_chain LIMIT 1").is_ok_and(|rows| rows.is_empty())
        || client.rows("SELECT 1 FROM log_chain").is_err()
    {
        assert!(Instant::now() < deadline, "nothing is moved");
    }
    child.kill().unwrap();
    let killed = child.wait().unwrap();
    assert_eq!(killed.code(), None, "it had ended before");

    // PostgreSQL may not have noticed the end of the connection yet.
    let (code, out, error) = loop {
        let output = command().output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, error) = (text(output.stdout), text(output.stderr));
        assert!(Instant::now() < deadline, "{error}");
        if !error.contains("is in use by another `valuation-server migrate`") {
            break (output.status.code(), out, error);
        }
    };
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 10, "{out}");
    assert!(
        lines[2].starts_with("ProviderLogs              12000  ") && lines[2].ends_with("  yes"),
        "{out}"
    );
    assert_eq!(
        lines[9],
        format!("no row was added since; if the server is stopped, start it with --database {url}")
    );
}
