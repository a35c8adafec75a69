//! An operator's changes of the policy that are saved for later starts.

use serde_json::json;
use valuation_server::app::Ended;
use valuation_server::config::Setting;
use valuation_server::store::{Store, StoreConfig};

use crate::app_harness::TestApp;

async fn policy(app: &TestApp) -> serde_json::Value {
    app.view().await["policy"].clone()
}

#[tokio::test]
async fn a_saved_change_is_in_force_after_a_restart_over_the_sources_and_others_are_not() {
    let app = TestApp::with(&[(Setting::MinCalls, "5")]).await;
    let answer = app.amend(r#"{"min-calls":7,"window":"30s","persist":true}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.amend(r#"{"window":"40s","revert-after":"1m"}"#).await.status, 200);
    let events = app.look("/admin/failovers/valuations/events").await.json();
    let saved = "policy: min-calls = 7, window = 30s, saved for later starts";
    let of = |event: &serde_json::Value| event["message"] == saved;
    assert!(events.as_array().unwrap().iter().any(of), "{events}");
    let before = policy(&app).await;
    assert_eq!(
        [&before["min-calls"], &before["window"], &before["revert-after"]],
        ["7", "40s", "1m"]
    );
    let (ended, folder) = app.stop().await;
    assert_eq!(ended, Ended::Whole);

    let app = TestApp::in_folder(folder, &[(Setting::MinCalls, "6")]).await;
    let after = policy(&app).await;
    assert_eq!([&after["min-calls"], &after["window"], &after["revert-after"]], ["7", "30s", "5m"]);
    let applied = app.apply(&[(Setting::MinCalls, "8")]);
    assert_eq!(
        (applied.changed, applied.waiting),
        (vec![], vec![]),
        "the next start has 7 as well"
    );
}

#[tokio::test]
async fn null_takes_a_change_back_a_saved_one_too() {
    let app = TestApp::with(&[(Setting::MinCalls, "5")]).await;
    app.amend(r#"{"min-calls":7,"window":"30s","persist":true}"#).await;
    app.amend(r#"{"min-calls":9}"#).await;
    let preview = "/admin/failovers/valuations/policy?preview";
    let preview = crate::app_harness::admin_send("PUT", preview, r#"{"min-calls":null}"#);
    assert_eq!(app.operate(&preview).await.json()["policy"]["min-calls"], "5");
    assert_eq!(policy(&app).await["min-calls"], "9", "nothing was changed");
    let view = app.amend(r#"{"min-calls":null}"#).await.json();
    assert_eq!([&view["policy"]["min-calls"], &view["policy"]["window"]], ["5", "30s"]);
    let events = app.look("/admin/failovers/valuations/events?limit=1").await.json();
    assert_eq!(events[0]["message"], "policy: min-calls as configured");
    let (_, folder) = app.stop().await;
    let app = TestApp::in_folder(folder, &[(Setting::MinCalls, "6")]).await;
    let after = policy(&app).await;
    assert_eq!([&after["min-calls"], &after["window"]], ["6", "30s"]);
}

#[tokio::test]
async fn a_saved_change_that_makes_no_sense_at_a_start_is_left_out_and_the_others_are_not() {
    let app = TestApp::start().await;
    app.amend(r#"{"slow-call":"2s","min-calls":7,"persist":true}"#).await;
    let (_, folder) = app.stop().await;
    let config = StoreConfig::new(folder.path().join("valuations.sqlite"));
    let store = Store::open(&config).await.unwrap();
    let note = store.noted("valuations policy").await.unwrap().unwrap();
    let mut saved: serde_json::Value = serde_json::from_str(&note.text).unwrap();
    saved["listen"] = saved["min-calls"].clone();
    saved["of-a-later-version"] = saved["min-calls"].clone();
    store.note("valuations policy", saved.to_string(), note.at.unwrap()).await.unwrap();
    store.shutdown().await;

    let app = TestApp::in_folder(folder, &[(Setting::ProviderTimeout, "1s")]).await;
    let after = policy(&app).await;
    assert_eq!([&after["min-calls"], &after["slow-call"]], ["7", "off"]);
}

#[tokio::test]
async fn persist_is_true_or_false_and_no_setting() {
    let app = TestApp::start().await;
    for (body, field) in [
        (r#"{"min-calls":7,"persist":"yes"}"#, json!("persist")),
        (r#"{"min-calls":7,"persist":null}"#, json!("persist")),
        (r#"{"persist":true}"#, json!(null)),
    ] {
        let answer = app.amend(body).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &field), "{body}");
    }
    assert_eq!(policy(&app).await["min-calls"], "10");
    assert_eq!(app.amend(r#"{"min-calls":7,"persist":false}"#).await.status, 200);
    let (_, folder) = app.stop().await;
    let app = TestApp::in_folder(folder, &[]).await;
    assert_eq!(policy(&app).await["min-calls"], "10");
}
