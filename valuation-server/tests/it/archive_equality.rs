//! A report over a database and its archives is the report from before they were archived.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use valuation_server::report::{self, Method, Report, Terms};
use valuation_server::store::{Archiver, AuditLog, archive_plan};

use crate::report_equality::{START, everything, many, row, terms};
use crate::report_support::{LogRow, insert, number};
use crate::store_support::Place;

fn made(database: &Path, archives: &[PathBuf], terms: &Terms, method: Method) -> Option<Report> {
    let files: Vec<_> = [database]
        .into_iter()
        .chain(archives.iter().map(PathBuf::as_path))
        .map(Path::to_owned)
        .collect();
    let mut log = AuditLog::open_files(&files).unwrap();
    let snapshot = log.snapshot().unwrap();
    report::report(&snapshot, terms, method, jiff::Timestamp::MAX).ok()
}

/// A database with these rows, counted and sealed in records of these lengths.
pub(crate) fn sealed(rows: &[LogRow], lengths: &[usize]) -> Place {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = place.open();
    let (mut rows, mut lengths) = (rows, lengths.iter().cycle());
    runtime.block_on(async {
        while !rows.is_empty() {
            let (record, rest) = rows.split_at((*lengths.next().unwrap()).min(rows.len()));
            insert(&place.neighbour(), record);
            while store.catch_up().await.unwrap() {}
            rows = rest;
        }
        store.shutdown().await;
    });
    place
}

/// An archive command: its date, how many pieces it moves, and whether it ends between copy and delete.
#[derive(Clone, Debug)]
struct Run {
    before: i64,
    is_new_file: bool,
    ends: Option<(usize, bool)>,
}

fn run() -> impl Strategy<Value = Run> {
    let ends = prop::option::of((0_usize..3, any::<bool>()));
    (0_i64..9 * 86_400, any::<bool>(), ends).prop_map(|(at, is_new_file, ends)| Run {
        before: START + at,
        is_new_file,
        ends,
    })
}

fn archive(database: &Path, to: &Path, run: &Run) -> bool {
    let plan = archive_plan(database, to, run.before).unwrap();
    let mut archiver = Archiver::open(database, to, &plan, std::time::UNIX_EPOCH).unwrap();
    let mut pieces = 0;
    while let Some(piece) = archiver.copy().unwrap() {
        if let Some((count, is_copied)) = run.ends
            && count == pieces
        {
            if !is_copied {
                archiver.delete(piece).unwrap();
            }
            return is_copied;
        }
        archiver.delete(piece).unwrap();
        pieces += 1;
    }
    archiver.finish().unwrap();
    false
}

#[tokio::test]
async fn archived_rows_are_read_if_the_rollups_were_built_again_without_them() {
    let place = tokio::task::spawn_blocking(|| sealed(&many(500), &[30])).await.unwrap();
    let (database, to) = (place.path(), place.folder.path().join("old.sqlite"));
    let before = made(&database, &[], &everything(), Method::Rows);
    archive(&database, &to, &Run { before: START + 86_400, is_new_file: true, ends: None });
    let neighbour = place.neighbour();
    neighbour
        .execute_batch(
            "BEGIN; DELETE FROM call_hours; DELETE FROM call_durations;
            INSERT OR REPLACE INTO rollup_mark (id, countedTo) VALUES (1, 0); COMMIT",
        )
        .unwrap();
    let alone = made(&database, &[], &everything(), Method::Rollups).unwrap();
    assert_eq!(alone.gaps, [(1, 480)]);
    let archives = [to];
    assert_eq!(made(&database, &archives, &everything(), Method::Rollups), before);
    let store = place.open();
    while store.catch_up().await.unwrap() {}
    store.shutdown().await;
    assert_eq!(number(&neighbour, "SELECT sum(calls) FROM call_hours"), 20);
    assert_eq!(made(&database, &archives, &everything(), Method::Rollups), before);
    let alone = made(&database, &[], &everything(), Method::Rollups).unwrap();
    assert_eq!(alone.gaps, [(1, 480)], "the sums are without the archive's rows");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn archived_rows_are_reported_as_before(
        rows in prop::collection::vec(row(), 1..200),
        lengths in prop::collection::vec(1_usize..20, 1..5),
        runs in prop::collection::vec(run(), 1..4),
        terms in terms(),
    ) {
        let place = sealed(&rows, &lengths);
        let database = place.path();
        let before = made(&database, &[], &terms, Method::Rows);
        let mut archives: Vec<PathBuf> = Vec::new();
        let mut is_in_both = false;
        for run in &runs {
            // What is in two files belongs to the archive that was begun.
            if archives.is_empty() || (run.is_new_file && !is_in_both) {
                archives.push(place.folder.path().join(format!("{}.sqlite", archives.len())));
            }
            is_in_both = archive(&database, archives.last().unwrap(), run);
        }
        for method in [Method::Rows, Method::Rollups] {
            prop_assert_eq!(&made(&database, &archives, &terms, method), &before);
            // In any order, and with an archive as the database.
            let all: Vec<_> = archives.iter().rev().chain([&database, &archives[0]]).cloned().collect();
            prop_assert_eq!(&made(&archives[0], &all, &terms, method), &before);
        }
    }
}
