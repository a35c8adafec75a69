//! The configuration in force, as the operators see it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use valuation_server::config::{Setting, Status};

use crate::app_harness::{TestApp, admin_get};

async fn setting(app: &TestApp, key: &str) -> Value {
    let config = app.look("/admin/config").await.json();
    let settings = config["settings"].as_array().unwrap();
    assert_eq!(settings.len(), Setting::ALL.len());
    settings.iter().find(|setting| setting["key"] == key).unwrap().clone()
}

fn since(setting: &Value) -> jiff::Timestamp {
    setting["since"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_value_is_shown_with_its_source_and_what_waits_for_a_restart() {
    let app = TestApp::with(&[(Setting::MinCalls, "5")]).await;
    let start = setting(&app, "min-calls").await;
    assert_eq!(
        [&start["value"], &start["source"], &start["change"]],
        ["5", "flag --min-calls", "operator"]
    );
    assert_eq!(
        [&start["by"], &start["waits"], &start["atRestart"]],
        [&json!(null), &json!(false), &json!("5")]
    );

    app.amend(r#"{"min-calls":7}"#).await;
    let ordered = setting(&app, "min-calls").await;
    assert_eq!([&ordered["value"], &ordered["source"]], ["7", "operator"]);
    assert_eq!([&ordered["waits"], &ordered["atRestart"]], [&json!(true), &json!("5")]);
    assert!(ordered["by"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(since(&ordered) >= since(&start));

    app.amend(r#"{"min-calls":8,"persist":true}"#).await;
    let saved = setting(&app, "min-calls").await;
    assert_eq!([&saved["value"], &saved["source"]], ["8", "operator, saved"]);
    assert_eq!([&saved["waits"], &saved["atRestart"]], [&json!(false), &json!("8")]);

    app.amend(r#"{"min-calls":null}"#).await;
    let back = setting(&app, "min-calls").await;
    assert_eq!(
        [&back["value"], &back["source"], &back["by"]],
        [&json!("5"), &json!("flag --min-calls"), &json!(null)]
    );
    assert!(since(&back) >= since(&saved));

    app.apply(&[
        (Setting::Listen, "127.0.0.1:1"),
        (Setting::AdminToken, "a-secret-that-is-not-shown"),
    ]);
    let request = admin_get("/admin/config")
        .replace("\r\n\r\n", "\r\nAuthorization: Bearer a-secret-that-is-not-shown\r\n\r\n");
    let answer = app.operate(&request).await;
    assert!(!answer.body.contains("a-secret"), "{}", answer.body);
    let config = answer.json();
    assert_eq!(config["document"], json!(null));
    let listen = &config["settings"][0];
    assert_eq!([&listen["value"], &listen["atRestart"]], ["127.0.0.1:0", "127.0.0.1:1"]);
    assert_eq!([&listen["waits"], &listen["change"]], [&json!(true), &json!("restart")]);
}

#[tokio::test]
async fn what_became_of_the_document_is_on_the_page_in_the_warnings_and_in_the_metrics() {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_040_000 + seconds);
    let status = Status::of("/etc/v.toml".to_owned(), at(0));
    let app = TestApp::with_status(status.clone()).await;
    let document = async || app.look("/admin/config").await.json()["document"].clone();
    let metric =
        async |line: &str| app.look("/metrics").await.body.contains(&format!("\n{line}\n"));
    let warnings =
        async || app.look("/readyz?verbose").await.body.matches("[!] configuration").count();
    let page = async || app.look("/page/history").await.body;
    let read = json!({"place": "/etc/v.toml", "readAt": "2026-11-30T12:00:00.000Z", "refused": null, "unreachable": null});
    assert_eq!(document().await, read);
    assert!(metric("valuation_config_refused 0").await);
    assert!(metric("valuation_config_last_applied_timestamp_seconds 1796040000.0").await);
    assert!(metric(r#"valuation_config_reloads_total{result="refused"} 0"#).await);
    assert_eq!(warnings().await, 0);

    status.refused(at(10), "window: no".to_owned());
    assert_eq!(
        document().await["refused"],
        json!({"at": "2026-11-30T12:00:10.000Z", "because": "window: no"})
    );
    assert!(metric("valuation_config_refused 1").await);
    assert!(metric(r#"valuation_config_reloads_total{result="refused"} 1"#).await);
    assert_eq!(warnings().await, 1);
    assert!(page().await.contains("window: no"));

    status.unreachable(at(20), "connection refused".to_owned());
    assert_eq!(warnings().await, 2);
    assert!(page().await.contains("connection refused"));

    let applied = app.apply(&[(Setting::Rescue, "off")]);
    status.applied(at(30), &applied.changed);
    assert_eq!(document().await["readAt"], "2026-11-30T12:00:30.000Z");
    assert_eq!(setting(&app, "rescue").await["since"], "2026-11-30T12:00:30.000Z");
    assert!(metric("valuation_config_refused 0").await);
    assert!(metric(r#"valuation_config_reloads_total{result="applied"} 1"#).await);
    assert_eq!(warnings().await, 0);
}
