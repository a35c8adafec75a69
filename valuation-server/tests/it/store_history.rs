//! The history next to other programs, and in databases of before it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use valuation_server::domain::Counts;
use valuation_server::store::Span;

use crate::contract::{TestStore, contract};
use crate::store_support::{OLDER_TABLE, Place, count, entry, in_time};

contract!(
    rows_survive_a_restart_and_two_servers_add_up,
    thinning_is_done_in_pieces_between_which_others_are_served,
    a_history_that_cannot_be_written_keeps_no_valuation_from_being_stored,
);

fn calls(calls: u64) -> Counts {
    Counts { calls, ..Counts::default() }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn rows_survive_a_restart_and_two_servers_add_up(place: TestStore) {
    let store = place.open().await;
    store.record(at(1_005), vec![("a", calls(1)), ("b", calls(10))]).await.unwrap();
    in_time("the end", store.shutdown()).await;
    let (here, there) = (place.open().await, place.open().await);
    here.record(at(1_000), vec![("a", calls(2))]).await.unwrap();
    there.record(at(1_009), vec![("a", calls(4))]).await.unwrap();
    there.record(at(1_010), vec![("a", calls(8))]).await.unwrap();
    let rows = here.history(Span::TenSeconds, at(0)).await.unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row.at, row.source.as_str(), row.counts.calls)).collect();
    assert_eq!(rows, [(1_000, "a", 7), (1_000, "b", 10), (1_010, "a", 8)]);
    assert_eq!(here.history_totals(at(1_001)..at(1_011)).await.unwrap()["a"].calls, 8);
}

async fn thinning_is_done_in_pieces_between_which_others_are_served(place: TestStore) {
    let store = place.open().await;
    for hour in 0..5 {
        store.record(at(hour * 3_600), vec![("a", calls(1))]).await.unwrap();
        store.record(at(hour * 3_600 + 10), vec![("a", calls(1))]).await.unwrap();
    }
    let now = at(3 * 86_400);
    let mut pieces = 1;
    while store.thin_history(now).await.unwrap() {
        pieces += 1;
        store.commit(entry(&format!("V{pieces}"))).await.unwrap();
    }
    assert_eq!(pieces, 6, "an hour each, and one that finds nothing");
    assert_eq!(store.history(Span::TenSeconds, at(0)).await.unwrap(), []);
    let minutes = store.history(Span::Minute, at(0)).await.unwrap();
    assert!(minutes.len() == 5 && minutes.iter().all(|row| row.counts.calls == 2));
}

#[tokio::test]
async fn a_database_of_the_older_service_gets_a_history_and_stays_its_database() {
    let place = Place::new();
    let older = place.neighbour();
    older.execute_batch(OLDER_TABLE).unwrap();
    let store = place.open();
    store.record(at(0), vec![("a", calls(1))]).await.unwrap();
    assert_eq!(count(&older, "history"), 1);
    older.execute_batch("INSERT INTO vehicle_valuation VALUES ('OLD1', 1, 2, NULL)").unwrap();
    store.record(at(0), vec![("a", calls(1))]).await.unwrap();
    assert_eq!(count(&older, "vehicle_valuation"), 1);
}

async fn a_history_that_cannot_be_written_keeps_no_valuation_from_being_stored(place: TestStore) {
    let store = place.open().await;
    let neighbour = place.other();
    neighbour.break_table("history");
    assert!(store.record(at(0), vec![("a", calls(1))]).await.is_err());
    assert!(store.thin_history(at(0)).await.is_err());
    assert!(store.can_store());
    neighbour.mend("history");
    store.record(at(0), vec![("a", calls(1))]).await.unwrap();
}
