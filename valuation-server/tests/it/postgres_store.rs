//! What a database of PostgreSQL has that several servers share.

use std::time::SystemTime;

use valuation_server::domain::Entry;
use valuation_server::store::{Backend, Store, StoreConfig, StoreError};

use crate::contract::on_postgres;
use crate::postgres_server::PostgresServer;
use crate::store_support::{call, entry, in_time, until, valuation, vrm};

fn named(server: &PostgresServer, database: &str, node: &str) -> StoreConfig {
    let mut config = on_postgres(server, database);
    if let Backend::Postgres(postgres) = &mut config.backend {
        node.clone_into(&mut postgres.node);
    }
    config
}

async fn open(server: &PostgresServer, database: &str, node: &str) -> Store {
    Store::open(&named(server, database, node)).await.unwrap()
}

#[tokio::test]
async fn the_months_to_come_have_partitions_and_rows_of_other_times_move_when_theirs_is_made() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let other = server.client(&database);
    let partitions = || {
        let select = r#"SELECT inhrelid::regclass::text FROM pg_inherits
            WHERE inhparent = '"ProviderLogs"'::regclass ORDER BY 1"#;
        let rows = other.rows(select).unwrap();
        rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect::<Vec<_>>()
    };
    let store = open(server, &database, "a").await;
    let made = partitions();
    assert_eq!(made.len(), 4, "{made:?}");
    assert_eq!(made[3], "\"ProviderLogs_other\"");

    // A row of now before the partition of its month is there: as of a clock that is a year ahead.
    let this_month = made[0].trim_matches('"').to_owned();
    other.execute(&format!(r#"DROP TABLE "{this_month}""#)).unwrap();
    let mut late = entry("AA1");
    late.calls[0].requested_at = SystemTime::now();
    store.commit(late).await.unwrap();
    let count = |table: &str| {
        let rows = other.rows(&format!(r#"SELECT count(*) FROM "{table}""#)).unwrap();
        rows[0][0].clone().unwrap()
    };
    assert_eq!(count("ProviderLogs_other"), "1");
    store.shutdown().await;

    let store = open(server, &database, "a").await;
    assert_eq!((count("ProviderLogs_other"), count(&this_month)), ("0".into(), "1".into()));
    assert_eq!(partitions(), made);
    store.shutdown().await;
    server.forget(&database);
}

#[tokio::test]
async fn two_servers_that_value_a_vehicle_at_once_answer_with_the_one_that_was_stored_first() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let (a, b) = (open(server, &database, "a").await, open(server, &database, "b").await);
    for number in 0..50 {
        let mark = format!("V{number}");
        let of = |lowest: &str| Entry {
            valuation: Some(valuation(&mark, lowest, "500")),
            calls: vec![call(&mark)],
        };
        let (one, two) = tokio::join!(a.commit(of("100")), b.commit(of("200")));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one, two);
        assert_eq!(a.find(&vrm(&mark)).await.unwrap(), one);
    }
    let other = server.client(&database);
    let rows = other.rows(r#"SELECT count(*), min("id"), max("id") FROM "ProviderLogs""#).unwrap();
    assert_eq!(rows, [["100", "1", "100"].map(|text| Some(text.to_owned()))]);
    for store in [a, b] {
        store.shutdown().await;
    }
    server.forget(&database);
}

#[tokio::test]
async fn a_valuation_that_is_deleted_by_another_server_or_program_is_announced_and_so_is_a_change()
{
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let (a, b) = (open(server, &database, "a").await, open(server, &database, "b").await);
    a.commit(entry("AA1")).await.unwrap();
    a.commit(entry("AA2")).await.unwrap();
    let other = server.client(&database);

    let before = b.version();
    a.forget(vrm("AA1")).await.unwrap();
    until("the other server hears of it", || b.version() > before).await;
    assert_eq!(b.find(&vrm("AA1")).await.unwrap(), None);
    for change in [
        r#"UPDATE "vehicle_valuation" SET "highestValue" = 300"#,
        r#"DELETE FROM "vehicle_valuation""#,
        r#"TRUNCATE "vehicle_valuation""#,
    ] {
        let before = (a.version(), b.version());
        other.execute(change).unwrap();
        until(change, || a.version() > before.0 && b.version() > before.1).await;
    }
    // What is stored changes nothing that anybody remembers.
    let before = b.version();
    a.commit(entry("AA3")).await.unwrap();
    in_time("a read", b.find(&vrm("AA3"))).await.unwrap();
    assert_eq!(b.version(), before);
    for store in [a, b] {
        store.shutdown().await;
    }
    server.forget(&database);
}

#[tokio::test]
async fn each_server_finds_its_own_notes() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let (a, b) = (open(server, &database, "a").await, open(server, &database, "b").await);
    a.note("route", "fallback".into(), SystemTime::now()).await.unwrap();
    assert_eq!(b.noted("route").await.unwrap(), None);
    b.note("route", "primary".into(), SystemTime::now()).await.unwrap();
    assert_eq!(a.noted("route").await.unwrap().unwrap().text, "fallback");
    for store in [a, b] {
        store.shutdown().await;
    }
    server.forget(&database);
}

#[tokio::test]
async fn a_right_that_was_revoked_is_no_health_until_it_is_granted_again() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let store = open(server, &database, "a").await;
    let other = server.client(&database);
    for table in ["ProviderLogs", "vehicle_valuation", "call_hours", "log_chain"] {
        other.execute(&format!(r#"REVOKE INSERT ON "{table}" FROM CURRENT_USER"#)).unwrap();
        let mark = &table[..3].to_uppercase();
        let refused = store.commit(entry(mark)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        assert!(refused.to_string().contains("permission denied"), "{refused}");
        // Until it is granted again no try makes it healthy, so that no provider is asked.
        for _ in 0..3 {
            store.commit(entry(mark)).await.unwrap_err();
            assert!(!store.can_store());
            store.reserve().await.unwrap_err();
        }
        other.execute(&format!(r#"GRANT INSERT ON "{table}" TO CURRENT_USER"#)).unwrap();
        until("it is healthy again", || store.can_store()).await;
        assert!(store.find(&vrm(mark)).await.unwrap().is_some());
    }
    store.shutdown().await;
    assert_eq!(store.lost_calls(), 0);
    server.forget(&database);
}

#[tokio::test]
async fn the_older_services_table_with_columns_of_other_types_is_used_as_it_is() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let other = server.client(&database);
    other
        .execute(
            r#"CREATE TABLE "vehicle_valuation" ("vrm" text PRIMARY KEY, "lowestValue" double precision NOT NULL,
                "highestValue" integer NOT NULL);
            INSERT INTO "vehicle_valuation" VALUES ('OLD1', 100.25, 200)"#,
        )
        .unwrap();
    let store = open(server, &database, "a").await;
    let old = store.find(&vrm("OLD1")).await.unwrap().unwrap();
    let (lowest, highest) = (old.lowest.to_string(), old.highest.to_string());
    assert_eq!((lowest.as_str(), highest.as_str(), old.provider), ("100.25", "200", None));
    let new = Entry { valuation: Some(valuation("NEW1", "100.5", "201")), calls: vec![] };
    assert_eq!(store.commit(new.clone()).await.unwrap(), new.valuation);
    assert_eq!(store.find(&vrm("NEW1")).await.unwrap(), new.valuation);
    store.shutdown().await;
    server.forget(&database);
}

#[tokio::test]
async fn a_role_whose_transactions_are_serializable_and_a_database_of_another_encoding_are_no_trap()
{
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let administrator = server.administrator();
    let strict =
        format!("ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'");
    administrator.execute(&strict).unwrap();
    let (a, b) = (open(server, &database, "a").await, open(server, &database, "b").await);
    for number in 0..20 {
        let (one, two) = (format!("A{number}"), format!("B{number}"));
        let (one, two) = tokio::join!(a.commit(entry(&one)), b.commit(entry(&two)));
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    }
    for store in [a, b] {
        store.shutdown().await;
    }
    server.forget(&database);

    let other = "latin";
    administrator
        .execute(&format!(
            "CREATE DATABASE {other} OWNER owner ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        ))
        .unwrap();
    let error = Store::open(&named(server, other, "a")).await.unwrap_err().to_string();
    assert!(error.contains("LATIN1") && error.contains("ENCODING 'UTF8'"), "{error}");
    server.forget(other);
}

/// The configuration of another role, which has what `grants` give it.
fn of_role(server: &PostgresServer, database: &str, role: &str, grants: &str) -> StoreConfig {
    let administrator = server.administrator();
    administrator.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).unwrap();
    if !grants.is_empty() {
        server.client(database).execute(&grants.replace("ROLE", role)).unwrap();
    }
    let mut config = named(server, database, "a");
    let url = format!("postgres://{role}:secret@{}/{database}", server.socket());
    if let Backend::Postgres(postgres) = &mut config.backend {
        postgres.address = url.parse().unwrap();
    }
    config
}

#[tokio::test]
async fn a_role_that_may_not_write_is_named_at_the_start_and_by_the_check_before_a_provider_is_asked()
 {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    open(server, &database, "a").await.shutdown().await;
    let config = of_role(
        server,
        &database,
        "auditor",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE",
    );
    let error = Store::open(&config).await.unwrap_err().to_string();
    assert!(error.contains("permission denied for table") && error.contains("42501"), "{error}");
    let place = config.backend.location();
    let looked = tokio::task::spawn_blocking(move || valuation_server::store::look(place));
    let error = looked.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("the role auditor may not write to"), "{error}");
    assert!(!error.contains("secret"), "{error}");

    server.client(&database).execute(r#"DELETE FROM "log_head""#).unwrap();
    let place = named(server, &database, "a").backend.location();
    let looked = tokio::task::spawn_blocking(move || valuation_server::store::look(place));
    let error = looked.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("log_head has no row"), "{error}");
    let error = Store::open(&named(server, &database, "a")).await.unwrap_err().to_string();
    assert!(error.contains("log_head has no row"), "{error}");
    server.forget(&database);
}

#[tokio::test]
async fn a_role_that_may_not_create_tables_is_told_what_it_may_not() {
    let Some(server) = PostgresServer::shared() else { return };
    let database = server.database();
    let config = of_role(server, &database, "stranger", "");
    let error = Store::open(&config).await.unwrap_err().to_string();
    assert!(error.contains("permission denied for schema public"), "{error}");
    server.forget(&database);
}

#[tokio::test]
async fn a_server_whose_reads_find_no_connection_says_so() {
    let Some(server) = PostgresServer::own_with(&["max_connections=7"]) else { return };
    let database = server.database();
    let store = open(&server, &database, "a").await;
    assert!(store.trouble().is_none());
    // Three are kept free for superusers.
    let others: Vec<_> = (0..3).map(|_| server.client(&database)).collect();
    let error = store.find(&vrm("AA1")).await.unwrap_err().to_string();
    assert!(error.contains("connection"), "{error}");
    assert!(store.trouble().is_some());
    drop(others);
    in_time("a read", async {
        while store.find(&vrm("AA1")).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(store.trouble().is_none());
    store.shutdown().await;
}
