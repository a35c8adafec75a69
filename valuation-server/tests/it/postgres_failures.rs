//! Failures that PostgreSQL alone has. Each test does harm to a server of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use valuation_server::store::{Backend, OpenProblem, Store, StoreConfig, StoreError};

use crate::contract::{Other, on_postgres};
use crate::postgres_client::PostgresClient;
use crate::postgres_server::PostgresServer;
use crate::store_support::{entry, handed_over, in_time, until, vrm};

/// The connections of stores, as PostgreSQL knows them.
const STORES: &str = "FROM pg_stat_activity WHERE application_name = 'valuation-server'";

async fn open(server: &PostgresServer, database: &str) -> Store {
    open_with(server, database, |_| {}).await
}

async fn open_with(
    server: &PostgresServer,
    database: &str,
    change: impl FnOnce(&mut StoreConfig),
) -> Store {
    let mut config = on_postgres(server, database);
    change(&mut config);
    Store::open(&config).await.unwrap()
}

/// With waits after which a silent server is given up.
fn impatient(config: &mut StoreConfig) {
    (config.lock_wait, config.read_wait) = (Duration::from_millis(50), Duration::from_millis(50));
}

fn number(client: &PostgresClient, sql: &str) -> usize {
    client.rows(sql).unwrap()[0][0].as_ref().unwrap().parse().unwrap()
}

/// Commits entries of other vehicles until one fails. Gives their number and the error.
async fn commit_until_refused(store: &Store, prefix: &str) -> (usize, StoreError) {
    let refused = async {
        for number in 0.. {
            if let Err(error) = store.commit(entry(&format!("{prefix}{number}"))).await {
                return (number + 1, error);
            }
        }
        unreachable!()
    };
    in_time("a refusal", refused).await
}

/// The writer can't store, says why, and takes nothing before a provider is asked.
async fn assert_refuses(store: &Store) {
    assert!(!store.can_store() && store.trouble().is_some());
    let refused = store.reserve().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
}

async fn well_again(store: &Store) {
    until("well again", || store.can_store()).await;
    store.reserve().await.unwrap().commit(entry("AGAIN")).await.unwrap();
}

async fn readable(store: &Store, mark: &str) {
    let read = async {
        while store.find(&vrm(mark)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time("a read", read).await;
}

/// This many calls, each of its own vehicle, were stored once, and the ids have no gap.
fn assert_logged_once(other: &Other, calls: usize) {
    let sums =
        r#"SELECT count(*), count(DISTINCT "vrm"), min("id"), max("id") FROM "ProviderLogs""#;
    let calls = calls.to_string();
    assert_eq!(other.rows(sums), [[calls.clone(), calls.clone(), "1".into(), calls]]);
}

fn other(server: &PostgresServer, database: &str) -> Other {
    Other::Postgres(server.client(database))
}

#[tokio::test]
async fn connections_that_are_lost_while_idle_are_replaced() {
    let Some(server) = PostgresServer::own() else { return };
    let database = server.database();
    let store = open(&server, &database).await;
    store.commit(entry("OLD1")).await.unwrap();
    assert!(store.find(&vrm("OLD1")).await.unwrap().is_some());
    let administrator = server.administrator();
    administrator.rows(&format!("SELECT pg_terminate_backend(pid, 60000) {STORES}")).unwrap();
    readable(&store, "OLD1").await;
    well_again(&store).await;
    in_time("the end", store.shutdown()).await;
    assert_eq!(store.lost_calls(), 0);
    assert_logged_once(&other(&server, &database), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kill_9_of_the_server_under_load_loses_no_answered_valuation_and_doubles_no_row() {
    let Some(mut server) = PostgresServer::own() else { return };
    let database = server.database();
    let long = |config: &mut StoreConfig| config.last_tries = Duration::from_secs(60);
    let store = open_with(&server, &database, long).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        tasks.spawn(async move {
            let (mut answered, mut asked) = (Vec::new(), 0);
            // Ordering: Relaxed. The flag publishes no other data.
            while !stop.load(Ordering::Relaxed) {
                let Ok(reserved) = store.reserve().await else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                };
                asked += 1;
                let mark = format!("{task}V{asked}");
                if reserved.commit(entry(&mark)).await.is_ok() {
                    answered.push(mark);
                }
            }
            (answered, asked)
        });
    }
    for _ in 0..5 {
        let committed = store.stats().entries.get();
        until("some are committed", || store.stats().entries.get() > committed + 50).await;
        server.kill_9();
        until("it is noticed", || !store.can_store()).await;
        server.restart();
        until("well again", || store.can_store()).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut answered, mut asked) = (Vec::new(), 0);
    for (of_task, asked_by_task) in in_time("the load's end", tasks.join_all()).await {
        answered.extend(of_task);
        asked += asked_by_task;
    }
    in_time("the end", store.shutdown()).await;
    assert_eq!(store.lost_calls(), 0);
    for mark in answered {
        assert_eq!(store.find(&vrm(&mark)).await.unwrap(), entry(&mark).valuation, "{mark}");
    }
    assert_logged_once(&other(&server, &database), asked);
}

#[tokio::test]
async fn a_writers_connection_that_is_cut_in_a_transaction_is_noticed_and_its_calls_are_stored_once()
 {
    let Some(server) = PostgresServer::own() else { return };
    let database = server.database();
    let store = open(&server, &database).await;
    let (neighbour, administrator) = (other(&server, &database), server.administrator());
    neighbour.hold_up();
    let commit = handed_over(store.commit(entry("AA99BCD"))).await;
    let waiting = format!("{STORES} AND wait_event_type = 'Lock'");
    let count = format!("SELECT count(*) {waiting}");
    until("the writer waits", || number(&administrator, &count) == 1).await;
    administrator.rows(&format!("SELECT pg_terminate_backend(pid, 60000) {waiting}")).unwrap();
    let error = in_time("an answer", commit).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    neighbour.let_go();
    well_again(&store).await;
    in_time("the end", store.shutdown()).await;
    assert_logged_once(&neighbour, 2);
}

#[tokio::test]
async fn a_server_that_became_read_only_is_noticed_and_its_return_as_well() {
    let Some(server) = PostgresServer::own() else { return };
    let database = server.database();
    let store = open(&server, &database).await;
    store.commit(entry("OLD1")).await.unwrap();
    let administrator = server.administrator();
    administrator.execute("ALTER SYSTEM SET default_transaction_read_only = on").unwrap();
    administrator.execute("SELECT pg_reload_conf()").unwrap();
    let (calls, error) = commit_until_refused(&store, "V").await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    assert_refuses(&store).await;
    assert!(store.find(&vrm("OLD1")).await.unwrap().is_some(), "reads go on");

    administrator.execute("ALTER SYSTEM RESET default_transaction_read_only").unwrap();
    administrator.execute("SELECT pg_reload_conf()").unwrap();
    well_again(&store).await;
    in_time("the end", store.shutdown()).await;
    assert_logged_once(&other(&server, &database), 1 + calls + 1);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_and_used_again_when_it_does() {
    let Some(mut server) = PostgresServer::own() else { return };
    let database = server.database();
    let store = open_with(&server, &database, impatient).await;
    store.commit(entry("OLD1")).await.unwrap();
    server.pause();
    let error = in_time("a read", store.find(&vrm("OLD1"))).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = in_time("an answer", store.commit(entry("AA99BCD"))).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert_refuses(&store).await;

    server.resume();
    well_again(&store).await;
    readable(&store, "OLD1").await;
    in_time("the end", store.shutdown()).await;
    // What was given up may have reached the server all the same.
    assert_logged_once(&other(&server, &database), 3);
}

#[tokio::test]
async fn without_a_free_connection_the_start_says_so_and_succeeds_when_there_is_one() {
    // Three are kept for superusers, and one is the administrator's.
    let Some(server) = PostgresServer::own_with(&["max_connections=8"]) else { return };
    let (database, administrator) = (server.database(), server.administrator());
    let clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    until("the others are closed", || number(&administrator, clients) == 1).await;
    let taken: Vec<_> = (0..4).map(|_| server.client(&database)).collect();
    let error = Store::open(&on_postgres(&server, &database)).await.unwrap_err();
    let StoreError::Open { problem: OpenProblem::Postgres(_), place } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*place, server.address(&database).into());
    let text = error.to_string();
    assert!(text.contains("remaining connection slots are reserved"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    drop(taken);
    let open = async {
        loop {
            if let Ok(store) = Store::open(&on_postgres(&server, &database)).await {
                return store;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time("the start", open).await.commit(entry("AA99BCD")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_at_the_start() {
    let Some(mut server) = PostgresServer::own() else { return };
    let config = on_postgres(&server, "t_0");
    server.kill_9();
    let error = Store::open(&config).await.unwrap_err().to_string();
    let start = format!("cannot use the database {}: PostgreSQL: ", server.address("t_0"));
    assert!(error.starts_with(&start) && !error.contains("secret"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_never_has_more_connections_than_it_may() {
    let Some(server) = PostgresServer::own() else { return };
    let database = server.database();
    let three = |config: &mut StoreConfig| match &mut config.backend {
        Backend::Postgres(server) => server.connections = 3,
        other => panic!("{other}"),
    };
    let store = open_with(&server, &database, three).await;
    let administrator = server.administrator();
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..20 {
                let mark = format!("{task}V{number}");
                // Some fail, since connections are cut.
                let _ = store.commit(entry(&mark)).await;
                let _ = store.find(&vrm(&mark)).await;
                let _ = store.calls(Some(&vrm(&mark)), 10).await;
            }
        });
    }
    let mut most = 0;
    for round in 0.. {
        most = most.max(number(&administrator, &format!("SELECT count(*) {STORES}")));
        if round % 10 == 9 {
            let cut = format!("SELECT pg_terminate_backend(pid, 60000) {STORES} LIMIT 1");
            administrator.rows(&cut).unwrap();
        }
        if tasks.try_join_next().is_none() && tasks.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!((1..=3).contains(&most), "{most}");
}

#[tokio::test]
async fn without_the_head_of_the_log_nothing_is_stored_until_it_is_back() {
    let Some(server) = PostgresServer::own() else { return };
    let database = server.database();
    let (store, neighbour) = (open(&server, &database).await, other(&server, &database));
    neighbour.break_table("log_head");
    let error = store.commit(entry("AA99BCD")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    // The probe ran right after that commit, before the writer could take another message.
    store.limit_pages(None).await;
    assert_refuses(&store).await;
    neighbour.mend("log_head");
    well_again(&store).await;
    in_time("the end", store.shutdown()).await;
    assert_logged_once(&neighbour, 2);
}
