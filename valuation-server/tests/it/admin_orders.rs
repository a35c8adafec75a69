//! What operators order, and what becomes of it.

use serde_json::json;
use valuation_server::domain::Provider;

use crate::app_harness::{TestApp, admin_get, admin_send, broken, provider};
use crate::http_harness::{Answer, Client};

const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

#[track_caller]
fn refused(answer: &Answer, status: u16, field: Option<&str>) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let json = answer.json();
    assert_eq!(json["status"], status);
    assert_eq!(json["field"].as_str(), field, "{json}");
    json["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_forced_route_holds_until_auto() {
    let app = TestApp::start().await;
    let answer = app.order(r#"{"updateState":"FORCE_FALLBACK"}"#).await;
    assert_eq!(answer.status, 200);
    let view = answer.json();
    assert_eq!(
        [&view["state"], &view["route"], &view["provider"], &view["forced"]],
        [&json!("forced_fallback"), &json!("fallback"), &json!(PREMIUM), &json!(true)]
    );
    app.advance(100_000);
    assert_eq!(provider(&app.put("A").await), PREMIUM);
    assert_eq!(app.calls(), (0, 1));
    let view = app.order(r#"{"updateState":"AUTO"}"#).await.json();
    assert_eq!([&view["state"], &view["forced"]], [&json!("primary"), &json!(false)]);
    assert_eq!(provider(&app.put("B").await), SUPERCAR);
}

#[tokio::test]
async fn a_forced_primary_does_not_trip() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.order(r#"{"updateState":"FORCE_PRIMARY"}"#).await;
    app.put_many("A", 20).await;
    assert_eq!(app.calls().0, 20);
    let view = app.view().await;
    assert_eq!(view["state"], "forced_primary");
    assert_eq!([&view["window"]["calls"], &view["window"]["failures"]], [20, 20]);
    assert_eq!(view["window"]["failureRate"], 1.0);
}

#[tokio::test]
async fn a_reset_ends_the_time_on_the_fallback_and_empties_the_counts() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    let view = app.view().await;
    assert_eq!([&view["state"], &view["revertsInSeconds"]], [&json!("fallback"), &json!(300.0)]);
    // Nothing is forced, so that there is nothing to release.
    let view = app.order(r#"{"updateState":"AUTO"}"#).await.json();
    assert_eq!(view["state"], "fallback");
    let view = app.order(r#"{"updateState":"RESET"}"#).await.json();
    assert_eq!([&view["state"], &view["revertsInSeconds"]], [&json!("primary"), &json!(null)]);
    assert_eq!(view["window"]["calls"], 0);
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_by_what_is_wrong_and_changes_nothing() {
    let app = TestApp::start().await;
    let before = app.view().await;
    for (body, field, right) in [
        (r#"{"updateState":"OPEN"}"#, Some("updateState"), "FORCE_PRIMARY, FORCE_FALLBACK, AUTO"),
        (r#"{"updateState":"force_primary"}"#, Some("updateState"), "RESET"),
        (r#"{"updateState":1}"#, Some("updateState"), "must be one of"),
        ("{}", Some("updateState"), "must be one of"),
        (r#"{"state":"AUTO"}"#, Some("state"), "there is no \"state\""),
        (r#"{"updateState":"RESET","x":1}"#, Some("x"), "there is no \"x\""),
        ("", None, "must be a JSON object"),
        ("[]", None, "must be a JSON object"),
        (r#"{"updateState":"RESET"} x"#, None, "line 1 column"),
    ] {
        let detail = refused(&app.order(body).await, 400, field);
        assert!(detail.contains(right), "{detail}");
    }
    let long = format!(r#"{{"updateState":"RESET","x":"{}"}}"#, "x".repeat(20_000));
    refused(&app.order(&long).await, 413, None);
    refused(&app.amend(&long).await, 413, None);
    let path = "/admin/failovers/valuations";
    for json in [
        admin_send("POST", path, r#"{"updateState":"FORCE_FALLBACK"}"#),
        admin_send("PUT", &format!("{path}/policy"), r#"{"min-calls":1}"#),
    ] {
        let plain = json.replace("application/json", "text/plain");
        refused(&app.operate(&plain).await, 415, None);
    }
    let other = admin_send("POST", "/admin/failovers/x", r#"{"updateState":"RESET"}"#);
    refused(&app.operate(&other).await, 404, None);
    assert_eq!(app.view().await, before);
    assert_eq!(app.look(&format!("{path}/events")).await.json(), json!([]));
}

#[tokio::test]
async fn a_get_changes_nothing_whatever_it_asks_for() {
    let app = TestApp::start().await;
    let before = app.view().await;
    for path in [
        "/admin/failovers/valuations?updateState=FORCE_FALLBACK",
        "/admin/failovers/valuations/events?updateState=RESET",
        "/admin/failovers/valuations/policy?min-calls=1",
    ] {
        for method in ["GET", "HEAD", "DELETE", "PATCH"] {
            let body = r#"{"updateState":"FORCE_FALLBACK","min-calls":1}"#;
            let mut client = Client::operator(app.admin).await;
            client.send(admin_send(method, path, body)).await;
            let status = client.head().await.status;
            assert!(matches!(status, 200 | 405), "{method} {path}: {status}");
        }
    }
    assert_eq!(app.view().await, before);
    assert_eq!(app.route(), (Provider::SuperCar, 0, 0));
}

#[tokio::test]
async fn each_path_says_which_methods_it_takes() {
    let app = TestApp::start().await;
    for (path, allow) in [
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/admin/failovers/valuations", "GET, HEAD, POST, OPTIONS"),
        ("/admin/failovers/valuations/policy", "PUT, OPTIONS"),
    ] {
        let answer = app.operate(&admin_get(path).replace("GET", "OPTIONS")).await;
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let answer = app.operate(&admin_get(path).replace("GET", "DELETE")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)));
    }
}

#[tokio::test]
async fn the_events_say_what_happened_the_newest_first() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    app.order(r#"{"updateState":"RESET"}"#).await;
    app.amend(r#"{"min-calls":7,"rescue":"off"}"#).await;
    app.amend(r#"{"min-calls":7,"failure-rate":"1/3"}"#).await;
    let path = "/admin/failovers/valuations/events";
    let events = app.look(path).await.json();
    let events = events.as_array().unwrap();
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e["number"].as_u64().unwrap(), e["kind"].as_str().unwrap(), e["cause"].as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (5, "order", None),
            (4, "transition", Some("policy_swapped")),
            (3, "transition", Some("released")),
            (2, "order", None),
            (1, "transition", Some("tripped")),
        ]
    );
    assert_eq!([&events[4]["from"], &events[4]["to"]], ["primary", "fallback"]);
    let tripped = events[4]["message"].as_str().unwrap();
    assert!(tripped.contains("10 of its last 10 calls failed; back in 5m"), "{tripped}");
    assert_eq!(events[3]["message"], "RESET");
    assert!(events[3]["from"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(events[0]["message"], "policy: failure-rate = 1/3, min-calls = 7");
    for event in events {
        let time = event["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    let two = app.look(&format!("{path}?limit=2")).await.json();
    assert_eq!(two.as_array().unwrap()[..], events[..2]);
    refused(&app.look(&format!("{path}?limit=-1")).await, 400, Some("limit"));
}

#[tokio::test]
async fn another_policy_keeps_what_the_window_has_seen_and_what_it_does_not_name() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 5).await;
    assert_eq!(app.route(), (Provider::SuperCar, 5, 5));
    let answer = app.amend(r#"{"min-calls":5,"revert-after":"10s"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let view = answer.json();
    assert_eq!(view["state"], "fallback", "five failures are enough by now");
    assert_eq!(view["revertsInSeconds"], 10.0);
    let policy = &view["policy"];
    assert_eq!([&policy["min-calls"], &policy["revert-after"]], ["5", "10s"]);
    assert_eq!([&policy["failure-rate"], &policy["window"]], ["1/2", "1m"]);
    app.amend(r#"{"failure-rate":0.25,"follow-retry-after":true}"#).await;
    let policy = app.view().await["policy"].clone();
    assert_eq!([&policy["failure-rate"], &policy["min-calls"]], ["1/4", "5"]);
    assert_eq!(policy["follow-retry-after"], "on");
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_is_refused_by_its_setting_and_nothing_of_it_is_taken() {
    let app = TestApp::start().await;
    let before = app.view().await;
    for (body, field, right) in [
        (r#"{"min-calls":3,"failure-rate":"1"}"#, Some("failure-rate"), "nothing exceeds 1"),
        (r#"{"min-calls":0}"#, Some("min-calls"), "a whole number from 1"),
        (r#"{"min-calls":"3.5"}"#, Some("min-calls"), "a whole number from 1"),
        (r#"{"window":60}"#, Some("window"), "a duration with its unit"),
        (r#"{"window":"5ms"}"#, Some("window"), "from 10ms"),
        (r#"{"slow-call":"5s"}"#, Some("slow-call"), "calls end after 5s"),
        (r#"{"probes":"many"}"#, Some("probes"), "from 0 (no probing) to 1000"),
        (r#"{"revert-after":["5m"]}"#, Some("revert-after"), "must be a text, a number"),
        (r#"{"rescue":"off"}"#, Some("rescue"), "is no setting of the policy; there are failure"),
        (r#"{"listen":"0.0.0.0:1"}"#, Some("listen"), "is no setting of the policy"),
        ("{}", None, "name at least one setting"),
        ("[]", None, "must be a JSON object"),
    ] {
        let detail = refused(&app.amend(body).await, 400, field);
        assert!(detail.contains(right), "{body}: {detail}");
    }
    assert_eq!(app.view().await, before);
}
