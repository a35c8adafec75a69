//! What operators see: health, metrics, and where nothing of it is to be seen.

use valuation_server::config::Setting;
use valuation_server::demo::simulator::Fault;

use crate::app_harness::{TestApp, admin_get, admin_send, broken};
use crate::http_harness::{Answer, Client, get};
use crate::store_support::until;

const PAGES: [&str; 7] = [
    "/livez",
    "/readyz",
    "/readyz?verbose",
    "/metrics",
    "/admin/failovers",
    "/admin/failovers/valuations",
    "/admin/failovers/valuations/events",
];

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body.as_str())
}

#[tokio::test]
async fn nothing_of_the_operators_side_is_reachable_on_the_public_port() {
    let app = TestApp::start().await;
    for page in PAGES {
        assert_eq!(app.look(page).await.status, 200, "{page}");
        let public = get(page);
        let mut client = Client::connect(app.address).await;
        client.send(public).await;
        let message = client.answer().await.problem(404, "Not Found");
        assert!(message.starts_with("Route GET:"), "{message}");
    }
    for request in [
        admin_send("POST", "/admin/failovers/valuations", "{}"),
        admin_send("PUT", "/admin/failovers/valuations/policy", "{}"),
    ] {
        let mut client = Client::connect(app.address).await;
        client.send(request).await;
        client.answer().await.problem(404, "Not Found");
    }
}

#[tokio::test]
async fn no_page_may_be_kept_or_taken_for_another_type() {
    let app = TestApp::start().await;
    for page in PAGES {
        let answer = app.look(page).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(app.look("/nothing").await.status, 404);
    for path in ["/admin/failovers/other", "/admin/failovers/other/events"] {
        assert_eq!(app.look(path).await.status, 404, "{path}");
    }
    let policy = admin_send("PUT", "/admin/failovers/other/policy", r#"{"min-calls": 1}"#);
    assert_eq!(app.operate(&policy).await.status, 404);
}

#[tokio::test]
async fn each_answer_has_a_request_id_which_is_the_clients_if_it_sent_one() {
    let app = TestApp::start().await;
    for page in PAGES.into_iter().chain(["/nothing"]) {
        let answers = [app.look(page).await, app.look(page).await];
        let [one, other] = answers.each_ref().map(|answer| answer.header("x-request-id").unwrap());
        assert_ne!(one, other, "{page}");
        let request = admin_get(page).replace("\r\n\r\n", "\r\nX-Request-Id: order-77\r\n\r\n");
        assert_eq!(app.operate(&request).await.header("x-request-id"), Some("order-77"), "{page}");
    }
}

#[tokio::test]
async fn a_providers_trouble_is_no_unreadiness() {
    let app = TestApp::start().await;
    assert_eq!(said(&app.look("/livez").await), (200, "ok\n"));
    assert_eq!(said(&app.look("/readyz").await), (200, "ready\n"));
    app.supercar.set_fault(broken());
    app.premium.set_fault(broken());
    assert_eq!(app.put("A").await.status, 503);
    let verbose = app.look("/readyz?verbose").await;
    assert_eq!(said(&verbose), (200, "[+] database: ok\n[+] accepting: ok\nready\n"));
}

#[tokio::test]
async fn a_database_that_cannot_store_is_unreadiness_until_it_can_again() {
    let app = TestApp::start().await;
    app.store.limit_pages(Some(1)).await;
    let mut car = 0;
    while app.store.can_store() {
        app.put(&format!("C{car}")).await;
        car += 1;
    }
    assert_eq!(said(&app.look("/readyz").await), (503, "not ready\n"));
    let verbose = app.look("/readyz?verbose").await;
    assert_eq!(verbose.status, 503);
    assert!(verbose.body.starts_with("[-] database: the database is not available: "));
    assert!(verbose.body.contains("full"), "{verbose:?}");
    assert_eq!(app.look("/livez").await.status, 200);
    assert!(app.look("/metrics").await.body.contains("\nvaluation_store_up 0"));
    app.store.limit_pages(None).await;
    until("the database can store", || app.store.can_store()).await;
    assert_eq!(said(&app.look("/readyz").await), (200, "ready\n"));
}

/// The value of a metric, by its name and labels as they are written.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn the_metrics_count_requests_calls_commits_and_transitions() {
    let app = TestApp::with(&[(Setting::MinCalls, "2")]).await;
    app.put_many("XQ1", 1).await;
    assert_eq!(app.get("XQ10").await.status, 200);
    app.supercar.set_fault(broken());
    app.put_many("XQ2", 3).await;
    app.supercar.set_fault(Fault::NONE);
    assert_eq!(app.get("XQ9").await.status, 404);
    let page = app.look("/metrics").await;
    let kind = page.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let page = &page.body;
    for name in ["valuation_store_database_size_bytes", "valuation_store_disk_free_bytes"] {
        assert!(value(page, name).is_some_and(|bytes| bytes > 0.0), "{name}\n{page}");
    }
    let request = |method, status| {
        format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"{method}\",\
             http_route=\"/valuations/{{vrm}}\",http_response_status_code=\"{status}\"}}"
        )
    };
    let call = |provider, result| {
        format!(
            "valuation_provider_call_duration_seconds_count{{provider=\"{provider}\",\
             result=\"{result}\"}}"
        )
    };
    let supercar = "SuperCar Valuations";
    // One success and two failures trip; the third car is Premium's from the start.
    for (series, expected) in [
        (request("PUT", 200), 4.0),
        (request("GET", 200), 1.0),
        (request("GET", 404), 1.0),
        (call(supercar, "ok"), 1.0),
        (call(supercar, "status"), 2.0),
        (call("Premium Car Valuations", "ok"), 3.0),
        ("failover_state{name=\"valuations\",state=\"fallback\"}".into(), 1.0),
        ("failover_state{name=\"valuations\",state=\"primary\"}".into(), 0.0),
        (
            "failover_transitions_total{name=\"valuations\",from=\"primary\",to=\"fallback\",\
             cause=\"tripped\"}"
                .into(),
            1.0,
        ),
        ("valuation_store_commits_total".into(), 4.0),
        ("valuation_store_commit_duration_seconds_count".into(), 4.0),
        ("valuation_store_commit_rows_sum".into(), 10.0),
        ("valuation_store_queue_length".into(), 0.0),
        ("valuation_store_up".into(), 1.0),
        ("http_server_refused_connections_total".into(), 0.0),
        ("http_server_refused_requests_total".into(), 0.0),
        ("http_server_active_requests".into(), 0.0),
        ("valuation_questions_in_flight".into(), 0.0),
    ] {
        assert_eq!(value(page, &series), Some(expected), "{series}\n{page}");
    }
}

#[tokio::test]
async fn no_registration_mark_is_a_label_and_every_metric_has_its_help() {
    let app = TestApp::start().await;
    app.put("XQZ77").await;
    app.get("XQZ78").await;
    app.get("XQZ79/x").await;
    let page = app.look("/metrics").await.body;
    assert!(!page.contains("XQZ"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    let named = |kind: &str, line: &str| {
        line.strip_prefix(&format!("# {kind} ")).map(|l| l.split(' ').next().unwrap().to_owned())
    };
    let helped: Vec<_> = page.lines().filter_map(|line| named("HELP", line)).collect();
    let typed: Vec<_> = page.lines().filter_map(|line| named("TYPE", line)).collect();
    assert_eq!(helped, typed);
    assert!(helped.len() > 15, "{helped:?}");
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        assert!(helped.iter().any(|name| line.starts_with(name.as_str())), "{line}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_is_shown_as_the_kernel_sees_it() {
    let app = TestApp::start().await;
    let mut page = app.look("/metrics").await.body;
    // The kernel counts CPU time in hundredths of a second, and this process has taken less, perhaps.
    while value(&page, "process_cpu_seconds_total") == Some(0.0) {
        page = app.look("/metrics").await.body;
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
        "process_start_time_seconds",
    ] {
        assert!(value(&page, name).is_some_and(|value| value > 0.0), "{name}\n{page}");
    }
    let started = value(&page, "process_start_time_seconds").unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!(started < now + 2.0 && started > now - 86_400.0, "{started} {now}");
}
