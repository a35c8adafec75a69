//! `archive` on PostgreSQL: rows move to a file, months go as a whole, and none is lost or doubled.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use valuation_server::report::{self, Method};
use valuation_server::store::{
    Archived, Archiver, AuditLog, Location, Trail, TrailFilter, archive_plan, verify,
};

use crate::report_equality::everything;
use crate::server_log_support::{NOVEMBER, OnServer, blocking, commit, commit_all, in_a_file};

/// October and the first days of November.
const CALLS: u64 = 5_000;

/// After all rows.
const LATER: i64 = NOVEMBER + 30 * 86_400;

fn archiver(database: &Location, to: &Path, before: i64) -> Archiver {
    let plan = archive_plan(database, to, before).unwrap();
    Archiver::open(database, to, &plan, std::time::UNIX_EPOCH).unwrap()
}

fn finish(mut archiver: Archiver) -> Archived {
    while let Some(piece) = archiver.copy().unwrap() {
        archiver.delete(piece).unwrap();
    }
    archiver.finish().unwrap().unwrap()
}

fn rows(places: &[&Location]) -> Vec<String> {
    let trail = Trail::open(places.iter().copied()).unwrap();
    let filter = TrailFilter::default();
    let calls = trail.pieces(&filter).unwrap().flat_map(Result::unwrap);
    calls.map(|call| serde_json::to_string(&call).unwrap()).collect()
}

fn report(places: &[&Location], method: Method) -> String {
    let mut log = AuditLog::open_files(places.iter().copied()).unwrap();
    let snapshot = log.snapshot().unwrap();
    let report = report::report(&snapshot, &everything(), method, Timestamp::UNIX_EPOCH).unwrap();
    format!("{report:?}")
}

/// Nothing is wrong with the chain, and no row is in two files.
fn assert_whole(places: &[&Location]) {
    let verified = verify(places.iter().copied(), &[], |_, _| {}).unwrap();
    assert_eq!((verified.count, verified.repeated, verified.rows), (0, 0, CALLS), "{verified}");
}

fn archive_in(folder: &TempDir) -> PathBuf {
    folder.path().join("old.sqlite")
}

async fn log() -> Option<OnServer> {
    let on_server = OnServer::new()?;
    let store = on_server.make().await;
    commit(&store, CALLS).await;
    store.shutdown().await;
    Some(on_server)
}

fn partitions(on_server: &OnServer) -> String {
    on_server.rows(
        r#"SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = '"ProviderLogs"'::regclass
            AND inhrelid::regclass::text < '"ProviderLogs_2026_12"' ORDER BY 1"#,
    )
}

#[tokio::test]
async fn the_archive_and_what_stays_are_those_of_a_file_and_archived_months_are_dropped() {
    let Some(on_server) = log().await else { return };
    let file = in_a_file(CALLS).await;
    blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        let (there, here) = (on_server.location(), Location::from(file.path()));
        let (all, reported) = (rows(&[&there]), report(&[&there], Method::Rows));
        let both = ["there", "here"].map(|name| folder.path().join(format!("{name}.sqlite")));
        for before in [NOVEMBER - 86_400, NOVEMBER + 86_400, LATER] {
            let plans = [(&there, &both[0]), (&here, &both[1])]
                .map(|(database, to)| archive_plan(database, to, before).unwrap());
            assert_eq!(plans[0], plans[1]);
            let moved = finish(archiver(&there, &both[0], before));
            let by_file = finish(archiver(&here, &both[1], before));
            assert_eq!(
                (moved.ids, moved.rows, moved.head),
                (by_file.ids, by_file.rows, by_file.head)
            );
            assert_eq!(rows(&[&there]), rows(&[&here]));
            let archive = Location::from(&both[0]);
            assert_eq!(rows(&[&archive]), rows(&[&Location::from(&both[1])]));
            assert_whole(&[&there, &archive]);
            let has_october = partitions(&on_server).contains("2026_10");
            assert_eq!(has_october, before < NOVEMBER);
        }
        let archive = Location::from(&both[0]);
        assert_eq!(rows(&[&there, &archive]), all);
        for method in [Method::Rows, Method::Rollups] {
            assert_eq!(report(&[&there, &archive], method), reported);
        }
        assert!(partitions(&on_server).contains("2026_11"), "the newest record stays");
    })
    .await;
}

#[tokio::test]
async fn a_run_that_ends_at_any_step_is_continued_and_no_row_is_lost_or_doubled() {
    let Some(first) = log().await else { return };
    let first = first.location();
    let before = blocking(move || rows(&[&first])).await;
    for steps in 0..=7 {
        let on_server = log().await.unwrap();
        let before = before.clone();
        blocking(move || {
            let (folder, database) = (tempfile::tempdir().unwrap(), on_server.location());
            let to = archive_in(&folder);
            let mut killed = archiver(&database, &to, LATER);
            for step in 0..steps {
                let Some(piece) = killed.copy().unwrap() else { break };
                if step + 1 < steps {
                    killed.delete(piece).unwrap();
                }
            }
            drop(killed);
            let archive = Location::from(&to);
            assert_eq!(rows(&[&database, &archive]), before, "after {steps} steps");
            let moved = finish(archiver(&database, &to, LATER));
            assert_eq!(moved.rows, CALLS - 50);
            assert_whole(&[&database, &archive]);
            assert_eq!(rows(&[&database, &archive]), before);
            assert!(!partitions(&on_server).contains("2026_10"));
        })
        .await;
    }
}

#[tokio::test]
async fn servers_write_while_a_month_waits_for_a_reader_and_it_is_dropped_after_that() {
    let Some(on_server) = log().await else { return };
    let store = on_server.open().await;
    let reader = on_server.server.client(&on_server.database);
    reader.execute(r#"BEGIN; SELECT count(*) FROM "ProviderLogs""#).unwrap();
    let (folder, database) = (tempfile::tempdir().unwrap(), on_server.location());
    let to = archive_in(&folder);
    let archiving = tokio::task::spawn_blocking(move || finish(archiver(&database, &to, LATER)));
    // All of October is copied, and waits to be dropped.
    let waits = r#"SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"#;
    while on_server.rows(waits).is_empty() {
        tokio::task::yield_now().await;
    }
    commit_all(&store, 6_000..6_100).await;
    assert!(partitions(&on_server).contains("2026_10"));
    drop(reader);
    let moved = crate::store_support::in_time("the archive", archiving).await.unwrap();
    assert_eq!(moved.rows, CALLS - 50);
    assert!(!partitions(&on_server).contains("2026_10"));
    commit_all(&store, 6_100..6_150).await;
    store.shutdown().await;
}

#[tokio::test]
async fn a_month_that_gets_a_late_row_stays_with_it() {
    let Some(on_server) = log().await else { return };
    let store = on_server.open().await;
    let (folder, database) = (tempfile::tempdir().unwrap(), on_server.location());
    let to = archive_in(&folder);
    let (mut archiver, piece) = {
        let (database, to) = (database.clone(), to.clone());
        blocking(move || {
            let mut archiver = archiver(&database, &to, LATER);
            let piece = archiver.copy().unwrap().unwrap();
            (archiver, piece)
        })
        .await
    };
    commit_all(&store, 100..150).await;
    let moved = blocking(move || {
        assert_eq!(archiver.delete(piece).unwrap(), 0);
        finish(archiver)
    });
    assert_eq!(moved.await.rows, CALLS - 50);
    let left = on_server.rows(r#"SELECT count(*), min("id") FROM "ProviderLogs_2026_10""#);
    assert_eq!(left, format!("50|{}\n", CALLS + 1));
    blocking(move || {
        let verified = verify([&database, &Location::from(&to)], &[], |_, _| {}).unwrap();
        assert_eq!((verified.count, verified.rows), (0, CALLS + 50), "{verified}");
    })
    .await;
    store.shutdown().await;
}

#[tokio::test]
async fn rows_are_deleted_one_by_one_if_a_reader_does_not_end() {
    let Some(on_server) = log().await else { return };
    let reader = on_server.server.client(&on_server.database);
    reader.execute(r#"BEGIN; SELECT count(*) FROM "ProviderLogs""#).unwrap();
    blocking(move || {
        let (folder, database) = (tempfile::tempdir().unwrap(), on_server.location());
        let to = archive_in(&folder);
        let mut archiver = archiver(&database, &to, LATER);
        archiver.limit_tries(Duration::ZERO);
        assert_eq!(finish(archiver).rows, CALLS - 50);
        drop(reader);
        assert_whole(&[&database, &Location::from(&to)]);
        assert_eq!(on_server.rows(r#"SELECT count(*) FROM "ProviderLogs_2026_10""#), "0\n");
    })
    .await;
}

#[tokio::test]
async fn a_row_that_was_changed_after_it_was_copied_is_not_deleted() {
    let Some(on_server) = log().await else { return };
    blocking(move || {
        let (folder, database) = (tempfile::tempdir().unwrap(), on_server.location());
        let to = archive_in(&folder);
        let mut archiver = archiver(&database, &to, LATER);
        let refused = loop {
            let piece = archiver.copy().unwrap().unwrap();
            on_server.execute(r#"UPDATE "ProviderLogs" SET "vrm" = 'X' WHERE "id" = 77"#);
            match archiver.delete(piece) {
                Ok(deleted) => assert_eq!(deleted, 0, "October goes as a whole"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(refused.starts_with("row 77 of ProviderLogs is not the same"), "{refused}");
        let count = on_server.rows(r#"SELECT count(*) FROM "ProviderLogs""#);
        assert_eq!(count, format!("{CALLS}\n"));
    })
    .await;
}
