//! A provider that answers, and gives no valuation: a wrong path or key in its URL.

use std::time::Duration;

use valuation_server::config::Setting;
use valuation_server::demo::simulator::{Fault, Mode, Pace};
use valuation_server::domain::Provider;

use crate::app_harness::{TestApp, provider};
use crate::http_harness::{Client, put};
use crate::process_harness::{Process, simulators};

const FAILURE: (Setting, &str) = (Setting::ClientErrorStreak, "failure");

fn status(status: u16) -> Fault {
    Fault::always(Mode::Status(status))
}

/// The events of a kind, the oldest first.
async fn events(app: &TestApp, kind: &str) -> Vec<serde_json::Value> {
    let events = app.look("/admin/failovers/valuations/events").await.json();
    let mut events: Vec<_> = events.as_array().unwrap().clone();
    events.retain(|event| event["kind"] == kind);
    events.reverse();
    events
}

async fn reported(app: &TestApp) -> Vec<String> {
    let events = events(app, "clientErrors").await;
    events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// The streak of a provider, and whether it is reported, by the metrics.
async fn metrics(app: &TestApp, provider: Provider) -> (String, String) {
    let page = app.look("/metrics").await.body;
    let value = |name: &str| {
        let series = format!("{name}{{provider=\"{provider}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(series.as_str()));
        line.unwrap_or_else(|| panic!("no {series} in {page}")).to_owned()
    };
    (
        value("valuation_provider_client_error_streak"),
        value("valuation_provider_only_client_errors"),
    )
}

#[tokio::test]
async fn ten_first_answers_without_a_valuation_are_reported_once_and_so_is_their_end() {
    let app = TestApp::start().await;
    app.supercar.set_fault(status(404));
    app.put_many("A", 9).await;
    assert_eq!(reported(&app).await, [""; 0]);
    assert_eq!(metrics(&app, Provider::SuperCar).await, ("9".into(), "0".into()));
    let statuses = app.put_many("B", 21).await;
    assert_eq!(statuses, [404; 21]);
    let messages = reported(&app).await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    for part in ["none of the last 10 answers of SuperCar Valuations", "404", "path in its URL"] {
        assert!(messages[0].contains(part), "{messages:?}");
    }
    assert_eq!(metrics(&app, Provider::SuperCar).await, ("30".into(), "1".into()));
    assert_eq!(metrics(&app, Provider::Premium).await, ("0".into(), "0".into()));
    assert_eq!(app.route(), (Provider::SuperCar, 30, 0), "by default they are answers");
    let warnings = app.look("/readyz?verbose").await.body;
    let last = ". Its last answer was to the call of 20";
    assert!(warnings.contains(last) && warnings.trim_end().contains(" UTC\n"), "{warnings}");

    app.supercar.set_fault(Fault::NONE);
    app.put("C").await;
    let events = events(&app, "clientErrors").await;
    assert_eq!(events.len(), 2);
    assert_eq!([&events[0]["ongoing"], &events[1]["ongoing"]], [true, false]);
    assert_eq!([&events[0]["answers"], &events[1]["answers"]], [10, 30]);
    assert_eq!(events[1]["provider"], "SuperCar Valuations");
    assert_eq!(metrics(&app, Provider::SuperCar).await, ("0".into(), "0".into()));
}

#[tokio::test]
async fn after_a_valuation_it_takes_a_minute_and_ten_answers() {
    let app = TestApp::start().await;
    app.put("A").await;
    app.supercar.set_fault(status(404));
    app.put_many("B", 30).await;
    app.clock.advance(Duration::from_millis(59_999));
    app.put("C").await;
    assert_eq!(reported(&app).await, [""; 0], "thirty unknown vehicles within a minute");
    app.clock.advance(Duration::from_millis(1));
    app.put("D").await;
    assert_eq!(reported(&app).await.len(), 1);

    app.supercar.set_fault(Fault::NONE);
    app.put("E").await;
    app.supercar.set_fault(status(404));
    app.advance(3_600);
    app.put_many("F", 9).await;
    assert_eq!(reported(&app).await.len(), 2, "nine answers in an hour");
    app.put("G").await;
    assert_eq!(reported(&app).await.len(), 3);
}

#[tokio::test]
async fn refused_credentials_are_reported_with_the_first_answer() {
    for refusal in [401, 402, 403] {
        let app = TestApp::start().await;
        app.put("A").await;
        app.supercar.set_fault(status(refusal));
        app.put("B").await;
        app.put("C").await;
        let messages = reported(&app).await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        let expected = format!("SuperCar Valuations refused a request with status {refusal}");
        assert!(messages[0].contains(&expected), "{messages:?}");
        assert!(messages[0].contains("credentials"), "{messages:?}");
    }
}

#[tokio::test]
async fn a_failure_is_no_answer_it_neither_ends_a_streak_nor_adds_to_it() {
    let app = TestApp::with(&[(Setting::MinCalls, "1000")]).await;
    app.supercar.set_fault(status(404));
    app.put_many("A", 9).await;
    app.supercar.set_fault(status(500));
    app.put_many("B", 5).await;
    assert_eq!(reported(&app).await, [""; 0]);
    app.supercar.set_fault(status(404));
    app.put("C").await;
    assert_eq!(reported(&app).await.len(), 1);
}

#[tokio::test]
async fn premium_is_watched_as_well() {
    let app = TestApp::start().await;
    app.order(r#"{"updateState":"FORCE_FALLBACK"}"#).await;
    app.premium.set_fault(status(404));
    app.put_many("A", 10).await;
    let messages = reported(&app).await;
    assert!(messages[0].contains("none of the last 10 answers of Premium Car"), "{messages:?}");
    assert_eq!(metrics(&app, Provider::Premium).await, ("10".into(), "1".into()));
}

#[tokio::test]
async fn by_the_setting_they_are_failures_from_then_on_so_that_they_are_rescued_and_trip() {
    let app = TestApp::with(&[FAILURE]).await;
    app.supercar.set_fault(status(404));
    assert_eq!(app.put_many("A", 9).await, [404; 9]);
    assert_eq!(app.route(), (Provider::SuperCar, 9, 0));
    assert_eq!(provider(&app.put("B").await), Provider::Premium.name(), "the tenth is rescued");
    assert_eq!(app.route(), (Provider::SuperCar, 10, 1));
    assert_eq!(app.put_many("C", 9).await, [200; 9]);
    assert_eq!(app.route().0, Provider::Premium, "10 of 19 calls failed");
    let messages = reported(&app).await;
    assert!(messages[0].contains("count as failures"), "{messages:?}");
    // After the time on the fallback the streak goes on, and it fails over again.
    app.advance(300);
    assert_eq!(app.put_many("D", 10).await, [200; 10]);
    assert_eq!(app.route().0, Provider::Premium);
    app.advance(300);
    app.supercar.set_fault(Fault::NONE);
    assert_eq!(provider(&app.put("E").await), Provider::SuperCar.name());
    app.supercar.set_fault(status(404));
    assert_eq!(app.put("F").await.status, 404, "a streak that is over is over");
}

#[tokio::test]
async fn a_failed_call_of_a_streak_keeps_its_status_in_the_log_rows() {
    let app = TestApp::with(&[FAILURE]).await;
    app.supercar.set_fault(status(403));
    assert_eq!(provider(&app.put("A").await), Provider::Premium.name());
    let row = &app.log()[0];
    assert_eq!((row.response_code, row.error_code.as_deref()), (Some(403), Some("STATUS")));
}

#[tokio::test]
async fn the_setting_can_be_changed_while_calls_go_on() {
    let app = TestApp::start().await;
    app.supercar.set_fault(status(404));
    app.put_many("A", 12).await;
    let answer = app.amend(r#"{"client-error-streak":"failure"}"#).await;
    assert_eq!(answer.json()["policy"]["client-error-streak"], "failure");
    assert_eq!(provider(&app.put("B").await), Provider::Premium.name());
    app.amend(r#"{"client-error-streak":"warn"}"#).await;
    assert_eq!(app.put("C").await.status, 404);
}

#[tokio::test]
async fn the_log_warns_once_and_says_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let mut server = Process::start(&folder.path().join("v.sqlite"), &supercar, &premium).await;
    supercar.set_fault(status(404));
    for car in 0..15 {
        if car == 14 {
            supercar.set_fault(Fault::NONE);
        }
        let mut client = Client::connect(server.address).await;
        client.send(put(&format!("/valuations/A{car}"), "{\"mileage\": 1}")).await;
        client.answer().await;
    }
    server.signal("TERM");
    let mut lines = Vec::new();
    while let Some(line) = server.next_line().await {
        lines.extend(line.contains("client errors:").then_some(line));
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("none of the last 10 answers"));
    assert!(lines[1].contains("INFO") && lines[1].contains("valuations again"), "{lines:?}");
}
