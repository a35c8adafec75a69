//! The rows of `ProviderLogs`, as an auditor reads them.

use valuation_server::demo::simulator::{Fault, Mode};
use valuation_server::domain::Provider;

use crate::app_harness::{TestApp, broken};

const SUPERCAR: &str = "SuperCar Valuations";
const PREMIUM: &str = "Premium Car Valuations";

/// The query in docs/database.md: by provider, its calls and its failures.
const FAILURES: &str = "SELECT providerName, substr(requestedAt, 1, 7) AS month,
  count(*) AS calls, sum(outcome = 'failure') AS failures
FROM ProviderLogs WHERE outcome <> 'ignored' GROUP BY providerName, month";

fn rows(app: &TestApp) -> Vec<(String, Option<String>, String, bool)> {
    let row = |row: valuation_server::store::LoggedCall| {
        (row.provider_name, row.error_code, row.outcome.unwrap(), row.rescue.unwrap())
    };
    app.log().into_iter().map(row).collect()
}

#[tokio::test]
async fn an_answer_that_is_no_failure_of_the_provider_is_none_in_its_row() {
    let app = TestApp::start().await;
    for (status, answered) in [(404, 404), (400, 502), (401, 502)] {
        app.supercar.set_fault(Fault::always(Mode::Status(status)));
        assert_eq!(app.put("A").await.status, answered);
    }
    app.supercar.set_fault(Fault::NONE);
    app.put("A").await;
    let row = |error: Option<&str>| {
        (SUPERCAR.to_owned(), error.map(str::to_owned), "success".to_owned(), false)
    };
    let status = Some("STATUS");
    assert_eq!(rows(&app), [row(status), row(status), row(status), row(None)]);
    assert_eq!(app.route(), (Provider::SuperCar, 4, 0));
}

#[tokio::test]
async fn the_rows_of_first_attempts_at_supercar_are_what_the_failover_counted() {
    let app = TestApp::start().await;
    app.put_many("A", 3).await;
    app.supercar.set_fault(broken());
    app.put_many("B", 2).await;
    let count = |rows: &[(String, Option<String>, String, bool)], outcome: &str| {
        let counted = |row: &&(String, Option<String>, String, bool)| {
            row.0 == SUPERCAR && !row.3 && row.2 == outcome
        };
        rows.iter().filter(counted).count() as u64
    };
    let counted = rows(&app);
    let (failures, successes) = (count(&counted, "failure"), count(&counted, "success"));
    assert_eq!(app.route(), (Provider::SuperCar, failures + successes, failures));
    assert_eq!((successes, failures), (3, 2));

    // Tripped, Premium is the first to be asked, and SuperCar its rescue.
    app.put_many("C", 8).await;
    assert_eq!(app.route().0, Provider::Premium);
    app.premium.set_fault(broken());
    assert_eq!(app.put("D").await.status, 503);
    let log = rows(&app);
    let failure = Some("STATUS".to_owned());
    let last =
        |name: &str, rescue| (name.to_owned(), failure.clone(), "failure".to_owned(), rescue);
    assert_eq!(log[log.len() - 2..], [last(PREMIUM, false), last(SUPERCAR, true)]);
    let rescues = log.iter().filter(|row| row.0 == PREMIUM && row.3).count();
    assert_eq!(rescues, 7, "one for each failure that the failover counted");
}

#[tokio::test]
async fn the_readmes_query_gives_each_providers_failures() {
    assert!(include_str!("../../docs/database.md").contains(FAILURES));
    let app = TestApp::start().await;
    app.supercar.set_fault(Fault::always(Mode::Status(404)));
    app.put_many("A", 4).await;
    app.supercar.set_fault(broken());
    app.put_many("B", 3).await;
    let database = rusqlite::Connection::open(app.folder.path().join("valuations.sqlite"));
    let found: Vec<(String, u32, u32)> = database
        .unwrap()
        .prepare(FAILURES)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get("calls")?, row.get("failures")?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(found, [(PREMIUM.to_owned(), 3, 0), (SUPERCAR.to_owned(), 7, 3)]);
}
