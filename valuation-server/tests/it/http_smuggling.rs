//! Requests that two readers of the same bytes could take for different ones.

use crate::http_harness::{TestServer, get, put};

const HIDDEN: &str = "GET /valuations/HIDDEN HTTP/1.1\r\nHost: x\r\n\r\n";

/// The faults that hyper answers by itself, without a body.
const HYPERS_OWN: [&str; 18] = [
    "two lengths",
    "a list of lengths",
    "a signed length",
    "no length",
    "a hexadecimal length",
    "a huge length",
    "an unknown coding",
    "chunked not last",
    "a coding in HTTP/1.0",
    "a space before the colon",
    "a folded line",
    "a folded first line",
    "a bare carriage return",
    "a NUL in a value",
    "an empty name",
    "a tab in the request line",
    "two spaces in it",
    "a version that is none",
];

/// A PUT whose head has these lines, with a body behind it.
fn with(lines: &str, body: &str) -> String {
    format!("PUT /valuations/AB1 HTTP/1.1\r\nContent-Type: application/json\r\n{lines}\r\n{body}")
}

#[tokio::test]
async fn a_head_that_could_be_read_otherwise_is_400_and_nothing_behind_it_is_answered() {
    let server = TestServer::ready().await;
    let json = r#"{"mileage":1}"#;
    let chunked = "d\r\n{\"mileage\":1}\r\n0\r\n\r\n";
    let cases = [
        (
            "a length, then a coding",
            with("Host: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunked),
        ),
        (
            "a coding, then a length",
            with("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunked),
        ),
        ("two lengths", with("Host: x\r\nContent-Length: 13\r\nContent-Length: 14\r\n", json)),
        ("a length twice", with("Host: x\r\nContent-Length: 13\r\nContent-Length: 13\r\n", json)),
        ("a list of lengths", with("Host: x\r\nContent-Length: 13, 13\r\n", json)),
        ("a signed length", with("Host: x\r\nContent-Length: +13\r\n", json)),
        ("no length", with("Host: x\r\nContent-Length:\r\n", json)),
        ("a hexadecimal length", with("Host: x\r\nContent-Length: 0xd\r\n", json)),
        ("a huge length", with("Host: x\r\nContent-Length: 18446744073709551617\r\n", json)),
        ("an unknown coding", with("Host: x\r\nTransfer-Encoding: xchunked\r\n", chunked)),
        ("chunked not last", with("Host: x\r\nTransfer-Encoding: chunked, gzip\r\n", chunked)),
        ("chunked not alone", with("Host: x\r\nTransfer-Encoding: gzip, chunked\r\n", chunked)),
        (
            "chunked twice",
            with(
                "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                chunked,
            ),
        ),
        (
            "a coding in HTTP/1.0",
            with("Host: x\r\nTransfer-Encoding: chunked\r\n", chunked).replacen("1.1", "1.0", 1),
        ),
        ("a space before the colon", with("Host: x\r\nContent-Length : 13\r\n", json)),
        ("a folded line", with("Host: x\r\nX: a\r\n b\r\nContent-Length: 13\r\n", json)),
        ("a folded first line", with(" Host: x\r\nContent-Length: 13\r\n", json)),
        ("a bare line feed", with("Host: x\nContent-Length: 13\r\n", json)),
        (
            "bare line feeds alone",
            with("Host: x\r\nContent-Length: 13\r\n", json).replace('\r', ""),
        ),
        ("a bare carriage return", with("Host: x\rContent-Length: 13\r\n", json)),
        ("a NUL in a value", with("Host: x\r\nX: a\0b\r\nContent-Length: 13\r\n", json)),
        ("an empty name", with("Host: x\r\n: a\r\nContent-Length: 13\r\n", json)),
        ("no host", with("Content-Length: 13\r\n", json)),
        ("two hosts", with("Host: x\r\nHost: x\r\nContent-Length: 13\r\n", json)),
        ("a host that is none", with("Host: a b\r\nContent-Length: 13\r\n", json)),
        ("a host with a user", with("Host: a@b\r\nContent-Length: 13\r\n", json)),
        ("a tab in the request line", get("/").replacen(' ', "\t", 1)),
        ("two spaces in it", get("/").replacen(' ', "  ", 1)),
        ("a version that is none", get("/").replace("1.1", "1.2")),
    ];
    let all = cases.len() as u64;
    let mut hypers_own = Vec::new();
    for (fault, request) in cases {
        let mut client = server.client().await;
        client.send(request + HIDDEN).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 400, "{fault}: {answer:?}");
        if answer.is_hypers_own() {
            hypers_own.push(fault);
        } else {
            answer.problem(400, "Bad Request");
        }
        assert_eq!(answer.header("connection"), Some("close"), "{fault}");
        let was_read = ["no host", "two hosts", "a host with a user"].contains(&fault);
        assert!(!was_read || answer.header("x-request-id").is_some(), "{fault}");
        client.closed().await;
    }
    assert_eq!(hypers_own, HYPERS_OWN);
    assert_eq!(server.get("/valuations/AB1").await.status, 404, "nothing was stored");
    assert_eq!(server.traffic.refused_requests.get(), all);
}

#[tokio::test]
async fn a_faulty_head_is_400_behind_a_good_request_as_well() {
    let server = TestServer::ready().await;
    let smuggling =
        with("Host: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n");
    for before in [get("/"), put("/valuations/AB1", r#"{"mileage":1}"#)] {
        let mut client = server.client().await;
        client.send(before + &smuggling + HIDDEN).await;
        assert_eq!(client.answer().await.status, 200);
        client.answer().await.problem(400, "Bad Request");
        client.closed().await;
    }
}

#[tokio::test]
async fn requests_right_behind_chunked_ones_are_judged_and_answered_like_others() {
    let server = TestServer::ready().await;
    let chunked = |rest: &str| {
        with(
            "Host: x\r\nTransfer-Encoding: chunked\r\n",
            &("d\r\n{\"mileage\":1}\r\n0".to_owned() + rest),
        )
    };
    let smuggling =
        with("Host: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n");
    let mut client = server.client().await;
    let plain = chunked("\r\n\r\n");
    let (extended, trailed) = (chunked(" ;a=b\r\n\r\n"), chunked("\r\nx: y\r\n\r\n"));
    let requests = [&plain, &plain, &get("/"), &extended, &trailed, &plain, &smuggling];
    client.send(requests.map(String::as_str).concat() + HIDDEN).await;
    for _ in 0..6 {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    client.answer().await.problem(400, "Bad Request");
    client.closed().await;
}

#[tokio::test]
async fn behind_a_chunked_body_that_has_not_come_whole_nothing_is_answered() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    client.send(with("Host: x\r\nTransfer-Encoding: gzip\r\n", "").as_str()).await;
    let answer = client.answer().await;
    assert!(answer.status == 400 && answer.is_hypers_own(), "{answer:?}");
    client.closed().await;
    let mut client = server.client().await;
    let elsewhere = with("Host: x\r\nTransfer-Encoding: chunked\r\n", "d\r\n{\"mile")
        .replace("/valuations/AB1", "/nowhere");
    client.send(elsewhere).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    client.closed().await;
}

#[tokio::test]
async fn empty_lines_before_a_request_and_bare_line_feeds_in_a_body_are_no_fault() {
    let server = TestServer::ready().await;
    let mut client = server.client().await;
    for _ in 0..2 {
        client.send("\r\n".to_owned() + &put("/valuations/AB1", "{\n\"mileage\":\n1}\n")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    client.send("GET / HTTP/1.1\r\nhost: [::1]:3000\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    let mut old = server.client().await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.status, 200, "HTTP/1.0 has no Host");
}
