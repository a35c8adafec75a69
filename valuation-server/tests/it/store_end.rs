//! The end of a store with deferred rows: it tries for a while, and reports what it could not store.

use std::time::Duration;

use valuation_server::domain::Entry;
use valuation_server::store::{Store, StoreConfig, StoreError};

use crate::contract::{Other, TestStore, contract};
use crate::store_support::{call, entry, in_time};

contract!(
    deferred_entries_are_tried_again_at_the_end_until_the_database_can_store_them,
    what_could_not_be_stored_to_the_end_is_counted,
    what_comes_after_the_end_is_counted_too,
);

/// A store that owes an entry, since another program holds the lock of this connection.
async fn deferring(place: &TestStore, last_tries: Duration) -> (Store, Other) {
    let impatient = |config: &mut StoreConfig| {
        (config.last_tries, config.lock_wait) = (last_tries, Duration::from_millis(1));
    };
    let store = place.open_with(impatient).await;
    let neighbour = place.other();
    neighbour.hold_up();
    let refused = store.commit(entry("A")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    (store, neighbour)
}

async fn deferred_entries_are_tried_again_at_the_end_until_the_database_can_store_them(
    place: TestStore,
) {
    let (store, neighbour) = deferring(&place, Duration::from_secs(60)).await;
    let ending = tokio::spawn({
        let store = store.clone();
        async move { store.shutdown().await }
    });
    // The writer has the message once the queue is closed; it still can't store the deferred rows.
    let closed = async {
        loop {
            match store.commit(Entry { valuation: None, calls: Vec::new() }).await {
                Err(StoreError::Closed) => break,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    in_time("the queue is closed", closed).await;
    assert!(!ending.is_finished());
    neighbour.let_go();
    in_time("the end", ending).await.unwrap();
    assert_eq!(store.lost_calls(), 0);
    let rows = ["vehicle_valuation", "ProviderLogs"].map(|table| neighbour.count(table));
    assert_eq!(rows, [1, 1]);
}

async fn what_could_not_be_stored_to_the_end_is_counted(place: TestStore) {
    let (store, neighbour) = deferring(&place, Duration::from_millis(20)).await;
    let more = Entry { valuation: None, calls: vec![call("B"), call("B")] };
    assert!(store.commit(more).await.is_err());
    assert_eq!(store.lost_calls(), 0, "they are owed, and not lost");
    in_time("the end", store.shutdown()).await;
    assert_eq!(store.lost_calls(), 3);
    drop(neighbour);
}

async fn what_comes_after_the_end_is_counted_too(place: TestStore) {
    let store = place.open().await;
    store.shutdown().await;
    assert!(store.commit(entry("A")).await.is_err());
    store.submit(entry("B"));
    assert_eq!(store.lost_calls(), 2);
}
