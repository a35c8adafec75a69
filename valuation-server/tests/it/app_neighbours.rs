//! The server next to other programs that use its database.

use crate::app_harness::TestApp;
use crate::store_support::{count, in_time};

/// The statement from docs/database.md, which operators repeat.
const RETENTION: &str = "DELETE FROM ProviderLogs WHERE id IN (
  SELECT id FROM ProviderLogs
  WHERE providerName IN ('SuperCar Valuations', 'Premium Car Valuations')
    AND requestedAt < '2026-01-01' LIMIT 1000)";

#[tokio::test]
async fn rows_that_are_deleted_by_the_thousand_keep_no_valuation_from_being_stored() {
    assert!(include_str!("../../docs/database.md").contains(RETENTION));
    let app = TestApp::start().await;
    let neighbour =
        rusqlite::Connection::open(app.folder.path().join("valuations.sqlite")).unwrap();
    neighbour.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    neighbour
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO ProviderLogs (vrm, providerName, requestedAt, requestDurationMs, requestUrl)
             SELECT 'OLD', 'SuperCar Valuations', '2025-12-31T23:59:59.999Z', 1, 'u' FROM n",
        )
        .unwrap();
    let deleting = tokio::task::spawn_blocking(move || {
        while neighbour.execute(RETENTION, []).unwrap() > 0 {}
        neighbour
    });
    let mut stored = 0;
    while !deleting.is_finished() || stored == 0 {
        assert_eq!(app.put(&format!("A{stored}")).await.status, 200);
        stored += 1;
    }
    assert_eq!(count(&deleting.await.unwrap(), "ProviderLogs"), stored);
}

#[test]
fn the_rows_to_delete_are_found_by_an_index() {
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    let schema = include_str!("../../migrations/001_valuations_and_provider_logs.sql");
    conn.execute_batch(schema).unwrap();
    let plan: Vec<String> = conn
        .prepare(&format!("EXPLAIN QUERY PLAN {RETENTION}"))
        .unwrap()
        .query_map([], |row| row.get("detail"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let index = "ProviderLogs_providerName_requestedAt (providerName=? AND requestedAt<?)";
    assert!(plan.iter().any(|step| step.contains(index)), "{plan:?}");
    assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{plan:?}");
}

#[tokio::test]
async fn a_row_that_an_operator_deletes_or_changes_in_the_database_is_no_longer_answered() {
    let app = TestApp::start().await;
    app.put_many("A", 2).await;
    assert_eq!(app.get("A0").await.status, 200);
    let neighbour =
        rusqlite::Connection::open(app.folder.path().join("valuations.sqlite")).unwrap();
    neighbour
        .execute_batch(
            "DELETE FROM vehicle_valuation WHERE vrm = 'A0';
             UPDATE vehicle_valuation SET lowestValue = 7 WHERE vrm = 'A1'",
        )
        .unwrap();
    let noticed = async {
        while app.get("A0").await.status == 200 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    in_time("noticed", noticed).await;
    assert_eq!(app.get("A0").await.status, 404);
    assert_eq!(app.get("A1").await.json()["lowestValue"], 7);
    let calls = app.calls();
    assert_eq!(app.put("A0").await.status, 200);
    assert_eq!(app.calls(), (calls.0 + 1, calls.1), "it is asked about again");
}
