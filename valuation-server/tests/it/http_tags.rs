//! Entity tags: a client that has a valuation is not sent it again.

use crate::http_harness::{TestServer, get};

fn with(method: &str, headers: &str) -> String {
    let request = get("/valuations/AB1").replace("GET", method);
    request.replace("Host: x\r\n", &format!("Host: x\r\n{headers}"))
}

async fn stored() -> TestServer {
    let server = TestServer::ready().await;
    let made = server.put("/valuations/AB1", r#"{"mileage":10000}"#).await;
    assert_eq!((made.status, made.header("etag")), (200, None), "a PUT's answer has no tag");
    server
}

#[tokio::test]
async fn a_get_of_a_valuation_has_a_strong_tag_that_stays() {
    let server = stored().await;
    let answer = server.get("/valuations/AB1").await;
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
    assert_eq!(server.get("/valuations/AB1").await.header("etag"), Some(tag));
    let mut client = server.client().await;
    client.send(with("HEAD", "")).await;
    assert_eq!(client.head().await.header("etag"), Some(tag));
    assert_eq!(server.get("/valuations/AB2").await.header("etag"), None);
}

#[tokio::test]
async fn who_knows_the_tag_is_sent_no_body() {
    let server = stored().await;
    let tag = server.get("/valuations/AB1").await.header("etag").unwrap().to_owned();
    let known = [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()];
    for known in known {
        for method in ["GET", "HEAD"] {
            let mut client = server.client().await;
            client.send(with(method, &format!("If-None-Match: {known}\r\n"))).await;
            let answer = client.head().await;
            assert_eq!(answer.status, 304, "{method} {known}");
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
            assert_eq!(answer.header("content-type"), None);
            // What follows on the connection is the next answer, not a body.
            client.send(get("/")).await;
            assert_eq!(client.answer().await.body, r#"{"hello":"world"}"#);
        }
    }
}

#[tokio::test]
async fn who_knows_another_tag_is_sent_the_valuation() {
    let server = stored().await;
    for known in ["\"x\"", "\"\"", "x", ""] {
        let answer = server.ask(&with("GET", &format!("If-None-Match: {known}\r\n"))).await;
        assert_eq!(answer.status, 200, "{known}");
        assert!(answer.body.contains("\"vrm\":\"AB1\""));
    }
    let missing = with("GET", "If-None-Match: *\r\n").replace("AB1", "AB9");
    assert_eq!(server.ask(&missing).await.status, 404);
}
