//! A database that can't store says so, and recovers by itself.

use std::time::Duration;

use valuation_server::domain::Entry;
use valuation_server::store::{Store, StoreConfig, StoreError};

use crate::contract::{TestStore, contract};
use crate::store_support::{Place, at_once, count, entry, failed_call, in_time, marks, until, vrm};

contract!(
    a_lock_held_too_long_is_noticed_and_its_end_as_well,
    a_call_that_met_a_lock_is_logged_at_the_shutdown_if_the_lock_has_gone_by_then,
    a_missing_table_is_no_health_until_it_is_back,
    a_missing_table_of_the_chain_or_the_rollups_is_no_health_until_it_is_back,
    readers_that_failed_are_replaced_and_read_again_when_the_cause_is_gone,
    a_full_queue_makes_callers_wait_and_then_says_busy,
);

/// Stores until the database is full; gives the marks that were answered.
async fn fill(store: &Store) -> Vec<String> {
    let mut stored = Vec::new();
    for mark in marks(10_000) {
        let entry = Entry {
            calls: (0..20).map(|_| failed_call(&mark, &"x".repeat(500))).collect(),
            ..entry(&mark)
        };
        match store.commit(entry).await {
            Ok(_) => stored.push(mark),
            Err(StoreError::Unavailable(_)) => return stored,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the database never was full");
}

#[tokio::test]
async fn a_full_disk_is_noticed_reads_go_on_and_it_heals_by_itself() {
    let place = Place::new();
    let store = place.open();
    store.commit(entry("AA99BCD")).await.unwrap();
    assert!(store.can_store());

    store.limit_pages(Some(100)).await;
    let stored = fill(&store).await;
    assert!(!store.can_store());
    let refused = store.reserve().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert_eq!(refused.to_string(), "the database is not available: database or disk is full");

    // It stays so while the disk is full, whatever the writer tries meanwhile.
    let failed = store.stats().failed.get();
    for mark in marks(5) {
        let big = Entry { calls: vec![failed_call(&mark, "x"); 2_000], valuation: None };
        assert!(store.commit(big).await.is_err());
        assert!(!store.can_store());
    }
    assert_eq!(store.stats().failed.get(), failed + 5);

    for mark in &stored {
        assert!(store.find(&vrm(mark)).await.unwrap().is_some(), "{mark}");
        assert_eq!(store.calls(Some(&vrm(mark)), 100).await.unwrap().len(), 20, "{mark}");
    }

    store.limit_pages(None).await;
    until("well again", || store.can_store()).await;
    store.reserve().await.unwrap().commit(entry("NEW1")).await.unwrap();
    assert!(store.find(&vrm("NEW1")).await.unwrap().is_some());
}

#[tokio::test]
async fn an_entry_that_met_a_full_disk_left_nothing_and_is_stored_whole_and_once_when_there_is_room()
 {
    let place = Place::new();
    let store = place.open();
    let neighbour = place.neighbour();
    let logged = || -> Vec<(String, u32)> {
        neighbour
            .prepare(
                r#"SELECT "vrm", count(*) FROM "ProviderLogs" GROUP BY "vrm" ORDER BY min("id")"#,
            )
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    store.limit_pages(Some(1)).await;
    let mut stored: Vec<_> = fill(&store).await.into_iter().map(|mark| (mark, 20)).collect();
    assert_eq!(logged(), stored);
    let refused = format!("V{}", stored.len());
    assert_eq!(store.find(&vrm(&refused)).await.unwrap(), None);

    store.limit_pages(None).await;
    until("well again", || store.can_store()).await;
    assert_eq!(store.find(&vrm(&refused)).await.unwrap(), entry(&refused).valuation);
    stored.push((refused, 20));
    assert_eq!(logged(), stored);
    let integrity: String =
        neighbour.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}

async fn a_lock_held_too_long_is_noticed_and_its_end_as_well(place: TestStore) {
    let store = place.open_impatient().await;
    store.commit(entry("OLD1")).await.unwrap();
    let neighbour = place.other();
    neighbour.hold_up();

    let error = store.commit(entry("AA99BCD")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!store.can_store() && store.trouble().is_some());
    let refused = store.reserve().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(store.find(&vrm("OLD1")).await.unwrap().is_some());

    neighbour.let_go();
    until("well again", || store.can_store()).await;
    assert_eq!(store.calls(Some(&vrm("AA99BCD")), 10).await.unwrap().len(), 1, "the call was made");
    store.commit(entry("AA99BCD")).await.unwrap();
}

async fn a_call_that_met_a_lock_is_logged_at_the_shutdown_if_the_lock_has_gone_by_then(
    place: TestStore,
) {
    let store = place.open_impatient().await;
    let neighbour = place.other();
    neighbour.hold_up();
    store.commit(entry("AA99BCD")).await.unwrap_err();
    neighbour.let_go();
    in_time("the end", store.shutdown()).await;
    assert_eq!(neighbour.count("ProviderLogs"), 1);
}

async fn a_missing_table_is_no_health_until_it_is_back(place: TestStore) {
    let store = place.open().await;
    let neighbour = place.other();
    neighbour.break_table("ProviderLogs");
    let error = store.commit(entry("AA99BCD")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    // The probe ran right after that commit, before the writer could take another message.
    store.limit_pages(None).await;
    assert!(!store.can_store());

    neighbour.mend("ProviderLogs");
    until("well again", || store.can_store()).await;
    store.commit(entry("AA99BCD")).await.unwrap();
}

async fn a_missing_table_of_the_chain_or_the_rollups_is_no_health_until_it_is_back(
    place: TestStore,
) {
    let (store, neighbour) = (place.open().await, place.other());
    for table in ["log_chain", "call_hours", "call_durations", "rollup_mark"] {
        neighbour.break_table(table);
        store.commit(entry("AA99BCD")).await.unwrap_err();
        // As above.
        store.limit_pages(None).await;
        assert!(!store.can_store(), "{table}");
        neighbour.mend(table);
        until("well again", || store.can_store()).await;
        store.commit(entry("AA99BCD")).await.unwrap();
    }
}

#[tokio::test]
async fn a_mark_of_the_rollups_that_is_no_number_stops_no_commit() {
    let place = Place::new();
    let store = place.open();
    place.neighbour().execute_batch("UPDATE rollup_mark SET countedTo = 'x'").unwrap();
    store.commit(entry("AA99BCD")).await.unwrap();
    assert!(!store.catch_up().await.unwrap() && store.can_store());
}

#[tokio::test]
async fn a_table_of_the_name_archive_makes_no_archive() {
    let place = Place::new();
    in_time("the tables", place.open().shutdown()).await;
    place.neighbour().execute_batch("CREATE TABLE archive (id)").unwrap();
    place.open().commit(entry("AA99BCD")).await.unwrap();
}

async fn readers_that_failed_are_replaced_and_read_again_when_the_cause_is_gone(place: TestStore) {
    let store = place.open_with_one_reader().await;
    store.commit(entry("AA99BCD")).await.unwrap();
    let neighbour = place.other();
    neighbour.break_table("vehicle_valuation");
    for _ in 0..3 {
        let error = store.find(&vrm("AA99BCD")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    neighbour.mend("vehicle_valuation");
    assert!(store.find(&vrm("AA99BCD")).await.unwrap().is_some());
}

/// By another program, since closing a handle of our own would release SQLite's locks.
#[cfg(unix)]
#[tokio::test]
async fn the_first_malformed_page_that_is_read_makes_the_database_unable_to_store() {
    let place = Place::new();
    let store = place.open();
    for mark in marks(2_000) {
        store.submit(entry(&mark));
        store.reserve().await.unwrap();
    }
    until("all in the file", || store.stats().entries.get() == 2_000 && place.wal_size() == 0)
        .await;
    // The second half of the file.
    let half = (place.path().metadata().unwrap().len() / 4096 / 2).to_string();
    let written = std::process::Command::new("dd")
        .args(["if=/dev/zero", "bs=4096", "conv=notrunc", "status=none"])
        .args([format!("seek={half}"), format!("count={half}")])
        .arg(format!("of={}", place.path().display()))
        .status()
        .unwrap();
    assert!(written.success() && store.can_store());
    let unread = marks(2_000).filter(|mark| at_once(store.find(&vrm(mark))).is_err()).count();
    assert!((1..2_000).contains(&unread), "{unread}");
    assert!(!store.can_store());
    let refused = store.reserve().await.unwrap_err().to_string();
    assert!(refused.contains("malformed"), "{refused}");
    in_time("the end", store.shutdown()).await;
    let error = Store::open(&place.config()).await.unwrap_err();
    assert!(error.to_string().contains("it is damaged"), "{error}");
}

async fn a_full_queue_makes_callers_wait_and_then_says_busy(place: TestStore) {
    let narrow = |config: &mut StoreConfig| {
        (config.queue, config.batch, config.queue_wait) = (2, 1, Duration::ZERO);
    };
    let store = place.open_with(narrow).await;
    let first = store.reserve().await.unwrap();
    let second = store.reserve().await.unwrap();
    assert_eq!(store.queue(), (2, 2));
    let error = store.commit(entry("AA99BCD")).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy(_)), "{error:?}");
    assert!(matches!(store.reserve().await.unwrap_err(), StoreError::Busy(_)));
    store.submit(entry("AA99BCD"));
    assert_eq!(store.stats().failed.get(), 2);
    assert!(store.can_store(), "a full queue is no trouble of the database");

    // Who holds a place needs not wait; a place that is dropped is given back.
    in_time("a reserved place", first.commit(entry("NEW1"))).await.unwrap();
    drop(second);
    until("the place is free", || store.queue().0 == 0).await;
    store.commit(entry("AA99BCD")).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_noticed_without_a_write_and_so_is_its_return() {
    let place = Place::new();
    let store = place.open();
    store.commit(entry("AA99BCD")).await.unwrap();
    let away = place.folder.path().join("away");
    std::fs::rename(place.path(), &away).unwrap();
    until("ill", || !store.can_store()).await;
    let refused = store.reserve().await.unwrap_err().to_string();
    assert!(refused.contains("valuations.sqlite is no longer there; put it back"), "{refused}");
    let error = store.commit(entry("LATER1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(store.find(&vrm("AA99BCD")).await.unwrap().is_some(), "reads go on");

    std::fs::rename(&away, place.path()).unwrap();
    until("well again", || store.can_store()).await;
    assert_eq!(
        store.calls(Some(&vrm("LATER1")), 10).await.unwrap().len(),
        1,
        "what was owed is stored"
    );
    store.commit(entry("NEW1")).await.unwrap();
    in_time("the end", store.shutdown()).await;
    assert_eq!(count(&place.neighbour(), "ProviderLogs"), 3);
}

#[tokio::test]
async fn a_file_in_the_place_of_ours_is_left_as_it_is_and_nothing_is_answered_as_stored() {
    let place = Place::new();
    let other = Place::new();
    in_time("another file", other.open().shutdown()).await;
    let before = std::fs::read(other.path()).unwrap();
    let store = place.open();
    store.commit(entry("AA99BCD")).await.unwrap();
    let away = place.folder.path().join("away");
    std::fs::rename(place.path(), &away).unwrap();
    std::fs::copy(other.path(), place.path()).unwrap();
    // Whether or not the writer has looked by itself by now.
    let error = store.commit(entry("LATER1")).await.unwrap_err().to_string();
    assert!(error.contains("was replaced while the server ran"), "{error}");
    until("ill", || !store.can_store()).await;
    assert_eq!(std::fs::read(place.path()).unwrap(), before, "the other file was written");

    std::fs::rename(&away, place.path()).unwrap();
    until("well again", || store.can_store()).await;
    assert_eq!(store.calls(None, 10).await.unwrap().len(), 2);
}
