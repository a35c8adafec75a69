//! The log in PostgreSQL is read as the same log in a file is: byte for byte.

use std::time::Duration;

use jiff::Timestamp;
use valuation_server::report::{self, By, Method, Percent, Slow, Source, Terms};
use valuation_server::store::{AuditLog, Found, Location, Trail, TrailFilter, look, verify};

use crate::log_support::{PREMIUM, SUPERCAR};
use crate::postgres_server::PostgresServer;
use crate::report_equality::everything;
use crate::server_log_support::{NOVEMBER, OCTOBER, OnServer, blocking, commit, in_a_file};

const CALLS: u64 = 5_000;

/// A report in all formats.
fn report(place: &Location, terms: &Terms, method: Method) -> String {
    let mut log = AuditLog::open(place).unwrap();
    let snapshot = log.snapshot().unwrap();
    let made = Timestamp::UNIX_EPOCH;
    let report = report::report(&snapshot, terms, method, made).unwrap();
    let source = Source { database: "the log".to_owned(), method, made };
    let [table, csv] = [report::table(&report, &source), report::csv(&report, &source)];
    let [json, html] = [report::json(&report, &source), report::html(&report, &source)];
    [table, csv, json, html].join("\n")
}

fn reports(place: &Location) -> Vec<String> {
    let day = |day: i64| Some(OCTOBER / 60 + day * 1_440);
    let terms = [
        everything(),
        Terms { by: By::Day, from: day(1), to: day(20), ..everything() },
        Terms {
            from: day(3).map(|at| at + 17),
            to: day(33),
            slow: Some(Slow { asked_ms: 4_321 }),
            target: "99.9%".parse::<Percent>().ok(),
            ..everything()
        },
        Terms { provider: Some(PREMIUM.to_owned()), ..everything() },
    ];
    let all = terms.iter().flat_map(|terms| {
        [Method::Rollups, Method::Rows].map(|method| report(place, terms, method))
    });
    all.collect()
}

/// The rows of several filters, as `logs` and `export` print them.
fn trails(place: &Location) -> Vec<String> {
    let trail = Trail::open([place]).unwrap();
    let at = |seconds| Timestamp::from_second(seconds).ok();
    let all = TrailFilter::default();
    let filters = [
        all.clone(),
        TrailFilter { vrm: Some("V7".to_owned()), ..all.clone() },
        TrailFilter { provider: Some(PREMIUM.to_owned()), failed: true, ..all.clone() },
        TrailFilter { from: at(OCTOBER + 86_400), to: at(OCTOBER + 90_000), ..all.clone() },
        TrailFilter {
            provider: Some(SUPERCAR.to_owned()),
            from: at(NOVEMBER),
            failed: true,
            ..all.clone()
        },
        TrailFilter { vrm: Some("NONE".to_owned()), ..all },
    ];
    let mut texts = Vec::new();
    for filter in &filters {
        let pieces = trail.pieces(filter).unwrap().flat_map(Result::unwrap);
        let newest = trail.newest(filter, 70).unwrap();
        texts.push(format!("{:?}", trail.ids(filter).unwrap()));
        texts.extend(pieces.chain(newest).map(|call| serde_json::to_string(&call).unwrap()));
    }
    texts.push(format!("{:?}", trail.providers_unless("nobody").unwrap()));
    texts.push(format!("{:?}", trail.newest_id().unwrap()));
    texts
}

fn verified(place: &Location) -> String {
    let verified = verify([place], &[], |_, _| {}).unwrap();
    assert_eq!(verified.count, 0, "{verified}");
    verified.to_string()
}

#[tokio::test]
async fn reports_rows_and_the_verified_chain_are_the_same_byte_for_byte_as_of_a_file() {
    let Some(on_server) = OnServer::new() else { return };
    let store = on_server.make().await;
    commit(&store, CALLS).await;
    let file = in_a_file(CALLS).await;
    let (there, here) = (on_server.location(), Location::from(file.path()));
    blocking(move || {
        assert_eq!(verified(&there), verified(&here));
        for (there, here) in trails(&there).into_iter().zip(trails(&here)) {
            assert_eq!(there, here);
        }
        for (there, here) in reports(&there).into_iter().zip(reports(&here)) {
            assert!(there == here, "{there}\n\nbut in the file\n\n{here}");
        }
    })
    .await;
    store.shutdown().await;
}

#[tokio::test]
async fn a_changed_row_a_removed_row_and_a_lost_head_are_found() {
    let Some(on_server) = OnServer::new() else { return };
    let store = on_server.make().await;
    commit(&store, 200).await;
    store.shutdown().await;
    let findings = async || {
        let place = on_server.location();
        blocking(move || verify([place], &[], |_, _| {}).unwrap().to_string()).await
    };
    on_server.execute(r#"UPDATE "ProviderLogs" SET "outcome" = 'success' WHERE "id" = 9"#);
    let found = findings().await;
    assert!(found.contains("postgres://owner@127.0.0.1") && found.contains("1 finding"), "{found}");
    on_server.execute(r#"DELETE FROM "ProviderLogs" WHERE "id" > 150; DELETE FROM "log_chain" WHERE "lastId" > 150"#);
    let found = findings().await;
    assert!(found.contains("151") && found.contains("200"), "{found}");
    on_server.execute(r#"DELETE FROM "log_head""#);
    let found = findings().await;
    assert!(found.contains("log_head"), "{found}");
}

#[tokio::test]
async fn a_database_is_looked_at_without_a_change_and_one_without_a_log_is_named() {
    let Some(on_server) = OnServer::new() else { return };
    let place = on_server.location();
    let looked = async || {
        let place = place.clone();
        blocking(move || look(place).map_err(|error| error.to_string())).await
    };
    let opened = async || {
        let place = place.clone();
        blocking(move || AuditLog::open(place).map(drop).unwrap_err().to_string()).await
    };
    assert_eq!(looked().await, Ok(Found::Empty));
    let error = opened().await;
    assert!(error.ends_with("it has no tables of this server yet; start the server with it once"));
    on_server.execute("REVOKE CREATE ON SCHEMA public FROM pg_database_owner, PUBLIC");
    let error = looked().await.unwrap_err();
    assert!(error.contains(r#"GRANT CREATE ON SCHEMA "public" TO "owner""#), "{error}");
    on_server.execute("GRANT CREATE ON SCHEMA public TO pg_database_owner");
    on_server.execute("CREATE TABLE vehicle_valuation (vrm varchar(7) PRIMARY KEY)");
    assert_eq!(looked().await, Ok(Found::OlderService));
    on_server.execute("DROP TABLE vehicle_valuation");
    on_server.make().await.shutdown().await;
    assert_eq!(looked().await, Ok(Found::Ours { version: 1, latest: 1 }));
    on_server.execute("INSERT INTO valuation_server_schema (version) VALUES (7)");
    for error in [looked().await.unwrap_err(), opened().await] {
        assert!(error.contains("its schema is version 7"), "{error}");
    }
}

#[tokio::test]
async fn a_read_that_waits_is_ended_by_an_interrupt_from_another_thread() {
    let Some(on_server) = OnServer::new() else { return };
    let store = on_server.make().await;
    commit(&store, 50).await;
    let in_the_way = on_server.server.client(&on_server.database);
    in_the_way.execute("BEGIN; LOCK TABLE call_hours IN ACCESS EXCLUSIVE MODE").unwrap();
    let place = on_server.location();
    blocking(move || {
        let mut log = AuditLog::open(place).unwrap();
        let interrupt = log.interrupt();
        let reading = std::thread::spawn(move || {
            let ended = log.snapshot().map(drop).unwrap_err().to_string();
            (ended, log)
        });
        while !reading.is_finished() {
            interrupt.interrupt();
            std::thread::sleep(Duration::from_millis(10));
        }
        let (ended, mut log) = reading.join().unwrap();
        assert!(ended.contains("canceling statement"), "{ended}");
        drop(in_the_way);
        // Interrupts that came late may end this too.
        while log.snapshot().is_err() {}
    })
    .await;
    store.shutdown().await;
}

#[tokio::test]
async fn a_log_that_is_followed_does_not_wait_for_a_server_that_hangs() {
    let Some(mut server) = PostgresServer::own() else { return };
    let database = server.database();
    let config = crate::contract::on_postgres(&server, &database);
    let store = valuation_server::store::Store::open(&config).await.unwrap();
    commit(&store, 50).await;
    store.shutdown().await;
    blocking(move || {
        let place = Location::from(server.address(&database));
        let mut trail = Trail::open([&place]).unwrap();
        trail.limit_waits();
        assert_eq!(trail.version().unwrap(), 50);
        assert!(trail.is_current());
        server.pause();
        let error = trail.version().unwrap_err().to_string();
        assert!(error.contains("no answer from PostgreSQL within"), "{error}");
        server.resume();
        assert_eq!(Trail::open([&place]).unwrap().newest_id().unwrap(), Some(50));
        server.kill_9();
        while trail.is_current() {
            std::thread::sleep(Duration::from_millis(1));
        }
    })
    .await;
}
