//! The customer's page, as a browser gets it.

use std::sync::Arc;
use std::time::Duration;

use valuation_server::domain::{ErrorCode, QuoteError};
use valuation_server::http::Limits;
use valuation_server::valuer::Quotes;

use crate::http_harness::{Answer, TestServer, get};
use crate::store_support::until;
use crate::valuer_stubs::{Gate, quote, quotes};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

fn with(request: &str, headers: &str) -> String {
    request.replace("Host: x\r\n", &format!("Host: x\r\n{headers}"))
}

fn form(body: &str) -> String {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: x\r\n{BROWSER}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[track_caller]
fn assert_page(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(answer.body.starts_with("<!doctype html>"));
    for inline in ["style=", "<style", "onclick", "javascript:"] {
        assert!(!answer.body.contains(inline), "{inline}");
    }
}

#[tokio::test]
async fn a_browser_gets_the_page_and_every_other_client_what_it_got_before() {
    let server = TestServer::ready().await;
    for accept in [BROWSER, "accept: Text/HTML\r\n", "Accept: x/y\r\nAccept: text/html;q=0.1\r\n"] {
        let answer = server.ask(&with(&get("/"), accept)).await;
        assert_page(&answer, 200);
        assert!(answer.body.contains("<h1 id=\"ask\">Value your car</h1>"));
        assert!(answer.list("vary").contains("accept"));
    }
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: application/json\r\n",
        "Accept: text/html;q=0\r\n",
        "Accept: text/html; q=0.000, */*\r\n",
        "Accept: application/json, text/html;q=0.1\r\n",
        "Accept: text/htmlx\r\n",
    ] {
        let answer = server.ask(&with(&get("/"), accept)).await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{accept}");
        assert_eq!(answer.body, r#"{"hello":"world"}"#);
        assert_eq!(answer.header("vary"), Some("accept"));
    }
    let mut client = server.client().await;
    client.send(with(&get("/"), BROWSER).replace("GET", "HEAD")).await;
    let head = client.head().await;
    assert_eq!(head.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 1_000);
    client.send(get("/")).await;
    assert_eq!(client.answer().await.body, r#"{"hello":"world"}"#);
}

#[tokio::test]
async fn a_form_is_answered_by_the_valuation_and_who_gave_it() {
    let server = TestServer::ready().await;
    let answer = server.ask(&form("vrm=ab12+cde&mileage=42%2C000")).await;
    assert_page(&answer, 200);
    for part in [
        "</span>AB12CDE</p>",
        "£22,500.25",
        "£20,000",
        "£25,000.50",
        "Valued by <strong>SuperCar Valuations</strong>",
    ] {
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }
    // The API has it under the mark that the page asked for, and a deep link shows it.
    assert_eq!(server.get("/valuations/AB12CDE").await.status, 200);
    for link in ["/?vrm=AB12CDE", "/?x=1&vrm=ab12%20cde"] {
        let answer = server.ask(&with(&get(link), BROWSER)).await;
        assert_page(&answer, 200);
        assert!(answer.body.contains("Valued by"), "{link}");
    }
}

#[tokio::test]
async fn a_deep_link_without_a_valuation_is_the_form_with_the_mark_in_it() {
    let server = TestServer::ready().await;
    let answer = server.ask(&with(&get("/?vrm=zz99%20zzz"), BROWSER)).await;
    assert_page(&answer, 200);
    assert!(answer.body.contains(r#"value="ZZ99ZZZ""#), "{}", answer.body);
    assert!(!answer.body.contains("aria-invalid"));
    let answer = server.ask(&with(&get("/?vrm=%3Cb%3E12345678"), BROWSER)).await;
    assert_page(&answer, 400);
    assert!(answer.body.contains("vrm must be 7 characters or less"));
    assert!(!answer.body.contains("<b>") && !answer.body.contains("<B>"), "{}", answer.body);
    for empty in ["/?vrm=", "/?vrm=%20", "/?", "/?other=AB12CDE"] {
        let answer = server.ask(&with(&get(empty), BROWSER)).await;
        assert_page(&answer, 200);
        assert!(!answer.body.contains("aria-invalid"), "{empty}");
    }
}

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_in_the_words_of_the_api() {
    let server = TestServer::ready().await;
    for (body, vrm, mileage) in [
        ("", Some("vrm must not be empty"), Some("mileage must be a positive number")),
        ("vrm=ABCDEFGH&mileage=1", Some("vrm must be 7 characters or less"), None),
        ("vrm=A%00B&mileage=1", Some("vrm must not contain control characters"), None),
        ("vrm=AB1&mileage=-5", None, Some("mileage must be a positive number")),
        ("vrm=AB1&mileage=10000001", None, Some("mileage must be from 0.001 to 10000000")),
        ("vrm=%FF&mileage=ten", None, Some("mileage must be a positive number")),
    ] {
        let answer = server.ask(&form(body)).await;
        assert_page(&answer, 400);
        for (field, expected) in [("vrm", vrm), ("mileage", mileage)] {
            let error = format!("id=\"{field}-error\">");
            let shown = answer.body.split_once(&error).map(|(_, rest)| rest);
            let shown = shown.and_then(|rest| rest.split_once("</p>")).map(|(text, _)| text);
            assert_eq!(shown, expected, "{field} of {body}");
        }
    }
    assert!(server.memory.committed_calls().is_empty());
    // A browser without JavaScript shows what is answered: the page. Other clients get JSON.
    let json = form("{}").replace("x-www-form-urlencoded", "json");
    let answer = server.ask(&json).await;
    assert_page(&answer, 415);
    assert!(answer.body.contains("the form must be sent as"), "{}", answer.body);
    server.ask(&json.replace(BROWSER, "")).await.problem(415, "Unsupported Media Type");
    let long = server.ask(&form(&format!("vrm={}&mileage=1", "é".repeat(2_000)))).await;
    assert_page(&long, 400);
    assert!(long.body.len() < 6_000, "the page repeats little of what is too long");
    let huge = form("vrm=A").replace("Content-Length: 5", "Content-Length: 20000000");
    let answer = server.ask(&huge).await;
    assert_page(&answer, 413);
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn an_error_of_the_valuer_is_shown_with_its_status_and_when_to_try_again() {
    let limits = Limits { retry_after: Duration::from_secs(7), ..Limits::default() };
    let start = |quotes: Quotes| TestServer::start(Arc::default(), quotes, limits);

    let unavailable = QuoteError::Unavailable {
        code: ErrorCode::Timeout,
        message: String::new(),
        retry_after: None,
    };
    let server = start(Gate::open().quotes(Err(unavailable))).await;
    let answer = server.ask(&form("vrm=AB12CDE&mileage=10")).await;
    assert_page(&answer, 503);
    assert_eq!(answer.header("retry-after"), Some("7"));
    for part in [
        "No valuation can be obtained at present; try again later",
        "try again in 7 seconds",
        r#"value="AB12CDE""#,
        r#"value="10""#,
        ">Try again</button>",
    ] {
        assert!(answer.body.contains(part), "{part} in {}", answer.body);
    }

    let server = start(Gate::open().quotes(Err(QuoteError::NotFound))).await;
    let answer = server.ask(&form("vrm=AB12CDE&mileage=10")).await;
    assert_page(&answer, 404);
    let beside = r#"id="vrm-error">Valuation for VRM AB12CDE not found<"#;
    assert!(answer.body.contains(beside), "{}", answer.body);

    let server = start(Gate::open().quotes(Err(QuoteError::Refused(401)))).await;
    let answer = server.ask(&form("vrm=AB12CDE&mileage=10")).await;
    assert_page(&answer, 502);
    assert_eq!(answer.header("retry-after"), None);
    assert!(answer.body.contains("was not accepted upstream"));

    let server = start(quotes(|_| async { panic!("a test's own panic") })).await;
    let answer = server.ask(&form("vrm=AB12CDE&mileage=10")).await;
    assert_page(&answer, 500);
    assert!(answer.body.contains("The server failed at this request"));
}

#[tokio::test]
async fn another_sites_page_makes_no_visitor_ask_for_a_valuation() {
    let server = TestServer::ready().await;
    let post = form("vrm=AB12CDE&mileage=10");
    for headers in [
        "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
    ] {
        assert_page(&server.ask(&with(&post, headers)).await, 403);
    }
    assert!(server.memory.committed_calls().is_empty());
    for headers in ["Sec-Fetch-Site: same-origin\r\nOrigin: https://x\r\n", "Origin: http://x\r\n"]
    {
        assert_page(&server.ask(&with(&post, headers)).await, 200);
    }
}

#[tokio::test]
async fn two_presses_at_once_ask_once_and_get_the_same() {
    let gate = Gate::closed();
    let server =
        TestServer::start(Arc::default(), gate.quotes(Ok(quote("1", "2"))), Limits::default())
            .await;
    let (mut one, mut other) = (server.client().await, server.client().await);
    let press = form("vrm=AB12CDE&mileage=10");
    one.send(&press).await;
    gate.until_asked(1).await;
    other.send(&press).await;
    until("two requests", || server.traffic.active.get() >= 2).await;
    gate.let_all();
    let (one, other) = (one.answer().await, other.answer().await);
    assert_page(&one, 200);
    assert_eq!(one.body, other.body);
    assert_eq!(gate.asked(), 1);
}

#[tokio::test]
async fn the_pages_files_have_tags_and_are_compressed_for_who_can_read_it() {
    let server = TestServer::ready().await;
    let page = server.ask(&with(&get("/"), BROWSER)).await.body;
    for (name, content_type) in [("customer.css", "text/css"), ("customer.js", "text/javascript")] {
        let path = format!("/assets/{name}");
        assert!(page.contains(&format!("\"{path}\"")), "{path}");
        let file = server.get(&path).await;
        assert_eq!(file.status, 200);
        assert_eq!(file.header("content-type"), Some(&*format!("{content_type}; charset=utf-8")));
        assert_eq!(file.header("cache-control"), Some("no-cache"));
        assert_eq!(file.header("content-encoding"), None);
        let tag = file.header("etag").unwrap();
        let known = with(&get(&path), &format!("If-None-Match: {tag}\r\n"));
        let again = server.ask(&known).await;
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag)));
        let mut client = server.client().await;
        client.send(with(&get(&path), "Accept-Encoding: gzip, deflate, br\r\n")).await;
        let packed = client.head().await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert!(packed.list("vary").contains("accept-encoding"));
        let length: usize = packed.header("content-length").unwrap().parse().unwrap();
        assert!(length < file.body.len());
    }
    for unknown in ["/assets/", "/assets/x.css", "/assets/../customer.css", "/assets/customer.css/"]
    {
        server.get(unknown).await.problem(404, "Not Found");
    }
}
