//! The report on the operators' side.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use valuation_server::config::Setting;

use crate::app_harness::{TestApp, admin_get};
use crate::http_harness::{Answer, Client};
use crate::process_harness::binary;
use crate::report_command::row;
use crate::report_support::insert;

const SUPERCAR: &str = "SuperCar Valuations";
const TERMS: &str = "from=2026-10&to=2026-12&time-zone=Europe%2FLondon&target=99.9%25&slow=2s&by=week\
    &exclude=2026-10-04%2F2026-10-05%3Dplanned";

/// A server with some calls of October 2026 in its log.
async fn app() -> (TestApp, std::path::PathBuf) {
    let app = TestApp::with(&[(Setting::FallbackPrice, "0.20")]).await;
    let path = app.folder.path().join("valuations.sqlite");
    let file = path.clone();
    tokio::task::spawn_blocking(move || {
        let failed = |minute| row(minute, SUPERCAR, (minute % 100 < 7).then_some("TIMEOUT"));
        let mut rows: Vec<_> = (0..3_000).map(failed).collect();
        rows.extend((0..7).map(|minute| row(minute, "Premium Car Valuations", None)));
        insert(&Connection::open(file).unwrap(), &rows);
    })
    .await
    .unwrap();
    (app, path)
}

/// As a browser asks.
async fn browse(app: &TestApp, path: &str) -> Answer {
    let request = admin_get(path).replace("\r\n\r\n", "\r\nAccept: text/html\r\n\r\n");
    app.operate(&request).await
}

/// The text without the second in which the report was made.
fn undated(text: &str) -> String {
    let (before, after) = text.split_once("made at ").unwrap();
    format!("{before}{}", after.split_once("Z, ").unwrap().1)
}

/// What the command prints for the same terms.
async fn printed(path: &Path, format: &str) -> String {
    let mut command = binary();
    command.args([
        "report",
        "--from",
        "2026-10",
        "--to",
        "2026-12",
        "--time-zone",
        "Europe/London",
    ]);
    command.args(["--target", "99.9%", "--slow", "2s", "--by", "week", "--fallback-price", "0.20"]);
    command.args(["--exclude", "2026-10-04/2026-10-05=planned", "--format", format]);
    command.arg("--database").arg(path).stdout(std::process::Stdio::piped());
    String::from_utf8(command.output().await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn the_page_and_its_files_are_what_the_command_prints() {
    let (app, path) = app().await;
    for (format, content_type) in [
        ("html", "text/html; charset=utf-8"),
        ("csv", "text/csv; charset=utf-8"),
        ("json", "application/json"),
        ("table", "text/plain; charset=utf-8"),
    ] {
        let file = app.look(&format!("/report?{TERMS}&format={format}")).await;
        assert_eq!((file.status, file.header("content-type")), (200, Some(content_type)));
        let printed = printed(&path, format).await;
        assert!(printed.contains("2026-W40") && printed.contains("planned"), "{printed}");
        assert_eq!(undated(&file.body), undated(&printed));
    }
    let page = browse(&app, &format!("/report?{TERMS}")).await;
    assert_eq!(page.status, 200);
    let html = printed(&path, "html").await;
    let article = &html[html.find("<article").unwrap()..html.find("</main>").unwrap()];
    assert!(undated(&page.body).contains(undated(article).trim_end()), "{page:?}");
    assert!(page.body.contains("value=\"99.9%\""), "what was asked for is in the form");
    assert!(page.body.contains("&#38;format=csv\" download"), "{page:?}");
    for inline in ["<style", " style=", "<script"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    for file in ["report.css", "report-form.css"] {
        assert_eq!(app.look(&format!("/assets/{file}")).await.status, 200);
    }
    let json = app.look(&format!("/report?{TERMS}")).await;
    assert_eq!(json.header("content-type"), Some("application/json"), "not asked for HTML");
}

#[tokio::test]
async fn without_terms_a_browser_gets_the_form_and_the_operators_page_links_to_it() {
    let (app, _) = app().await;
    let form = browse(&app, "/report").await;
    assert_eq!(form.status, 200);
    assert!(
        form.body.contains("name=\"time-zone\"") && !form.body.contains("<article"),
        "{form:?}"
    );
    assert!(browse(&app, "/").await.body.contains("href=\"/report\""));
    // An empty form asks for all there is.
    let all =
        browse(&app, "/report?from=&to=&provider=&by=month&time-zone=&target=&slow=&exclude=")
            .await;
    assert!(
        all.body.contains("From 2026-09-01 00:00+00:00 to before 2026-11-01 00:00+00:00"),
        "{all:?}"
    );
}

#[tokio::test]
async fn wrong_terms_are_told_beside_their_fields_in_the_words_of_the_command() {
    let (app, _) = app().await;
    for (query, field, message) in [
        ("from=October", "from", "October is no time; write a month 2026-10"),
        ("time-zone=London", "time-zone", "no time zone London; name one of the IANA database"),
        ("from=2026-11&to=2026-10", "to", "not after its start"),
        ("exclude=2026-10-01%2F2026-10-02", "exclude", "write FROM/TO=NAME"),
        ("exclude=2026-10-02%2F2026-10-01%3Dx", "exclude", "its end is not after its start"),
        ("target=101%25", "target", "not a percentage"),
        ("target=0.999", "target", "may mean 0.999% or 99.9%"),
        ("slow=fast", "slow", "write 2s or 300ms"),
        ("by=year", "by", "choose hour, day, week or month"),
        ("from=2020&by=hour", "from", "2020 is no time"),
        ("from=2020-01&to=2026-01&by=hour", "by", "more than 2000 periods; choose longer ones"),
        ("database=%2Fetc%2Fpasswd", "database", "there is no such parameter"),
    ] {
        let problem = app.look(&format!("/report?{query}")).await;
        assert_eq!(problem.status, 400, "{query}: {problem:?}");
        let problem = problem.json();
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(message), "{message} in {problem}");
        let page = browse(&app, &format!("/report?{query}")).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (400, Some("text/html; charset=utf-8"))
        );
        assert!(page.body.contains(message), "{message} in {page:?}");
        if field != "database" {
            assert!(page.body.contains(&format!("id=\"{field}-error\"")), "{page:?}");
        }
    }
    let wrong = app.look("/report?format=pdf").await;
    assert_eq!((wrong.status, &wrong.json()["field"]), (400, &"format".into()));
    let wrong = app.operate(&admin_get("/report").replace("GET", "DELETE")).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[tokio::test]
async fn an_empty_log_needs_a_time_to_report_that_there_are_no_calls() {
    let app = TestApp::in_folder(TempDir::new().unwrap(), &[]).await;
    let empty = app.look("/report").await;
    assert_eq!((empty.status, &empty.json()["field"]), (400, &"from".into()));
    let page = browse(&app, "/report?from=2026-10&to=2026-11").await;
    assert!(page.body.contains("there is no call in this time"), "{page:?}");
}

#[tokio::test]
async fn a_report_that_cannot_be_made_now_is_answered_503_with_a_time_to_come_again() {
    let (app, path) = app().await;
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    let report = format!("/report?{TERMS}");
    let answers = [app.look(&report).await, browse(&app, &report).await];
    let mut client = Client::operator(app.admin).await;
    client.send(admin_get(&report).replace("GET", "HEAD")).await;
    let head = client.head().await;
    std::fs::rename(&away, &path).unwrap();
    for answer in answers {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{answer:?}");
    }
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/json")));
    assert_eq!(head.header("content-length"), None, "no report was made for it: {head:?}");
    let mut client = Client::operator(app.admin).await;
    client.send(admin_get("/report?by=null").replace("GET", "HEAD")).await;
    assert_eq!(client.head().await.status, 400, "its terms are checked");
    assert_eq!(app.look(&report).await.status, 200);
}

#[tokio::test]
async fn with_a_token_the_page_is_behind_the_login() {
    let app = TestApp::with(&[(Setting::AdminToken, "correct+horse&battery=100%")]).await;
    let login = browse(&app, "/report?from=2026-10&to=2026-11").await;
    assert_eq!(login.status, 401);
    assert!(
        login.body.contains("action=\"/login\"") && !login.body.contains("<article"),
        "{login:?}"
    );
    assert_eq!(app.look("/report?format=csv").await.status, 401);
}
