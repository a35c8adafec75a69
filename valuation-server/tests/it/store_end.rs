//! The end of a store with deferred rows: it tries for a while, and reports what it could not store.

use std::time::Duration;

use valuation_server::domain::Entry;
use valuation_server::store::{Store, StoreConfig, StoreError};

use crate::store_support::{Place, call, count, entry, in_time};

/// A store that owes an entry, since another program holds the lock of this connection.
async fn deferring(place: &Place, last_tries: Duration) -> (Store, rusqlite::Connection) {
    let config = StoreConfig { last_tries, lock_wait: Duration::ZERO, ..place.config() };
    let store = Store::open(&config).await.unwrap();
    let neighbour = place.neighbour();
    neighbour.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.commit(entry("A")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    (store, neighbour)
}

#[tokio::test]
async fn deferred_entries_are_tried_again_at_the_end_until_the_database_can_store_them() {
    let place = Place::new();
    let (store, neighbour) = deferring(&place, Duration::from_secs(60)).await;
    let ending = tokio::spawn({
        let store = store.clone();
        async move { store.shutdown().await }
    });
    // The writer has the message once the queue is closed; it still can't store the deferred rows.
    loop {
        match store.commit(Entry { valuation: None, calls: Vec::new() }).await {
            Err(StoreError::Closed) => break,
            _ => tokio::task::yield_now().await,
        }
    }
    assert!(!ending.is_finished());
    neighbour.execute_batch("ROLLBACK").unwrap();
    in_time("the end", ending).await.unwrap();
    assert_eq!(store.lost_calls(), 0);
    let rows = ["vehicle_valuation", "ProviderLogs"].map(|table| count(&neighbour, table));
    assert_eq!(rows, [1, 1]);
}

#[tokio::test]
async fn what_could_not_be_stored_to_the_end_is_counted() {
    let place = Place::new();
    let (store, neighbour) = deferring(&place, Duration::from_millis(20)).await;
    let more = Entry { valuation: None, calls: vec![call("B"), call("B")] };
    assert!(store.commit(more).await.is_err());
    assert_eq!(store.lost_calls(), 0, "they are owed, and not lost");
    in_time("the end", store.shutdown()).await;
    assert_eq!(store.lost_calls(), 3);
    drop(neighbour);
}

#[tokio::test]
async fn what_comes_after_the_end_is_counted_too() {
    let place = Place::new();
    let store = place.open();
    store.shutdown().await;
    assert!(store.commit(entry("A")).await.is_err());
    store.submit(entry("B"));
    assert_eq!(store.lost_calls(), 2);
}
