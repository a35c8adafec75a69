//! The writer's promises: an entry is stored whole or not at all, and answered when it is committed.

use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use valuation_server::domain::{CallOutcome, Entry, ErrorCode, Provider, ProviderCall};
use valuation_server::store::{Note, Store, StoreError};

use crate::contract::{Other, TestStore, contract};
use crate::store_support::{
    Place, call, count, entry, failed_call, handed_over, in_time, marks, until, valuation, vrm,
};

contract!(
    a_log_row_has_exactly_the_calls_values,
    calls_are_read_back_bounded_newest_last_and_by_vehicle,
    the_id_of_a_deleted_log_row_is_never_given_again,
    everything_that_waits_is_committed_in_one_transaction,
    of_many_commits_for_one_vehicle_one_valuation_is_stored_and_all_get_it,
    an_answer_means_that_every_reader_sees_the_commit,
    a_poisonous_valuation_is_refused_and_its_calls_and_its_neighbours_are_stored,
    a_commit_whose_future_is_dropped_is_committed_once_handed_over,
    a_forgotten_valuation_is_gone_and_its_log_rows_stay,
    a_note_takes_the_place_of_the_earlier_one_of_its_name_and_outlasts_a_restart,
    shutdown_commits_what_waits_and_every_reservation,
    dropping_the_last_store_commits_what_waits_and_lets_the_database_go,
);

async fn a_log_row_has_exactly_the_calls_values(place: TestStore) {
    let store = place.open().await;
    let failed = ProviderCall {
        provider: Provider::Premium,
        duration: Duration::from_micros(5_000_600),
        url: "http://127.0.0.1:1/valueCar?vrm=AA99BCD&key=REDACTED".into(),
        response_code: None,
        error: Some((ErrorCode::Timeout, "no answer\r\nwithin 5 s".into())),
        outcome: CallOutcome::Failure,
        rescue: true,
        ..call("AA99BCD")
    };
    let calls = vec![failed, call("AA99BCD")];
    store.commit(Entry { valuation: None, calls }).await.unwrap();

    let rows = place.other().rows(
        r#"SELECT "id", "vrm", "providerName", "requestedAt", "requestDurationMs", "requestUrl",
            "responseCode", "errorCode", "errorMessage", "outcome", "rescue"
            FROM "ProviderLogs" ORDER BY "id""#,
    );
    let rows: Vec<_> = rows.iter().map(|row| row.join(",")).collect();
    assert_eq!(
        rows,
        [
            "1,AA99BCD,Premium Car Valuations,2026-11-22T19:38:00.007Z,5001,\
             http://127.0.0.1:1/valueCar?vrm=AA99BCD&key=REDACTED,null,TIMEOUT,\
             no answer  within 5 s,failure,1",
            "2,AA99BCD,SuperCar Valuations,2026-11-22T19:38:00.007Z,12,\
             http://127.0.0.1:1/valuations/AA99BCD?mileage=1,200,null,null,success,0",
        ]
    );
}

async fn calls_are_read_back_bounded_newest_last_and_by_vehicle(place: TestStore) {
    let store = place.open().await;
    for mark in ["A", "B", "A"] {
        store.commit(Entry { valuation: None, calls: vec![call(mark)] }).await.unwrap();
    }
    let ids = async |mark: Option<&str>, limit| -> Vec<i64> {
        let calls = store.calls(mark.map(vrm).as_ref(), limit).await.unwrap();
        calls.iter().map(|call| call.id).collect()
    };
    assert_eq!(ids(None, 10).await, [1, 2, 3]);
    assert_eq!(ids(None, 2).await, [2, 3]);
    assert_eq!(ids(Some("A"), 10).await, [1, 3]);
    assert_eq!(ids(Some("A"), 1).await, [3]);
    assert_eq!(ids(Some("C"), 10).await, [0; 0]);
}

async fn the_id_of_a_deleted_log_row_is_never_given_again(place: TestStore) {
    let store = place.open().await;
    store.commit(entry("A")).await.unwrap();
    place.other().execute(r#"DELETE FROM "ProviderLogs""#);
    store.commit(entry("A")).await.unwrap();
    assert_eq!(store.calls(None, 10).await.unwrap()[0].id, 2);
}

async fn everything_that_waits_is_committed_in_one_transaction(place: TestStore) {
    let store = place.open().await;
    let neighbour = place.other();
    neighbour.hold_up();
    let mut commits = Vec::new();
    for mark in marks(64) {
        commits.push(handed_over(store.commit(entry(&mark))).await);
    }
    // The writer may have begun with the first few alone; all others wait for it by now.
    neighbour.let_go();
    for commit in commits {
        in_time("an answer", commit).await.unwrap();
    }

    let stats = store.stats();
    assert_eq!((stats.entries.get(), stats.rows.get(), stats.failed.get()), (64, 128, 0));
    assert!(stats.transactions.get() <= 2, "{stats:?}");
}

async fn of_many_commits_for_one_vehicle_one_valuation_is_stored_and_all_get_it(place: TestStore) {
    let store = place.open().await;
    let mut tasks = JoinSet::new();
    for number in 1..=50 {
        let store = store.clone();
        tasks.spawn(async move {
            let own = valuation("AA99BCD", &number.to_string(), "100");
            let entry = Entry { valuation: Some(own), calls: vec![call("AA99BCD")] };
            store.commit(entry).await.unwrap().unwrap()
        });
    }
    let told = in_time("all are answered", tasks.join_all()).await;
    let stands = store.find(&vrm("AA99BCD")).await.unwrap().unwrap();
    assert!(told.iter().all(|valuation| *valuation == stands));
    assert_eq!(store.calls(Some(&vrm("AA99BCD")), 100).await.unwrap().len(), 50);
    assert_eq!(store.stats().rows.get(), 51);
}

async fn an_answer_means_that_every_reader_sees_the_commit(place: TestStore) {
    let store = place.open().await;
    for mark in marks(50) {
        let told = store.commit(entry(&mark)).await.unwrap();
        assert_eq!(store.find(&vrm(&mark)).await.unwrap(), told);
    }
}

async fn a_poisonous_valuation_is_refused_and_its_calls_and_its_neighbours_are_stored(
    place: TestStore,
) {
    let (store, neighbour) = (place.open().await, place.other());
    neighbour.refuse(&["V3", "V17"]);
    poison_alone_is_refused(&store, &neighbour).await;
}

#[tokio::test]
async fn a_refusal_that_takes_the_whole_transaction_with_it_refuses_the_poisonous_valuation_alone()
{
    let place = TestStore::sqlite();
    let (store, neighbour) = (place.open().await, place.other());
    neighbour.execute(
        "CREATE TRIGGER poison BEFORE INSERT ON vehicle_valuation \
         WHEN NEW.vrm IN ('V3', 'V17') BEGIN SELECT RAISE(ROLLBACK, 'poisoned'); END",
    );
    poison_alone_is_refused(&store, &neighbour).await;
}

/// Of 32 entries in a batch the database refuses the valuations of V3 and V17.
async fn poison_alone_is_refused(store: &Store, neighbour: &Other) {
    neighbour.hold_up();
    let mut commits = Vec::new();
    for mark in marks(32) {
        let commit = handed_over(store.commit(entry(&mark))).await;
        commits.push((mark, commit));
    }
    neighbour.let_go();

    for (mark, commit) in commits {
        let answer = in_time("an answer", commit).await;
        let logged = store.calls(Some(&vrm(&mark)), 10).await.unwrap().len();
        if mark == "V3" || mark == "V17" {
            let error = answer.unwrap_err();
            assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.starts_with("the database refuses the entry: "), "{text}");
            assert!(text.contains("poisoned"), "{text}");
            assert_eq!(logged, 1, "the call was made, whatever came of it");
            assert_eq!(store.find(&vrm(&mark)).await.unwrap(), None);
        } else {
            assert_eq!(answer.unwrap(), entry(&mark).valuation, "{mark}");
            assert_eq!(logged, 1);
        }
    }
    assert_eq!((store.stats().rows.get(), store.stats().failed.get()), (62, 2));
    assert!(store.can_store(), "the database is well");
}

async fn a_commit_whose_future_is_dropped_is_committed_once_handed_over(place: TestStore) {
    let store = place.open().await;
    let neighbour = place.other();
    neighbour.hold_up();
    drop(handed_over(store.commit(entry("AA99BCD"))).await);
    let reserved = store.reserve().await.unwrap();
    drop(handed_over(reserved.commit(entry("BB99BCD"))).await);
    store.submit(entry("CC99BCD"));
    store.reserve().await.unwrap().submit(entry("DD99BCD"));
    neighbour.let_go();
    until("all are committed", || store.stats().entries.get() == 4).await;
    for mark in ["AA99BCD", "BB99BCD", "CC99BCD", "DD99BCD"] {
        assert!(store.find(&vrm(mark)).await.unwrap().is_some(), "{mark}");
    }
}

async fn a_forgotten_valuation_is_gone_and_its_log_rows_stay(place: TestStore) {
    let store = place.open().await;
    store.commit(entry("AA99BCD")).await.unwrap();
    let before = store.version();
    assert!(store.forget(vrm("AA99BCD")).await.unwrap());
    assert!(store.version() > before, "a cache must not answer it any more");
    assert!(!store.forget(vrm("AA99BCD")).await.unwrap(), "there is none");
    assert_eq!(store.find(&vrm("AA99BCD")).await.unwrap(), None);
    assert_eq!(store.calls(Some(&vrm("AA99BCD")), 10).await.unwrap().len(), 1);
}

async fn a_note_takes_the_place_of_the_earlier_one_of_its_name_and_outlasts_a_restart(
    place: TestStore,
) {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let store = place.open().await;
    for (name, text, seconds) in [("a", "1", 1), ("b", "2", 2), ("a", "3", 3)] {
        store.note(name, text.to_owned(), at(seconds)).await.unwrap();
    }
    in_time("the end", store.shutdown()).await;
    let store = place.open().await;
    let note = |text: &str, seconds| Note { text: text.to_owned(), at: Some(at(seconds)) };
    assert_eq!(store.noted("a").await.unwrap(), Some(note("3", 3)));
    assert_eq!(store.noted("b").await.unwrap(), Some(note("2", 2)));
    assert_eq!(store.noted("c").await.unwrap(), None);
}

async fn shutdown_commits_what_waits_and_every_reservation(place: TestStore) {
    let (store, neighbour) = (place.open().await, place.other());
    neighbour.hold_up();
    for mark in marks(20) {
        store.submit(entry(&mark));
    }
    let reserved = store.reserve().await.unwrap();
    let stopping = handed_over(store.shutdown()).await;
    neighbour.let_go();
    until("the queue is closed", || {
        // Nobody is admitted any more, and the reserved place still counts.
        store.submit(Entry::default());
        store.stats().failed.get() > 0
    })
    .await;
    reserved.commit(entry("LAST")).await.unwrap();
    in_time("the end", stopping).await;

    assert_eq!(neighbour.count("vehicle_valuation"), 21);
    assert!(!store.can_store());
    assert!(matches!(store.commit(entry("LATE")).await.unwrap_err(), StoreError::Closed));
    assert!(matches!(store.reserve().await.unwrap_err(), StoreError::Closed));
    assert!(store.find(&vrm("LAST")).await.unwrap().is_some(), "reads go on");
    in_time("a second shutdown", store.shutdown()).await;
}

async fn dropping_the_last_store_commits_what_waits_and_lets_the_database_go(place: TestStore) {
    let store = place.open().await;
    for mark in marks(20) {
        store.submit(entry(&mark));
    }
    drop(store.clone());
    drop(store);
    until("the writer has ended", || place.is_let_go()).await;
    assert_eq!(place.other().count("vehicle_valuation"), 20);
}

#[tokio::test]
async fn shutdown_empties_the_write_ahead_log() {
    let place = Place::new();
    let store = place.open();
    for mark in marks(20) {
        store.submit(entry(&mark));
    }
    in_time("the end", store.shutdown()).await;
    assert_eq!(place.wal_size(), 0);
    assert_eq!(count(&place.neighbour(), "vehicle_valuation"), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_saturated_writes_and_reads_the_write_ahead_log_stays_bounded() {
    let place = Place::new();
    let limit = 1 << 20;
    let store = Store::open(&place.config_with(|file| file.wal_limit = limit)).await.unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..100 {
                let mark = format!("{task}/{number}");
                let calls = vec![failed_call(&mark, &"x".repeat(500)); 20];
                store.commit(Entry { calls, ..entry(&mark) }).await.unwrap();
                store.find(&vrm(&mark)).await.unwrap().unwrap();
            }
        });
    }
    let mut largest = 0;
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
        largest = largest.max(place.wal_size());
    }
    // The log holds at least 1,000 pages until it is carried over, then a transaction on top.
    let written = place.path().metadata().unwrap().len();
    assert!(written > 20 << 20, "too little was written to say anything: {written}");
    assert!(largest < 12 << 20, "the log grew to {largest} bytes");
    until("a quiet writer empties the log", || place.wal_size() == 0).await;
    assert_eq!(store.stats().rows.get(), 16 * 100 * 21);
}

#[tokio::test]
async fn a_long_read_holds_up_neither_commits_nor_the_logs_bound_afterwards() {
    let place = Place::new();
    let store = Store::open(&place.config_with(|file| file.wal_limit = 1 << 20)).await.unwrap();
    store.commit(entry("FIRST")).await.unwrap();
    let reader = place.neighbour();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader, "vehicle_valuation"), 1);

    let big =
        |mark: &str| Entry { calls: vec![failed_call(mark, &"x".repeat(500)); 500], ..entry(mark) };
    for mark in marks(40) {
        in_time("a commit beside a long read", store.commit(big(&mark))).await.unwrap();
    }
    assert_eq!(count(&reader, "vehicle_valuation"), 1, "the reader's snapshot");
    assert!(place.wal_size() > 1 << 20, "nothing held the log up: {}", place.wal_size());
    reader.execute_batch("COMMIT").unwrap();
    until("a quiet writer empties the log", || place.wal_size() == 0).await;
    assert!(store.can_store());
}
