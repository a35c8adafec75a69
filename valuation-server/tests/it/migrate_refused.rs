//! What `migrate` refuses, and by which words.

use rusqlite::Connection;
use valuation_server::store::Store;

use crate::log_support::row;
use crate::migrate::{
    derive, file, made, moved, number, refused, runtime, server_config, with_rows,
};
use crate::postgres_server::PostgresServer;
use crate::report_support::insert;
use crate::store_support::count;

#[test]
fn wrong_databases_are_refused_and_left_as_they_are() {
    let Some(server) = PostgresServer::shared() else { return };
    let (source, other) = (with_rows(300), with_rows(200));
    let database = server.database();
    let address = || server.address(&database);
    refused(source.path(), other.path(), "both are files: `valuation-server backup` copies a file");
    refused(address(), address(), "are the same database");
    refused(file(&source, "none"), address(), "there is no such file");
    refused(address(), file(&source, "new"), "is version 0, and version 1 is moved");
    moved(source.path(), address()).unwrap();
    refused(other.path(), address(), "does not go on from there: it is another log");
    refused(
        address(),
        other.path(),
        "its table ProviderLogs has rows, which did not come by this command",
    );
    // A file that another program has open.
    let back = file(&source, "back.sqlite");
    moved(address(), &back).unwrap();
    let neighbour = Connection::open(back.file().unwrap()).unwrap();
    assert_eq!(count(&neighbour, "ProviderLogs"), 300);
    refused(address(), &back, "is in use by a server or another program: end it");
    drop(neighbour);
    moved(address(), &back).unwrap();
    // A database that a server has open, although it was empty.
    let database = server.database();
    let store = runtime();
    let opened = store.block_on(Store::open(&server_config(server, &database))).unwrap();
    refused(source.path(), server.address(&database), "is in use by a server: end it");
    store.block_on(opened.shutdown());
    // The older service's.
    let database = server.database();
    let older = r#"CREATE TABLE vehicle_valuation (vrm varchar(7) PRIMARY KEY, "lowestValue" decimal(10,2),
        "highestValue" decimal(10,2)); INSERT INTO vehicle_valuation VALUES ('A', 1, 2)"#;
    server.client(&database).execute(older).unwrap();
    refused(source.path(), server.address(&database), "its table vehicle_valuation has rows");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(number(server, &database, tables), 1);
}

#[test]
fn a_row_that_postgresql_cannot_have_is_named_and_stays_where_it_is() {
    let Some(server) = PostgresServer::shared() else { return };
    for (change, because) in [
        (
            "INSERT INTO ProviderLogs VALUES (12, 'V', 'p', 't', 'long', 'u', 200, NULL, NULL, NULL, 0)",
            "the row 12 of its table ProviderLogs has \"long\" in the column requestDurationMs, where only an \
             integer can be moved",
        ),
        (
            "INSERT INTO ProviderLogs VALUES (12, 'V', 'p', 't', 1, 'a' || char(0) || 'b', 200, NULL, NULL, NULL, 0)",
            "the row 12 of its table ProviderLogs has \"a\\0b\" in the column requestUrl",
        ),
        (
            "INSERT INTO vehicle_valuation VALUES ('AA99BCDE', 1, 2, NULL)",
            "the row \"AA99BCDE\" of its table vehicle_valuation has \"AA99BCDE\" in the column vrm, where only a text \
             of at most 7 characters can be moved",
        ),
        (
            "INSERT INTO vehicle_valuation VALUES ('AA99BCD', -1, 2, NULL)",
            "has -1 in the column lowestValue, where only an amount from 0 to 99999999.99",
        ),
    ] {
        let source = made(|conn| {
            insert(conn, &(0..10).map(row).collect::<Vec<_>>());
            conn.execute_batch(change).unwrap();
        });
        let database = server.database();
        refused(source.path(), server.address(&database), because);
    }
}

#[test]
fn rows_that_are_not_sealed_yet_are_not_moved() {
    let Some(server) = PostgresServer::shared() else { return };
    let source = with_rows(300);
    insert(&source.neighbour(), &[row(300)]);
    let database = server.database();
    let because = "of 301 it has those up to 300; a running server adds them within a minute";
    refused(source.path(), server.address(&database), because);
    derive(&source);
    assert!(moved(source.path(), server.address(&database)).unwrap().is_equal());
}
