//! The OpenAPI documents and their pages, as each listener serves them.

use valuation_server::config::Setting;

use crate::app_harness::{TestApp, admin_get};
use crate::http_harness::{Answer, Client, get};

const PARTS: [(&str, &str); 3] = [
    ("/openapi.json", "application/json"),
    ("/openapi", "text/html; charset=utf-8"),
    ("/openapi.css", "text/css; charset=utf-8"),
];

async fn public(app: &TestApp, request: &str) -> Answer {
    let mut client = Client::connect(app.address).await;
    client.send(request).await;
    client.answer().await
}

#[tokio::test]
async fn each_listener_describes_its_own_side_and_confirms_a_copy() {
    let app = TestApp::start().await;
    for (path, content_type) in PARTS {
        let ours = app.operate(&admin_get(path)).await;
        let theirs = public(&app, &get(path)).await;
        assert_eq!(ours.body == theirs.body, path == "/openapi.css", "{path}");
        for (answer, is_ours) in [(&ours, true), (&theirs, false)] {
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(answer.header("content-security-policy").is_some(), "{path}");
            if path == "/openapi.json" {
                let described = answer.json()["paths"].get("/metrics").is_some();
                assert_eq!(described, is_ours);
            }
        }
        for (answer, plain) in [(ours, admin_get(path)), (theirs, get(path))] {
            let tag = format!("\r\nIf-None-Match: {}\r\n\r\n", answer.header("etag").unwrap());
            let again = plain.replace("\r\n\r\n", &tag);
            let again = if again.contains("localhost") {
                app.operate(&again).await
            } else {
                public(&app, &again).await
            };
            assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        }
    }
}

#[tokio::test]
async fn with_a_token_the_operators_side_is_described_to_operators_alone() {
    let app = TestApp::with(&[(Setting::AdminToken, "correct-horse-battery")]).await;
    for (path, _) in PARTS {
        assert_eq!(app.look(path).await.status, 401, "{path}");
        assert_eq!(public(&app, &get(path)).await.status, 200, "{path}");
    }
}
