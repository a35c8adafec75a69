//! Forced routes with an end and a reason, and what is loud although customers notice nothing.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use valuation_server::config::Setting;
use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::store::{Store, StoreConfig};

use crate::app_harness::{TestApp, broken};

const FORCE: &str =
    r#"{"updateState":"FORCE_FALLBACK","for":"2h","reason":"SuperCar's maintenance"}"#;

/// Looks again until it holds.
async fn until(what: impl AsyncFn() -> bool) {
    let holds = async {
        while !what().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), holds).await.unwrap();
}

async fn events(app: &TestApp) -> Vec<Value> {
    let events = app.look("/admin/failovers/valuations/events").await.json();
    events.as_array().unwrap().clone()
}

async fn messages(app: &TestApp, kind: &str) -> Vec<String> {
    let events = events(app).await;
    let events = events.iter().filter(|event| event["kind"] == kind);
    events.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

async fn warnings(app: &TestApp) -> Vec<String> {
    let answer = app.look("/readyz?verbose").await;
    assert_eq!(answer.status, 200, "a warning does not make it unready");
    let lines = answer.body.lines().filter_map(|line| line.strip_prefix("[!] "));
    lines.map(str::to_owned).collect()
}

async fn metric(app: &TestApp, name: &str) -> f64 {
    let page = app.look("/metrics").await.body;
    let series = format!("{name}{{name=\"valuations\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(series.as_str()));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_forced_route_says_who_ordered_it_since_when_until_when_and_why() {
    let app = TestApp::start().await;
    assert_eq!(app.view().await["order"], Value::Null);
    assert_eq!(metric(&app, "valuation_failover_forced_seconds").await, 0.0);
    let answer = app.order(FORCE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let order = &answer.json()["order"];
    assert_eq!(order["route"], "fallback");
    assert_eq!(order["reason"], "SuperCar's maintenance");
    assert!(order["by"].as_str().unwrap().starts_with("127.0.0.1:"), "{order}");
    let lasts = time(&order["until"]).duration_since(time(&order["since"]));
    assert_eq!(lasts.as_secs(), 7_200);
    assert!(order["since"].as_str().unwrap().ends_with('Z'));

    let events = events(&app).await;
    assert_eq!([&events[1]["kind"], &events[0]["cause"]], ["order", "forced"]);
    assert_eq!([&events[1]["until"], &events[1]["reason"]], [&order["until"], &order["reason"]]);
    let ordered = events[1]["message"].as_str().unwrap();
    assert!(ordered.starts_with("FORCE_FALLBACK until "), "{ordered}");
    assert!(ordered.ends_with(": SuperCar's maintenance"), "{ordered}");
    let forced = events[0]["message"].as_str().unwrap();
    assert!(forced.contains("It stays so until ") && forced.contains(" UTC"), "{forced}");
    assert!(forced.contains("SuperCar's maintenance"), "{forced}");

    let warnings = warnings(&app).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in ["forced: ", "Premium", "until ", " UTC", "127.0.0.1:", "maintenance"] {
        assert!(warnings[0].contains(part), "{part} {warnings:?}");
    }
    assert!(metric(&app, "valuation_failover_forced_seconds").await > 0.0);

    let released = app.order(r#"{"updateState":"AUTO","reason":"it is over"}"#).await.json();
    assert_eq!([&released["order"], &released["state"]], [&Value::Null, &json!("primary")]);
    assert_eq!(messages(&app, "order").await[0], "AUTO: it is over");
    assert!(messages(&app, "transition").await[0].contains("released by an operator"));
    assert_eq!(metric(&app, "valuation_failover_forced_seconds").await, 0.0);
}

#[tokio::test]
async fn without_an_end_it_stays_until_it_is_released() {
    let app = TestApp::start().await;
    let order = app.order(r#"{"updateState":"FORCE_PRIMARY"}"#).await.json()["order"].clone();
    assert_eq!(
        [&order["route"], &order["until"], &order["reason"]],
        [&json!("primary"), &Value::Null, &Value::Null]
    );
    assert!(messages(&app, "transition").await[0].contains("It stays so until it is released"));
    assert!(warnings(&app).await[0].contains("until it is released"));
    let view = app.order(r#"{"updateState":"RESET"}"#).await.json();
    assert_eq!(view["order"], Value::Null);
}

#[tokio::test]
async fn a_second_order_of_the_same_route_extends_it() {
    let app = TestApp::start().await;
    let first = app.order(r#"{"updateState":"FORCE_FALLBACK"}"#).await.json()["order"].clone();
    let second = app.order(FORCE).await.json()["order"].clone();
    assert_eq!(first["since"], second["since"]);
    assert_eq!(
        [&first["until"], &second["reason"]],
        [&Value::Null, &json!("SuperCar's maintenance")]
    );
    let messages = messages(&app, "order").await;
    assert!(messages[0].contains("(extended: forced since "), "{messages:?}");
    assert!(!messages[1].contains("extended"), "{messages:?}");
}

#[tokio::test]
async fn an_end_or_a_reason_that_makes_no_sense_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let long = format!(r#""{}""#, "é".repeat(201));
    for (command, member, value, right) in [
        ("FORCE_FALLBACK", "for", r#""""#, "from 1s to 30days"),
        ("FORCE_FALLBACK", "for", r#""999ms""#, "from 1s to 30days"),
        ("FORCE_FALLBACK", "for", r#""31days""#, "from 1s to 30days"),
        ("FORCE_FALLBACK", "for", r#""two hours""#, "such as 15m or 2h"),
        ("FORCE_FALLBACK", "for", "7200", "with its unit"),
        ("FORCE_FALLBACK", "for", "null", "until it is released"),
        ("AUTO", "for", r#""2h""#, "only a forced route has an end"),
        ("RESET", "for", r#""2h""#, "only a forced route has an end"),
        ("FORCE_PRIMARY", "reason", r#""""#, "1 to 200 characters"),
        ("FORCE_PRIMARY", "reason", r#""a\nb""#, "on one line"),
        ("FORCE_PRIMARY", "reason", r#""\u0000""#, "on one line"),
        ("FORCE_PRIMARY", "reason", r#""  ""#, "a visible one"),
        ("FORCE_PRIMARY", "reason", r#""\u200b\u00a0""#, "a visible one"),
        ("FORCE_PRIMARY", "reason", r#""a\u202eb""#, "the direction of text"),
        ("FORCE_PRIMARY", "reason", r#""a\u2066b""#, "the direction of text"),
        ("FORCE_PRIMARY", "reason", r#""\u200fa""#, "the direction of text"),
        ("FORCE_PRIMARY", "reason", &long, "1 to 200 characters"),
        ("FORCE_PRIMARY", "reason", "1", "must be a text"),
    ] {
        let answer =
            app.order(&format!(r#"{{"updateState":"{command}","{member}":{value}}}"#)).await;
        assert_eq!(answer.status, 400, "{member} {value} {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["field"], member);
        assert!(problem["detail"].as_str().unwrap().contains(right), "{problem}");
    }
    assert_eq!(
        [&app.view().await["order"], &app.view().await["state"]],
        [&Value::Null, &json!("primary")]
    );
    let longest = format!(
        r#"{{"updateState":"FORCE_FALLBACK","for":"30days","reason":"{}"}}"#,
        "é".repeat(200)
    );
    assert_eq!(app.order(&longest).await.status, 200);
}

#[tokio::test]
async fn an_order_ends_as_planned_and_a_later_one_outlasts_the_end_of_an_earlier_one() {
    let app = TestApp::start().await;
    app.order(r#"{"updateState":"FORCE_FALLBACK","for":"1s"}"#).await;
    until(async || app.view().await["state"] == "primary").await;
    assert_eq!(app.view().await["order"], Value::Null);
    let message = messages(&app, "transition").await.remove(0);
    assert!(message.contains("the forced route ended as planned"), "{message}");

    app.order(r#"{"updateState":"FORCE_FALLBACK","for":"1s"}"#).await;
    let until_then = time(&app.order(FORCE).await.json()["order"]["since"]);
    until(async || {
        jiff::Timestamp::now().duration_since(until_then) > jiff::SignedDuration::from_millis(2_200)
    })
    .await;
    assert_eq!(app.view().await["state"], "forced_fallback");
}

#[tokio::test]
async fn an_order_outlasts_a_restart_with_its_end_and_its_reason() {
    let app = TestApp::start().await;
    let order = app.order(FORCE).await.json()["order"].clone();
    let (_, folder) = app.stop().await;
    let app = TestApp::in_folder(folder, &[]).await;
    let view = app.view().await;
    assert_eq!([&view["order"], &view["state"]], [&order, &json!("forced_fallback")]);
    app.order(r#"{"updateState":"AUTO"}"#).await;
    let (_, folder) = app.stop().await;
    let app = TestApp::in_folder(folder, &[]).await;
    let view = app.view().await;
    assert_eq!([&view["order"], &view["state"]], [&Value::Null, &json!("primary")]);
}

/// Stops, lets `change` edit what was saved, and starts again.
async fn restart(app: TestApp, change: impl FnOnce(&mut Value)) -> TestApp {
    let (_, folder) = app.stop().await;
    let store =
        Store::open(&StoreConfig::new(folder.path().join("valuations.sqlite"))).await.unwrap();
    let note = store.noted("valuations order").await.unwrap().unwrap();
    let mut saved: Value = serde_json::from_str(&note.text).unwrap();
    change(&mut saved);
    store.note("valuations order", saved.to_string(), note.at.unwrap()).await.unwrap();
    store.shutdown().await;
    TestApp::in_folder(folder, &[]).await
}

#[tokio::test]
async fn an_order_whose_end_came_while_the_server_was_down_is_released_at_the_start() {
    let app = TestApp::start().await;
    app.order(FORCE).await;
    let app = restart(app, |saved| saved["order"]["until"] = json!("2026-01-01T00:00:00Z")).await;
    let view = app.view().await;
    assert_eq!([&view["order"], &view["state"]], [&Value::Null, &json!("primary")]);
    assert!(messages(&app, "transition").await[0].contains("ended as planned"));
}

#[tokio::test]
async fn the_saved_order_decides_whether_the_route_is_forced() {
    let app = TestApp::start().await;
    app.order(FORCE).await;
    let mut order = Value::Null;
    let app = restart(app, |saved| order = saved["order"].take()).await;
    assert_eq!(app.view().await["state"], "primary", "released, and the route not saved any more");
    let app = restart(app, |saved| saved["order"] = order.clone()).await;
    assert_eq!(app.view().await["state"], "forced_fallback");
    // Unreadable: it stays as the route was saved.
    let app = restart(app, |saved| *saved = json!("?")).await;
    let view = app.view().await;
    assert_eq!(
        [&view["state"], &view["order"]["until"]],
        [&json!("forced_fallback"), &Value::Null]
    );
    assert!(view["order"]["by"].as_str().unwrap().starts_with("unknown"), "{view}");
}

const LONG: &str = "valuation_failover_on_fallback_seconds";

#[tokio::test]
async fn a_long_time_on_the_fallback_is_an_event_a_metric_and_a_warning_until_it_is_over() {
    // Windows so long that a stay outlasts each jump of the clock, whenever the task looks that runs in real time.
    let settings = [(Setting::FallbackWarning, "10m"), (Setting::Window, "3m")];
    let app = TestApp::with(&settings).await;
    app.supercar.set_fault(broken());
    assert_eq!(metric(&app, LONG).await, 0.0);
    app.put_many("A", 10).await;
    app.advance(299);
    assert_eq!(metric(&app, LONG).await, 299.0);
    assert_eq!(warnings(&app).await, [""; 0]);
    // The time is over, and SuperCar fails again.
    app.advance(2);
    app.put_many("B", 10).await;
    app.advance(298);
    assert_eq!(metric(&app, LONG).await, 599.0);
    app.put_many("C", 1).await;
    app.order(r#"{"updateState":"FORCE_FALLBACK","reason":"see above"}"#).await;
    app.advance(2);
    let warnings = warnings(&app).await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[1].contains("stood in for SuperCar for 10m 1s"), "{warnings:?}");
    until(async || !messages(&app, "longOnFallback").await.is_empty()).await;

    app.supercar.set_fault(Fault::NONE);
    app.order(r#"{"updateState":"AUTO"}"#).await;
    let window = app.providers.config().window;
    app.advance(2 * window.as_secs() + 1);
    until(async || messages(&app, "longOnFallback").await.len() == 2).await;
    let long = events(&app).await;
    let long: Vec<_> = long.iter().filter(|event| event["kind"] == "longOnFallback").collect();
    assert_eq!([&long[1]["ongoing"], &long[0]["ongoing"]], [true, false]);
    assert!(long[1]["seconds"].as_u64().unwrap() >= 601, "{long:?}");
    assert_eq!(metric(&app, LONG).await, 0.0);
    assert_eq!(self::warnings(&app).await, [""; 0]);
}

#[tokio::test]
async fn how_long_the_fallback_has_stood_in_outlasts_a_restart() {
    let app = TestApp::start().await;
    app.order(FORCE).await;
    app.advance(3_500);
    let app = restart(app, |_| ()).await;
    let lasted = metric(&app, LONG).await;
    assert!((3_499.0..3_560.0).contains(&lasted), "{lasted}");
    let (_, folder) = app.stop().await;
    let store =
        Store::open(&StoreConfig::new(folder.path().join("valuations.sqlite"))).await.unwrap();
    let note = store.noted("valuations order").await.unwrap().unwrap();
    let earlier = SystemTime::now() - Duration::from_secs(120);
    store.note("valuations order", note.text, earlier).await.unwrap();
    store.shutdown().await;
    let app = TestApp::in_folder(folder, &[]).await;
    assert!(metric(&app, LONG).await >= 3_619.0, "with the time that the restart took");
    assert!(warnings(&app).await.iter().any(|warning| warning.starts_with("on the fallback")));
}

#[tokio::test]
async fn the_warning_of_a_long_time_can_be_turned_off() {
    let app = TestApp::with(&[(Setting::FallbackWarning, "off")]).await;
    app.order(r#"{"updateState":"FORCE_FALLBACK"}"#).await;
    app.advance(100_000);
    assert_eq!(warnings(&app).await.len(), 1, "that it is forced");
    assert_eq!(metric(&app, LONG).await, 100_000.0);
}

#[tokio::test]
async fn a_dead_key_is_a_warning_although_customers_get_valuations() {
    let app = TestApp::with(&[(Setting::ClientErrorStreak, "failure")]).await;
    app.supercar.set_fault(Fault::always(Mode::Status(401)));
    assert_eq!(app.put_many("A", 3).await, [200; 3]);
    let warnings = warnings(&app).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("SuperCar Valuations refused a request with status 401"));
    app.supercar.set_fault(Fault::NONE);
    app.put("B").await;
    assert_eq!(self::warnings(&app).await, [""; 0]);
}

#[tokio::test]
async fn a_preview_of_a_policy_says_what_the_window_would_do_and_changes_nothing() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 4).await;
    app.supercar.set_fault(Fault::NONE);
    app.put_many("B", 7).await;
    let before = app.view().await;
    let preview = async |body: &str| {
        let path = "/admin/failovers/valuations/policy?preview";
        app.operate(&crate::app_harness::admin_send("PUT", path, body)).await
    };
    let answer = preview(r#"{"failure-rate":"1/3"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["wouldTrip"], true);
    assert_eq!(json["because"], "4 of 11 calls failed; more than 1/3 of at least 10 trips");
    assert_eq!([&json["policy"]["failure-rate"], &json["policy"]["min-calls"]], ["1/3", "10"]);
    let json = preview(r#"{"min-calls":20}"#).await.json();
    assert_eq!(json["wouldTrip"], false);
    assert_eq!(json["because"], "4 of 11 calls failed; more than 1/2 of at least 20 trips");
    let wrong_scope = r#"{"min-calls":9,"scope":{}}"#;
    for body in [r#"{"min-calls":0}"#, "{}", r#"{"rescue":"off"}"#, "[]", wrong_scope] {
        let (preview, amended) = (preview(body).await, app.amend(body).await);
        assert_eq!(preview.status, 400);
        assert_eq!(preview.body, amended.body, "the same as without `preview`");
    }
    assert_eq!(app.view().await, before);
    assert_eq!(events(&app).await, [Value::Null; 0]);
    for query in ["?Preview", "?preview=false", "?preview=1", "?preview&x", "?dry-run", "?preview2"]
    {
        let path = format!("/admin/failovers/valuations/policy{query}");
        let body = r#"{"failure-rate":"1/3"}"#;
        let answer = app.operate(&crate::app_harness::admin_send("PUT", &path, body)).await;
        assert_eq!(answer.status, 400, "{query} {answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("nothing was changed: send ?preview,"), "{detail}");
    }
    for value in [r#"" 1/3""#, r#""1/3 ""#, r#""\n1/3""#, r#""1/3\u0000""#, r#""1\u202e/3""#] {
        let answer = app.amend(&format!(r#"{{"failure-rate":{value}}}"#)).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("failure-rate")));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("white space"), "{detail}");
    }
    assert_eq!(app.view().await, before);
    // It is what the change leads to.
    app.amend(r#"{"failure-rate":"1/3"}"#).await;
    assert_eq!(app.view().await["state"], "fallback");
    let json = preview(r#"{"failure-rate":"1/2"}"#).await.json();
    assert_eq!(json["wouldTrip"], false);
    assert!(json["because"].as_str().unwrap().contains("Premium is asked already"), "{json}");
}
