//! The older service's database: opened unchanged, served, extended, and still usable by that service.

use rusqlite::Connection;
use valuation_server::domain::Entry;
use valuation_server::domain::Provider;
use valuation_server::store::StoreError;

use crate::store_support::{
    OLDER_TABLE, Place, at_once, call, count, entry, in_time, marks, until, valuation, vrm,
};

/// What the older service does for a new valuation.
const OLDER_INSERT: &str = "INSERT INTO vehicle_valuation (vrm, lowestValue, highestValue) \
                            VALUES (?1, ?2, ?3)";

fn older_database(place: &Place, schema: &str, rows: &str) {
    let conn = Connection::open(place.path()).unwrap();
    conn.execute_batch(schema).unwrap();
    conn.execute_batch(rows).unwrap();
}

fn shown(found: &valuation_server::domain::Valuation) -> (String, String, Option<Provider>) {
    (found.lowest.to_string(), found.highest.to_string(), found.provider)
}

#[test]
fn values_stored_as_integer_real_or_text_are_served_with_no_provider() {
    let text_columns = OLDER_TABLE.replace("decimal(10,2)", "text");
    for (schema, rows, kind) in [
        (OLDER_TABLE, "INSERT INTO vehicle_valuation VALUES ('OLD1', 22350, 24750)", "integer"),
        (OLDER_TABLE, "INSERT INTO vehicle_valuation VALUES ('OLD1', 22350.5, 24750.05)", "real"),
        (
            text_columns.as_str(),
            "INSERT INTO vehicle_valuation VALUES ('OLD1', '22350.50', '24750')",
            "text",
        ),
    ] {
        let place = Place::new();
        older_database(&place, schema, rows);
        let found = at_once(place.open().find(&vrm("OLD1"))).unwrap().unwrap();
        let expected = match kind {
            "integer" => ("22350", "24750"),
            "real" => ("22350.5", "24750.05"),
            _ => ("22350.5", "24750"),
        };
        assert_eq!(shown(&found), (expected.0.into(), expected.1.into(), None), "{kind}");
        let stored: String = place
            .neighbour()
            .query_row("SELECT typeof(lowestValue) FROM vehicle_valuation", [], |row| row.get(0))
            .unwrap();
        assert_eq!(stored, kind, "the old row was touched");
    }
}

#[tokio::test]
async fn a_database_with_the_provider_column_already_there_opens_and_is_extended() {
    let place = Place::new();
    let schema = OLDER_TABLE.replace("NOT NULL)", r#"NOT NULL, "providerName" varchar NULL)"#);
    older_database(
        &place,
        &schema,
        "INSERT INTO vehicle_valuation VALUES ('OLD1', 1, 2, NULL), \
         ('OLD2', 1, 2, 'Premium Car Valuations'), ('OLD3', 1, 2, 'Somebody Else')",
    );
    let store = place.open();
    let provider = |mark| at_once(store.find(&vrm(mark))).unwrap().unwrap().provider;
    assert_eq!(provider("OLD1"), None);
    assert_eq!(provider("OLD2"), Some(Provider::Premium));
    assert_eq!(provider("OLD3"), None, "a name that is not known here is no provider");
    store.commit(entry("NEW1")).await.unwrap();
    assert_eq!(provider("NEW1"), Some(Provider::SuperCar));
}

#[test]
fn a_database_in_rollback_journal_mode_opens() {
    let place = Place::new();
    older_database(&place, OLDER_TABLE, "INSERT INTO vehicle_valuation VALUES ('OLD1', 1, 2)");
    let mode = |conn: &Connection| -> String {
        conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(mode(&place.neighbour()), "delete");
    let store = place.open();
    assert!(at_once(store.find(&vrm("OLD1"))).unwrap().is_some());
    assert_eq!(mode(&place.neighbour()), "wal");
}

#[tokio::test]
async fn the_older_service_reads_and_inserts_while_we_are_open() {
    let place = Place::new();
    older_database(&place, OLDER_TABLE, "");
    let older = place.neighbour();
    let store = place.open();

    older.execute(OLDER_INSERT, ("OLD1", 22350, 24750.5)).unwrap();
    let found = store.find(&vrm("OLD1")).await.unwrap().unwrap();
    assert_eq!(shown(&found), ("22350".into(), "24750.5".into(), None));

    store.commit(entry("NEW1")).await.unwrap();
    let read: (f64, f64) = older
        .query_row(
            "SELECT lowestValue, highestValue FROM vehicle_valuation WHERE vrm = 'NEW1'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(read, (100.0, 200.5));
    older
        .execute(
            "INSERT INTO vehicle_valuation (vrm, lowestValue, highestValue, providerName) \
             VALUES ('OLD2', 1, 2, 'SuperCar Valuations')",
            [],
        )
        .unwrap();
    assert_eq!(store.find(&vrm("OLD2")).await.unwrap().unwrap().provider, Some(Provider::SuperCar));
}

#[tokio::test]
async fn a_valuation_that_another_program_stored_first_stays_and_our_calls_are_logged() {
    let place = Place::new();
    let store = place.open();
    place.neighbour().execute(OLDER_INSERT, ("AA99BCD", 1, 2)).unwrap();
    let stands = store.commit(entry("AA99BCD")).await.unwrap().unwrap();
    assert_eq!(shown(&stands), ("1".into(), "2".into(), None));
    assert_eq!(store.find(&vrm("AA99BCD")).await.unwrap(), Some(stands));
    assert_eq!(store.calls(Some(&vrm("AA99BCD")), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_row_that_cannot_be_understood_is_an_error_that_names_the_vehicle_and_the_value() {
    let place = Place::new();
    older_database(
        &place,
        OLDER_TABLE,
        "INSERT INTO vehicle_valuation VALUES ('NEG', -5, 2), ('JUNK', 'ten', 2), \
         ('HUGE', 1, 1e300), ('SWAP', 3, 2), ('BLOB', x'00', 2)",
    );
    let store = place.open();
    for (mark, expected) in [
        ("NEG", "lowestValue is -5: a value must not be negative"),
        ("JUNK", "lowestValue is \"ten\": not a decimal number"),
        ("HUGE", "highestValue is 1e300: a value must not exceed 99999999.99"),
        ("SWAP", "lowestValue 3 is above highestValue 2"),
        ("BLOB", "lowestValue is a blob of 1 bytes: not a decimal number"),
    ] {
        let expected = format!("the stored valuation of {mark} cannot be used: {expected}");
        let error = store.find(&vrm(mark)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { vrm: named, .. } if *named == vrm(mark)));
        assert_eq!(error.to_string(), expected);

        // It is found at the commit as well, and the calls are stored.
        let error = store.commit(entry(mark)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(store.calls(Some(&vrm(mark)), 10).await.unwrap().len(), 1);
        assert!(store.can_store());
    }
}

#[tokio::test]
async fn a_commit_by_another_program_is_noticed_during_constant_writes_and_our_own_is_not() {
    let place = Place::new();
    let store = place.open();
    let neighbour = place.neighbour();
    // The first look only learns the number.
    until("the first look", || store.version() > 0).await;
    let before = store.version();
    for mark in marks(100) {
        store.commit(entry(&mark)).await.unwrap();
    }
    until("the log was emptied", || place.wal_size() == 0).await;
    assert_eq!(store.version(), before, "own commits and checkpoints");

    neighbour.execute_batch("DELETE FROM vehicle_valuation WHERE vrm = 'V1'").unwrap();
    let noticed = async {
        for number in 0.. {
            if store.version() > before {
                return;
            }
            store.commit(entry(&format!("W{number}"))).await.unwrap();
        }
    };
    in_time("noticed", noticed).await;
    let before = store.version();
    neighbour.execute_batch("UPDATE vehicle_valuation SET lowestValue = 7").unwrap();
    until("noticed by a writer at rest", || store.version() > before).await;
}

#[tokio::test]
async fn a_database_that_we_made_serves_the_older_service() {
    let place = Place::new();
    let store = place.open();
    let ours = Entry {
        valuation: Some(valuation("AA99BCD", "0.05", "99999999.99")),
        calls: vec![call("AA99BCD")],
    };
    store.commit(ours).await.unwrap();
    store.shutdown().await;
    drop(store);

    let older = place.neighbour();
    let read: (f64, f64) = older
        .query_row("SELECT lowestValue, highestValue FROM vehicle_valuation", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(read, (0.05, 99_999_999.99));
    older.execute(OLDER_INSERT, ("OLD1", 1, 2)).unwrap();
    assert_eq!(count(&older, "vehicle_valuation"), 2);
}

#[test]
fn the_provider_column_comes_back_if_the_older_services_schema_tool_took_it_away() {
    let place = Place::new();
    place.make();
    place
        .neighbour()
        .execute_batch("ALTER TABLE vehicle_valuation DROP COLUMN providerName")
        .unwrap();
    let store = place.open();
    assert_eq!(at_once(store.find(&vrm("AA99BCD"))).unwrap(), None);
}

#[tokio::test]
async fn rows_of_before_a_column_keep_null_in_it_and_new_ones_have_a_value() {
    let place = Place::new();
    in_time("made", place.open().shutdown()).await;
    place
        .neighbour()
        .execute_batch(
            r#"ALTER TABLE "ProviderLogs" DROP COLUMN "outcome";
            ALTER TABLE "ProviderLogs" DROP COLUMN "rescue";
            INSERT INTO "ProviderLogs" ("vrm", "providerName", "requestedAt", "requestDurationMs",
            "requestUrl") VALUES ('OLD', 'SuperCar Valuations', '2026', 1, 'u')"#,
        )
        .unwrap();
    let store = place.open();
    store.commit(entry("NEW")).await.unwrap();
    let rows = store.calls(None, 10).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.outcome.as_deref(), row.rescue)).collect();
    assert_eq!(rows, [(None, None), (Some("success"), Some(false))]);
}
