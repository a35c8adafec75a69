//! The server beside other programs that use its database.

use crate::app_harness::TestApp;
use crate::store_support::in_time;

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
