//! The operator's page, as a browser gets it.

use valuation_server::config::Setting;

use crate::app_harness::{TestApp, admin_get, admin_send, broken};
use crate::http_harness::Answer;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

async fn look_with(app: &TestApp, path: &str, header: &str) -> Answer {
    app.operate(&admin_get(path).replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"))).await
}

fn part<'a>(update: &'a serde_json::Value, id: &str) -> &'a str {
    update["parts"][id].as_str().unwrap()
}

#[tokio::test]
async fn a_browser_gets_the_page_and_other_clients_the_list() {
    let app = TestApp::start().await;
    let page = look_with(&app, "/", BROWSER).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("SuperCar is asked, and there was no call"), "{}", page.body);
    for list in [app.look("/").await, look_with(&app, "/", "Accept: */*").await] {
        assert_eq!(list.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(list.body.contains("\nGET  /admin/failovers\n"), "{}", list.body);
    }
}

#[tokio::test]
async fn the_page_loads_its_own_files_alone_and_each_has_a_tag() {
    let app = TestApp::start().await;
    let page = look_with(&app, "/", BROWSER).await;
    for name in ["operator.css", "operator.js", "orders.js"] {
        let path = format!("/assets/{name}");
        assert!(page.body.contains(&format!("=\"{path}\"")), "{name}");
        let file = app.look(&path).await;
        assert_eq!(file.status, 200);
        let tag = file.header("etag").unwrap();
        let again = look_with(&app, &path, &format!("If-None-Match: {tag}")).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""));
    }
    assert_eq!(app.look("/assets/other.js").await.status, 404);
    let options = admin_get("/assets/a/b").replace("GET", "OPTIONS");
    assert_eq!(app.operate(&options).await.status, 404, "a name has no slash");
    for path in ["/", "/assets/operator.js", "/page/now", "/livez", "/nothing"] {
        let answer = look_with(&app, path, BROWSER).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn an_update_is_sent_once_until_something_changes() {
    let app = TestApp::with(&[(Setting::MinCalls, "2")]).await;
    for path in ["/page/now", "/page/history"] {
        let mut answer = app.look(path).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        // The server saves its route at the start, which the writer's queue shows for a moment.
        let mut changes = 0;
        while answer.status == 200 {
            let tag = format!("If-None-Match: {}", answer.header("etag").unwrap());
            answer = look_with(&app, path, &tag).await;
            changes += 1;
            assert!(changes < 100, "{path}: {answer:?}");
        }
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{path}");
        assert!(answer.header("etag").is_some());
    }
    let before = app.look("/page/now").await;
    let tag = format!("If-None-Match: {}", before.header("etag").unwrap());
    assert_eq!(part(&before.json(), "f0-countdown"), "");
    app.supercar.set_fault(broken());
    app.put_many("XQ", 2).await;
    let after = look_with(&app, "/page/now", &tag).await;
    assert_eq!(after.status, 200);
    let after = after.json();
    let sentence = part(&after, "f0-sentence").replace('\u{a0}', " ");
    let says = "Premium is asked because 2 of the last 2 calls to SuperCar failed (limit: more than 1/2 \
                of at least 2); back in 5 min.";
    assert!(sentence.contains(says), "{sentence}");
    assert!(part(&after, "f0-failed").contains("href=\"/admin/valuations/XQ1\""), "{after}");
    assert!(part(&after, "f0-failed").contains("<code>STATUS 500</code>"), "{after}");
    assert!(part(&after, "f0-events").contains("failover: Premium is asked instead of SuperCar"));
    assert_eq!(after["title"], "⚠ Premium · valuations · operators");

    let amend = admin_send("PUT", "/admin/failovers/valuations/policy", r#"{"min-calls":"25"}"#);
    assert_eq!(app.operate(&amend).await.status, 200);
    let amended = app.look("/page/now").await.json();
    assert_eq!(amended["settings"]["valuations"]["min-calls"], "25");
    let sentence = part(&amended, "f0-sentence").replace('\u{a0}', " ");
    assert!(sentence.contains("(limit: more than 1/2 of at least 2)"), "its limit: {sentence}");
}

#[tokio::test]
async fn the_failed_calls_are_there_after_a_restart() {
    let app = TestApp::start().await;
    app.supercar.set_fault(broken());
    app.put("XQ7").await;
    let (_, folder) = app.stop().await;
    let app = TestApp::in_folder(folder, &[]).await;
    let now = app.look("/page/now").await.json();
    assert!(part(&now, "f0-failed").contains(">XQ7</a>"), "{now}");
    // Its time was read from the log.
    assert!(part(&now, "f0-failed").contains("<time datetime=\"20"), "{now}");
}

#[tokio::test]
async fn a_page_is_compressed_for_a_client_that_can_read_it() {
    let app = TestApp::start().await;
    let request = admin_get("/page/now")
        .replace("\r\n\r\n", "\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
    let mut client = crate::http_harness::Client::operator(app.admin).await;
    client.send(request).await;
    assert_eq!(client.head().await.header("content-encoding"), Some("gzip"));
}
