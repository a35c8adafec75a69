//! Failover between the providers, as the server's clients see it.

use std::time::Duration;

use valuation_server::app::Ended;
use valuation_server::config::Setting;
use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::domain::Provider;

use crate::app_harness::{TestApp, broken, provider};

const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

#[tokio::test]
async fn with_both_up_a_put_answers_supercars_values_and_name_and_a_get_repeats_it() {
    let app = TestApp::start().await;
    let made = app.put("AA99BCD").await;
    assert_eq!(provider(&made), SUPERCAR);
    let json = made.json();
    let [low, middle, high] =
        ["lowestValue", "midpointValue", "highestValue"].map(|name| json[name].as_f64().unwrap());
    assert!(low <= middle && middle <= high, "{json}");
    assert_eq!(app.get("AA99BCD").await.body, made.body);
    assert_eq!(app.put("AA99BCD").await.body, made.body);
    assert_eq!(app.calls(), (1, 0));
}

#[tokio::test]
async fn a_broken_supercar_costs_no_client_an_error_and_after_ten_calls_it_is_asked_no_more() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    for car in 0..30 {
        assert_eq!(provider(&app.put(&format!("C{car}")).await), PREMIUM);
    }
    assert_eq!(app.calls(), (10, 30));
    assert_eq!(app.route(), (Provider::Premium, 0, 0));
}

#[tokio::test]
async fn after_the_revert_time_supercar_is_asked_again_and_the_counts_start_from_zero() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    app.supercar.set_fault(Fault::NONE);
    app.advance(299);
    assert_eq!(provider(&app.put("B").await), PREMIUM);
    assert_eq!(app.providers.status().reverts_in, Some(Duration::from_secs(1)));
    app.advance(1);
    assert_eq!(provider(&app.put("C").await), SUPERCAR);
    assert_eq!(app.route(), (Provider::SuperCar, 1, 0));
    // Nine more failures are below the minimum of a window that began empty, and then nine of ten
    // are not.
    app.supercar.set_fault(broken());
    app.put_many("D", 8).await;
    assert_eq!(app.route(), (Provider::SuperCar, 9, 8));
    app.put("E").await;
    assert_eq!(app.route().0, Provider::Premium);
}

#[tokio::test]
async fn without_rescue_errors_appear_until_the_trip_and_none_after_it() {
    let app = TestApp::with(&[(Setting::Rescue, "off")]).await;
    app.supercar.set_fault(broken());
    let statuses = app.put_many("A", 30).await;
    assert_eq!(statuses[..10], [503; 10]);
    assert_eq!(statuses[10..], [200; 20]);
    assert_eq!(app.calls(), (10, 20));
}

#[tokio::test]
async fn at_exactly_half_failing_nothing_trips_and_one_more_failure_does() {
    let app = TestApp::start().await;
    // Every second call fails, the first of each pair not.
    app.supercar.set_fault(Fault::share(Mode::Status(500), "1/2".parse().unwrap()));
    app.put_many("A", 200).await;
    assert_eq!(app.route(), (Provider::SuperCar, 200, 100));
    app.supercar.set_fault(broken());
    app.put("B").await;
    assert_eq!(app.route().0, Provider::Premium);
}

#[tokio::test]
async fn with_both_broken_the_answer_is_503_with_retry_after_and_each_attempt_is_a_row() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.premium.set_fault(broken());
    let answer = app.put("AA99BCD").await;
    let message = answer.problem(503, "Service Unavailable");
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    let told = answer.body.to_lowercase();
    for word in ["supercar", "premium", "500", "provider failed", "127.0.0.1"] {
        assert!(!told.contains(word), "{word} in {message}");
    }
    let rows: Vec<_> = app
        .log()
        .into_iter()
        .map(|row| (row.provider_name, row.vrm, row.response_code, row.error_code))
        .collect();
    let row =
        |name: &str| (name.to_owned(), "AA99BCD".to_owned(), Some(500), Some("STATUS".to_owned()));
    assert_eq!(rows, [row(SUPERCAR), row(PREMIUM)]);
    assert_eq!(app.get("AA99BCD").await.status, 404);
}

#[tokio::test]
async fn on_the_fallback_route_supercar_is_the_last_resort_and_its_answer_is_not_counted() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    app.supercar.set_fault(Fault::NONE);
    app.premium.set_fault(broken());
    assert_eq!(provider(&app.put("B").await), SUPERCAR);
    assert_eq!(app.route(), (Provider::Premium, 0, 0));
    let last: Vec<_> = app.log().into_iter().rev().take(2).map(|row| row.provider_name).collect();
    assert_eq!(last, [SUPERCAR, PREMIUM]);
}

#[tokio::test]
async fn each_kind_of_failure_counts_and_is_rescued() {
    for mode in [Mode::Status(500), Mode::Status(503), Mode::Status(408), Mode::Status(429)] {
        counts(mode, 1).await;
    }
    counts(Mode::Reset, 1).await;
    counts(Mode::Garbage, 1).await;
    counts(Mode::Status(302), 1).await;
}

async fn counts(mode: Mode, failures: u64) {
    let app = TestApp::start().await;
    app.supercar.set_fault(Fault::always(mode));
    assert_eq!(provider(&app.put("A").await), PREMIUM, "{mode}");
    assert_eq!(app.route(), (Provider::SuperCar, 1, failures), "{mode}");
    assert_eq!(app.log().len(), 2, "{mode}");
}

#[tokio::test]
async fn a_supercar_that_hangs_counts_and_is_rescued_after_its_deadline() {
    let app = TestApp::with(&[(Setting::ProviderTimeout, "100ms")]).await;
    app.supercar.set_fault(Fault::always(Mode::Hang));
    assert_eq!(provider(&app.put("A").await), PREMIUM);
    assert_eq!(app.route(), (Provider::SuperCar, 1, 1));
    assert_eq!(app.log()[0].error_code.as_deref(), Some("TIMEOUT"));
    assert_eq!(app.log()[0].response_code, None);
}

#[tokio::test]
async fn not_found_and_refusals_are_answers_and_the_other_provider_is_not_asked() {
    let app = TestApp::start().await;
    app.supercar.set_fault(Fault::always(Mode::Status(404)));
    let message = app.put("A").await.problem(404, "Not Found");
    assert_eq!(message, "Valuation for VRM A not found");
    app.supercar.set_fault(Fault::always(Mode::Status(401)));
    app.put("B").await.problem(502, "Bad Gateway");
    assert_eq!((app.calls(), app.route()), ((2, 0), (Provider::SuperCar, 2, 0)));
    let codes: Vec<_> = app.log().into_iter().map(|row| row.response_code).collect();
    assert_eq!(codes, [Some(404), Some(401)]);
}

#[tokio::test]
async fn neither_reads_nor_stored_ones_nor_refused_requests_count() {
    let app = TestApp::start().await;
    app.put("A").await;
    for _ in 0..5 {
        app.put("A").await;
        app.get("A").await;
        app.get("B").await;
        assert_eq!(app.put("TOOLONG8").await.status, 400);
    }
    assert_eq!((app.calls(), app.route()), ((1, 0), (Provider::SuperCar, 1, 0)));
}

#[tokio::test]
async fn premiums_failures_never_count() {
    let app = TestApp::start().await;
    app.premium.set_fault(broken());
    app.supercar.set_fault(Fault::share(Mode::Status(500), "1/2".parse().unwrap()));
    app.put_many("A", 40).await;
    assert_eq!(app.route(), (Provider::SuperCar, 40, 20));
}

#[tokio::test]
async fn a_mark_that_no_provider_can_be_asked_about_neither_counts_nor_leaves_a_row() {
    let app = TestApp::start().await;
    app.put(".").await.problem(404, "Not Found");
    assert_eq!((app.calls(), app.route()), ((0, 0), (Provider::SuperCar, 0, 0)));
    assert_eq!(app.log().len(), 0);
}

#[tokio::test]
async fn on_the_fallback_route_premium_is_asked_about_any_mark_and_its_failure_is_no_not_found() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put_many("A", 10).await;
    app.premium.set_fault(broken());
    assert_eq!(app.put("%2E%2E").await.status, 503);
    assert_eq!(app.log().last().unwrap().provider_name, PREMIUM);
    app.premium.set_fault(Fault::NONE);
    assert_eq!(provider(&app.put("%2E%2E").await), PREMIUM);
}

#[tokio::test]
async fn a_database_made_by_the_older_service_is_served_and_extended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("valuations.sqlite");
    let older = rusqlite::Connection::open(&path).unwrap();
    older
        .execute_batch(
            r#"CREATE TABLE "vehicle_valuation" ("vrm" varchar(7) PRIMARY KEY NOT NULL,
               "lowestValue" decimal(10,2) NOT NULL, "highestValue" decimal(10,2) NOT NULL);
               INSERT INTO vehicle_valuation VALUES ('OLD1', 22350.5, 24750);"#,
        )
        .unwrap();
    drop(older);
    let app = TestApp::in_folder(folder, &[]).await;
    assert_eq!(
        app.get("OLD1").await.body,
        r#"{"vrm":"OLD1","lowestValue":22350.5,"highestValue":24750,"midpointValue":23550.25,"providerName":null}"#
    );
    assert_eq!(provider(&app.put("NEW1").await), SUPERCAR);
    let (ended, folder) = app.stop().await;
    assert_eq!(ended, Ended::Whole);
    let older = rusqlite::Connection::open(folder.path().join("valuations.sqlite")).unwrap();
    older
        .execute(
            "INSERT INTO vehicle_valuation (vrm, lowestValue, highestValue) VALUES ('OLD2', 1, 2)",
            [],
        )
        .unwrap();
    let marks: i64 =
        older.query_row("SELECT count(*) FROM vehicle_valuation", [], |row| row.get(0)).unwrap();
    assert_eq!(marks, 3);
}
