//! Who is let in on the operators' side, and who is not.

use valuation_server::config::Setting;

use crate::app_harness::TestApp;

const TOKEN: &str = "correct-horse-battery";

/// A request with these headers and nothing else.
fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let body = if method == "GET" { "" } else { r#"{"updateState":"FORCE_FALLBACK"}"# };
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

const FAILOVER: &str = "/admin/failovers/valuations";

#[tokio::test]
async fn without_a_token_a_name_that_is_not_the_machines_own_is_answered_nothing() {
    let app = TestApp::start().await;
    let port = app.admin.port();
    for page in ["/livez", "/readyz", "/metrics", FAILOVER] {
        for host in [
            "localhost".to_owned(),
            format!("LOCALHOST:{port}"),
            format!("127.0.0.1:{port}"),
            "127.0.0.2".to_owned(),
            "[::1]:80".to_owned(),
        ] {
            let answer = app.operate(&request("GET", page, &[("Host", &host)])).await;
            assert_eq!(answer.status, 200, "{host} {answer:?}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""]
        {
            let answer = app.operate(&request("GET", page, &[("Host", host)])).await;
            assert_eq!(answer.status, 421, "{host} {answer:?}");
            assert!(!answer.body.contains("failover"), "{answer:?}");
        }
        for headers in [&[][..], &[("Host", "localhost"), ("Host", "evil.example")]] {
            assert_eq!(app.operate(&request("GET", page, headers)).await.status, 421);
        }
        let absolute = format!("http://evil.example{page}");
        let answer = app.operate(&request("GET", &absolute, &[("Host", "localhost")])).await;
        assert_eq!(answer.status, 421, "the target goes before the header");
    }
}

#[tokio::test]
async fn an_order_from_another_sites_page_is_refused() {
    let app = TestApp::start().await;
    let host = ("Host", "localhost");
    for page in [
        ("Origin", "http://evil.example"),
        ("Origin", "https://localhost"),
        ("Origin", "http://localhost:3000"),
        ("Origin", "null"),
        ("Origin", ""),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        for (method, path) in [("POST", FAILOVER.to_owned()), ("PUT", format!("{FAILOVER}/policy"))]
        {
            let answer = app.operate(&request(method, &path, &[host, page])).await;
            assert_eq!(answer.status, 403, "{page:?} {answer:?}");
        }
    }
    assert_eq!(app.view().await["state"], "primary");
    // `none` is what a browser says of an address that its user has typed.
    for own in [
        ("Origin", "http://localhost"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
    ] {
        let answer = app.operate(&request("POST", FAILOVER, &[host, own])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn with_a_token_all_but_bare_health_needs_it() {
    let app = TestApp::with(&[(Setting::AdminToken, TOKEN)]).await;
    let bearer = format!("Bearer {TOKEN}");
    let host = ("Host", "any.example");
    for page in ["/livez", "/readyz"] {
        assert_eq!(app.operate(&request("GET", page, &[host])).await.status, 200);
    }
    let guarded = ["/", "/readyz?verbose", "/metrics", "/admin/failovers", FAILOVER, "/nothing"];
    let wrong = [
        TOKEN.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {TOKEN}"),
        format!("Bearer {TOKEN}x"),
        format!("Bearer {}", &TOKEN[1..]),
        format!("Bearer {}", TOKEN.to_uppercase()),
        format!("Bearer  {TOKEN}"),
    ];
    for page in guarded {
        let answer = app.operate(&request("GET", page, &[host])).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
        for given in &wrong {
            let given = ("Authorization", given.as_str());
            let answer = app.operate(&request("GET", page, &[host, given])).await;
            // Beyond the budget of wrong tokens it is 429.
            assert!(matches!(answer.status, 401 | 429), "{given:?} {answer:?}");
        }
        let right = ("Authorization", bearer.as_str());
        let expected = if page == "/nothing" { 404 } else { 200 };
        assert_eq!(app.operate(&request("GET", page, &[host, right])).await.status, expected);
        assert_eq!(app.operate(&request("GET", page, &[host, right, right])).await.status, 401);
    }
    assert_eq!(app.operate(&request("POST", FAILOVER, &[host])).await.status, 401);
    assert_eq!(app.route().0.name(), "SuperCar Valuations");
    let right = ("authorization", format!("bearer {TOKEN}"));
    let answer = app.operate(&request("POST", FAILOVER, &[host, (right.0, &right.1)])).await;
    assert_eq!(answer.status, 200, "the scheme's case is of no account: {answer:?}");
}

#[tokio::test]
async fn a_request_that_is_not_let_in_is_logged_with_its_status_and_its_address() {
    use crate::http_harness::Client;
    use crate::process_harness::{Process, simulators};
    let folder = tempfile::tempdir().unwrap();
    let (supercar, premium) = simulators(valuation_server::demo::simulator::Pace::INSTANT).await;
    let database = folder.path().join("v.sqlite");
    let with_token = ["--admin-listen", "127.0.0.1:0", "--admin-token", TOKEN];
    let other_site = ("Sec-Fetch-Site", "cross-site");
    for (flags, method, headers, status) in [
        (&with_token[..2], "GET", vec![("Host", "evil.example")], 421),
        (&with_token[..2], "POST", vec![("Host", "localhost"), other_site], 403),
        (&with_token[..], "GET", vec![("Host", "localhost")], 401),
    ] {
        let mut process = Process::start_with(&database, &supercar, &premium, flags).await;
        let line = process.until_logged("operators: http://").await;
        let mut client =
            Client::operator(line.split("http://").nth(1).unwrap().parse().unwrap()).await;
        client.send(request(method, FAILOVER, &headers)).await;
        assert_eq!(client.answer().await.status, status);
        for _ in 0..20 {
            client.send(request(method, FAILOVER, &headers)).await;
            assert_eq!(client.answer().await.status, status);
        }
        let address = client.stream.local_addr().unwrap();
        drop(client);
        // So that a line that does not come is not waited for.
        process.signal("TERM");
        let logged = process.until_logged("an operator's request was refused").await;
        assert!(logged.contains(&format!("status={status}")), "{logged}");
        assert!(logged.contains(&format!("peer={address}")), "{logged}");
        let mut lines = 1;
        while let Some(line) = process.next_line().await {
            lines += usize::from(line.contains("an operator's request was refused"));
        }
        assert!(lines < 10, "one a second: {lines}");
    }
}
