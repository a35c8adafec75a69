//! Random changes of a sealed log are always found.

use std::sync::LazyLock;

use proptest::prelude::*;
use rusqlite::types::Value;
use valuation_server::domain::Entry;
use valuation_server::store::verify;

use crate::store_support::{Place, call, failed_call};

/// A database with 40 rows in records of one to five, closed, as bytes.
static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let place = Place::new();
    let store = place.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut count = 1;
        let mut left = 40;
        while left > 0 {
            let calls = (0..count.min(left)).map(|n| match n {
                2 => failed_call("F", "no answer"),
                n => call(&format!("V{n}")),
            });
            store.commit(Entry { valuation: None, calls: calls.collect() }).await.unwrap();
            left -= count.min(left);
            count = count % 5 + 1;
        }
        store.shutdown().await;
    });
    std::fs::read(place.path()).unwrap()
});

fn sealed() -> Place {
    let place = Place::new();
    std::fs::write(place.path(), &*SEALED).unwrap();
    place
}

const COLUMNS: [&str; 10] = [
    "vrm",
    "providerName",
    "requestedAt",
    "requestDurationMs",
    "requestUrl",
    "responseCode",
    "errorCode",
    "errorMessage",
    "outcome",
    "rescue",
];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        (-4_i64..600).prop_map(Value::Integer),
        any::<f64>().prop_filter("stored as NULL", |number| !number.is_nan()).prop_map(Value::Real),
        ".{0,6}".prop_map(Value::Text),
        Just(Value::Text("success".to_owned())),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Value::Blob),
        Just(Value::Null),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_changed_field_is_found_and_its_row_named(id in 1_i64..=40, column in 0_usize..10, value in value()) {
        let place = sealed();
        let conn = place.neighbour();
        let column = COLUMNS[column];
        let of = || -> (String, String) {
            let sql = format!("SELECT typeof({column}), quote({column}) FROM ProviderLogs WHERE id = ?1");
            conn.query_row(&sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        let before = of();
        let sql = format!("UPDATE OR IGNORE ProviderLogs SET {column} = ?1 WHERE id = ?2");
        conn.execute(&sql, (&value, id)).unwrap();
        let is_changed = of() != before;
        let found = verify(&[place.path()], &[], |_, _| {}).unwrap();
        let lines: Vec<_> = found.findings.iter().map(ToString::to_string).collect();
        if is_changed {
            prop_assert_eq!(lines.len(), 1, "{:?}", &lines);
            prop_assert!(lines[0].ends_with(&format!(": row {id} was changed")), "{}", &lines[0]);
        } else {
            prop_assert!(lines.is_empty(), "{:?}", &lines);
        }
    }

    #[test]
    fn a_changed_byte_of_a_record_or_a_text_is_found(
        id in 1_i64..=40,
        target in 0_usize..5,
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let place = sealed();
        let conn = place.neighbour();
        let (table, key, column) = [
            ("ProviderLogs", "id", "requestUrl"),
            ("ProviderLogs", "id", "requestedAt"),
            ("log_chain", "lastId", "head"),
            ("log_chain", "lastId", "previous"),
            ("log_chain", "lastId", "rowTags"),
        ][target];
        let row = format!("(SELECT min({key}) FROM {table} WHERE {key} >= {id})");
        let sql = format!("SELECT CAST({column} AS blob) FROM {table} WHERE {key} = {row}");
        let mut bytes: Vec<u8> = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let cast = if table == "log_chain" { "?1" } else { "CAST(?1 AS text)" };
        conn.execute(&format!("UPDATE {table} SET {column} = {cast} WHERE {key} = {row}"), [bytes]).unwrap();
        let found = verify(&[place.path()], &[], |_, _| {}).unwrap();
        prop_assert!(found.count > 0);
    }
}
