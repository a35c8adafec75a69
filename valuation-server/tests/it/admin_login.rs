//! Logging in with a browser. How long sessions last, and how many there are: `admin/sessions.rs`.

use valuation_server::config::Setting;

use crate::app_harness::TestApp;
use crate::http_harness::{Answer, Client};

/// With characters that a form encodes.
const TOKEN: &str = "correct+horse&battery=100%";
const ENCODED: &str = "correct%2Bhorse%26battery%3D100%25";
const FAILOVER: &str = "/admin/failovers/valuations";
const FORM: &str = "application/x-www-form-urlencoded";
const HOST: (&str, &str) = ("Host", "operators.example");

async fn guarded() -> TestApp {
    TestApp::with(&[(Setting::AdminToken, TOKEN)]).await
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

async fn log_in(app: &TestApp, body: &str) -> Answer {
    app.operate(&request("POST", "/login", &[HOST, ("Content-Type", FORM)], body)).await
}

/// The pair that a browser sends back.
fn session(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

async fn get(app: &TestApp, path: &str, cookie: &str) -> Answer {
    app.operate(&request("GET", path, &[HOST, ("Cookie", cookie)], "")).await
}

fn command(cookie: &str, more: &[(&str, &str)]) -> String {
    let json = ("Content-Type", "application/json");
    let headers = [&[HOST, json, ("Cookie", cookie)], more].concat();
    request("POST", FAILOVER, &headers, r#"{"updateState":"FORCE_FALLBACK"}"#)
}

#[tokio::test]
async fn a_browser_without_a_session_is_shown_the_form_and_others_a_problem() {
    let app = guarded().await;
    let accept = ("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
    let answer = app.operate(&request("GET", "/", &[HOST, accept], "")).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(answer.body.contains(r#"<form method="post" action="/login">"#), "{answer:?}");
    assert!(!answer.body.contains("<script"), "{answer:?}");
    let openapi = app.operate(&request("GET", "/openapi", &[HOST, accept], "")).await;
    assert_eq!((openapi.status, &openapi.body), (401, &answer.body));
    for accept in ["*/*", "application/json"] {
        let answer = app.operate(&request("GET", "/", &[HOST, ("Accept", accept)], "")).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let answer = app.operate(&request("GET", "/login", &[HOST], "")).await;
    assert_eq!(answer.status, 200);
    let mut client = Client::operator(app.admin).await;
    client.send(request("HEAD", "/", &[HOST, accept], "")).await;
    let head = client.head().await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (401, Some("text/html; charset=utf-8")),
        "HEAD is answered like GET"
    );
}

#[tokio::test]
async fn the_token_begins_a_session_that_counts_everywhere_until_the_logout() {
    let app = guarded().await;
    let answer = log_in(&app, &format!("token={ENCODED}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
    let session = session(&answer);
    assert_eq!(session.len(), "valuation-operator=".len() + 43, "32 random bytes");
    for path in ["/", "/readyz?verbose", "/metrics", FAILOVER] {
        assert_eq!(get(&app, path, &session).await.status, 200, "{path}");
    }
    let answer = app.operate(&command(&session, &[("Sec-Fetch-Site", "same-origin")])).await;
    assert_eq!(answer.json()["state"], "forced_fallback");

    let other = self::session(&log_in(&app, &format!("token={ENCODED}")).await);
    assert_ne!(session, other);
    let answer = app.operate(&request("POST", "/logout", &[HOST, ("Cookie", &session)], "")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"), "{answer:?}");
    assert_eq!(get(&app, FAILOVER, &session).await.status, 401);
    assert_eq!(get(&app, FAILOVER, &other).await.status, 200, "another session goes on");

    let bearer = format!("Bearer {TOKEN}");
    let request = request("GET", FAILOVER, &[HOST, ("Authorization", &bearer)], "");
    assert_eq!(app.operate(&request).await.status, 200, "tools need no session");
}

#[tokio::test]
async fn anything_but_the_token_is_answered_with_the_form_and_no_session() {
    let app = guarded().await;
    for body in ["", "token=", "token=x", "other=1", &format!("token={TOKEN}")] {
        let answer = log_in(&app, body).await;
        assert_eq!(answer.status, 401, "{body} {answer:?}");
        assert!(answer.body.contains("This is not the admin token"), "{answer:?}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    for cookie in
        ["valuation-operator=", "valuation-operator=x", &format!("valuation-operator={TOKEN}")]
    {
        assert_eq!(get(&app, FAILOVER, cookie).await.status, 401);
    }
    let long = format!("token={}", "x".repeat(1_100));
    assert_eq!(log_in(&app, &long).await.status, 413);
    let plain = [HOST, ("Content-Type", "text/plain")];
    let answer = app.operate(&request("POST", "/login", &plain, "token=x")).await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn wrong_tokens_have_one_budget_by_both_ways_and_the_right_one_passes_beyond_it() {
    let app = guarded().await;
    let bearer = async |token: &str| {
        let bearer = format!("Bearer {token}");
        app.operate(&request("GET", FAILOVER, &[HOST, ("Authorization", &bearer)], "")).await
    };
    let mut rejected = 0;
    // More than the budget gains meanwhile.
    for guess in 0..60 {
        let guess = format!("guess{guess}");
        let answers = [bearer(&guess).await, log_in(&app, &format!("token={guess}")).await];
        for answer in &answers {
            assert!([401, 429].contains(&answer.status), "{answer:?}");
            let retry_after = (answer.status == 429).then_some("1");
            assert_eq!(answer.header("retry-after"), retry_after);
            rejected += usize::from(answer.status == 429);
        }
    }
    assert!(rejected >= 40, "{rejected}");
    assert_eq!(bearer(TOKEN).await.status, 200);
    assert_eq!(log_in(&app, &format!("token={ENCODED}")).await.status, 303);
    let nothing = app.operate(&request("GET", FAILOVER, &[HOST], "")).await;
    assert_eq!(nothing.status, 401, "no guess");
    // A guess is none the less one if it asks for a page.
    let headers = [HOST, ("Accept", "text/html"), ("Authorization", "Bearer guess")];
    let mut statuses = Vec::new();
    while statuses.len() < 50 && !statuses.contains(&429) {
        statuses.push(app.operate(&request("GET", "/", &headers, "")).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn another_sites_page_can_neither_use_a_session_nor_begin_or_end_one() {
    let app = guarded().await;
    let session = session(&log_in(&app, &format!("token={ENCODED}")).await);
    for page in [
        ("Origin", "http://evil.example"),
        ("Origin", "http://operators.example:3000"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let answer = app.operate(&command(&session, &[page])).await;
        assert_eq!(answer.status, 403, "{page:?}");
        let form = [HOST, ("Content-Type", FORM), ("Cookie", session.as_str()), page];
        for path in ["/login", "/logout"] {
            let body = format!("token={ENCODED}");
            let answer = app.operate(&request("POST", path, &form, &body)).await;
            assert_eq!(answer.status, 403, "{page:?} {path}");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    assert_eq!(get(&app, FAILOVER, &session).await.json()["state"], "primary");
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_browsers_word_on_the_origin_counts() {
    let app = guarded().await;
    let own = [("Origin", "https://operators.example"), ("Sec-Fetch-Site", "same-origin")];
    let headers = [&[HOST, ("Content-Type", FORM)], &own[..]].concat();
    let answer =
        app.operate(&request("POST", "/login", &headers, &format!("token={ENCODED}"))).await;
    assert_eq!(answer.status, 303);
    let answer = app.operate(&command(&session(&answer), &own)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn without_a_token_there_is_nothing_to_log_in_to() {
    let app = TestApp::start().await;
    let headers = [("Host", "localhost"), ("Content-Type", FORM)];
    for path in ["/login", "/logout"] {
        let answer = app.operate(&request("POST", path, &headers, "token=x")).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
        assert_eq!(answer.header("set-cookie"), None);
        let evil = [("Host", "evil.example"), ("Content-Type", FORM)];
        let answer = app.operate(&request("POST", path, &evil, "token=x")).await;
        assert_eq!(answer.status, 421);
    }
    let answer = app.look("/logout").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")));
}
