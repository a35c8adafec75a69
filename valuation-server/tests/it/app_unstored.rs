//! Orders of operators and a database that does not store, or a process that is killed.

use std::net::SocketAddr;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use valuation_server::app::Ended;
use valuation_server::demo::simulator::Pace;

use crate::app_harness::{TestApp, admin_get, admin_send};
use crate::http_harness::{Answer, Client};
use crate::process_harness::{Process, simulators};

const FAILOVER: &str = "/admin/failovers/valuations";
const NOT_STORED: &str = "[!] the order is not stored";

/// Looks again until it holds.
async fn until(within: Duration, what: impl AsyncFn() -> bool) {
    let holds = async {
        while !what().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(within, holds).await.unwrap();
}

/// Another program that writes, until it is dropped.
fn locked(app: &TestApp) -> Connection {
    let other = Connection::open(app.folder.path().join("valuations.sqlite")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

async fn warnings(app: &TestApp) -> String {
    app.look("/readyz?verbose").await.body
}

#[tokio::test]
async fn an_order_that_is_not_stored_holds_and_ends_in_time_and_is_a_warning_until_it_is_stored() {
    let app = TestApp::start().await;
    let other = locked(&app);
    let order = app.order(r#"{"updateState":"FORCE_FALLBACK","for":"2s"}"#).await.json();
    assert_eq!(order["state"], "forced_fallback");
    assert!(warnings(&app).await.contains(NOT_STORED));
    // Of 5 seconds that the writer waits for the lock.
    let primary = async || app.view().await["state"] == "primary";
    until(Duration::from_millis(3_200), primary).await;
    assert_eq!(app.view().await["order"], Value::Null);
    // Nor is its end, which says so when it has waited for a moment.
    until(Duration::from_secs(20), async || warnings(&app).await.contains(NOT_STORED)).await;
    drop(other);
    until(Duration::from_secs(20), async || !warnings(&app).await.contains(NOT_STORED)).await;
    let (ended, _) = app.stop().await;
    assert_eq!(ended, Ended::Whole);
}

#[tokio::test]
async fn a_stop_that_could_not_store_the_last_order_says_so() {
    let app = TestApp::start().await;
    let other = locked(&app);
    assert_eq!(app.order(r#"{"updateState":"FORCE_FALLBACK"}"#).await.status, 200);
    let (ended, _) = app.stop().await;
    assert_eq!(ended, Ended::CutOff);
    drop(other);
}

async fn operate(admin: SocketAddr, request: &str) -> Answer {
    let mut client = Client::operator(admin).await;
    client.send(request).await;
    client.answer().await
}

#[tokio::test]
async fn an_answered_order_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("v.sqlite");
    let (supercar, premium) = simulators(Pace::INSTANT).await;
    let flags = ["--admin-listen", "127.0.0.1:0"];
    let mut state = "primary";
    for _ in 0..4 {
        let mut server = Process::start_with(&database, &supercar, &premium, &flags).await;
        let line = server.until_logged("operators: http://").await;
        let admin = line.split("operators: http://").nth(1).unwrap().trim().parse().unwrap();
        let view = operate(admin, &admin_get(FAILOVER)).await.json();
        assert_eq!(view["state"], state);
        let (command, then) = match state {
            "primary" => ("FORCE_FALLBACK", "forced_fallback"),
            _ => ("AUTO", "primary"),
        };
        let body = format!(r#"{{"updateState":"{command}"}}"#);
        assert_eq!(operate(admin, &admin_send("POST", FAILOVER, &body)).await.status, 200);
        server.kill().await;
        state = then;
    }
}
