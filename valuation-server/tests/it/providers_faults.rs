//! Every fault of a broken or hostile provider ends as one record with its own code.

use std::time::Duration;

use valuation_server::domain::ErrorCode;
use valuation_server::providers::MAX_BODY;

use crate::stub::{
    AMPLE, Act, GOOD_JSON, Nobody, Stub, ask, ask_supercar, failure, premium, response, send,
    supercar,
};

/// Short, since it is waited for; the exchanges that meet it never end by themselves.
const SHORT: Duration = Duration::from_millis(200);
/// A deadline that is waited for, and long enough for an answer's head to come first on a busy machine.
const PASSABLE: Duration = Duration::from_secs(2);

async fn code(acts: Vec<Act>) -> (ErrorCode, Option<u16>) {
    failure(acts, AMPLE).await
}

#[tokio::test]
async fn a_refused_connection_is_connect() {
    let nobody = Nobody::new();
    let url = format!("http://{}", nobody.address());
    let (result, call) = ask_supercar(&url).await;
    assert!(result.unwrap_err().is_provider_failure());
    let (code, message) = call.error.unwrap();
    assert_eq!((code, call.response_code), (ErrorCode::Connect, None));
    assert!(message.starts_with("the connection could not be made: "), "{message}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_dns() {
    // No label of a name may be this long, so that no name server is asked.
    let url = format!("http://{}.invalid", "a".repeat(70));
    let (_, call) = ask_supercar(&url).await;
    let (code, message) = call.error.unwrap();
    assert_eq!((code, call.response_code), (ErrorCode::Dns, None), "{message}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_reset() {
    assert_eq!(code(vec![Act::Reset]).await, (ErrorCode::Reset, None));
    assert_eq!(code(vec![Act::Close]).await, (ErrorCode::Reset, None));
    let head = send("HTTP/1.1 200 OK\r\nconte");
    assert_eq!(code(vec![head, Act::Close]).await, (ErrorCode::Reset, None));
}

#[tokio::test]
async fn a_connection_that_breaks_inside_the_body_is_reset_and_keeps_the_status() {
    let begin = || send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"valuation\"");
    assert_eq!(code(vec![begin(), Act::Reset]).await, (ErrorCode::Reset, Some(200)));
    assert_eq!(code(vec![begin(), Act::Close]).await, (ErrorCode::Reset, Some(200)));
    let chunked = send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a");
    assert_eq!(code(vec![chunked, Act::Close]).await, (ErrorCode::Reset, Some(200)));
}

#[tokio::test]
async fn a_provider_that_hangs_is_timeout() {
    assert_eq!(failure(vec![Act::Hang], SHORT).await, (ErrorCode::Timeout, None));
    let begin = send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
    assert_eq!(failure(vec![begin, Act::Hang], PASSABLE).await, (ErrorCode::Timeout, Some(200)));
}

#[tokio::test]
async fn a_slow_drip_does_not_outlive_the_deadline() {
    let pause = Duration::from_millis(20);
    let head = Act::Drip(b"HTTP/1.1 200 OK\r\nx: ".repeat(1000), pause);
    assert_eq!(failure(vec![head], SHORT).await, (ErrorCode::Timeout, None));
    let begin = send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    let body = Act::Drip(vec![b' '; 1000], pause);
    assert_eq!(failure(vec![begin, body], PASSABLE).await, (ErrorCode::Timeout, Some(200)));
}

#[tokio::test]
async fn endless_interim_answers_do_not_outlive_the_deadline() {
    let interim = Act::Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec());
    let (code, status) = failure(vec![interim], Duration::from_secs(1)).await;
    assert!(matches!(code, ErrorCode::Timeout | ErrorCode::Protocol), "{code}");
    assert_eq!(status, None);
}

#[tokio::test]
async fn the_deadline_leaves_timeout_and_the_time_it_took() {
    let stub = Stub::start(vec![Act::Hang]).await;
    let (_, call) = ask(&mut premium(&stub.url(), SHORT), "AA99BCD").await;
    let (code, message) = call.error.unwrap();
    assert_eq!(code, ErrorCode::Timeout);
    assert_eq!(message, "no whole answer within 200ms");
    assert!(call.duration >= SHORT);
}

#[tokio::test]
async fn a_body_of_the_limit_is_read_and_one_above_it_is_not() {
    let padded = |length: usize| format!("{GOOD_JSON}{}", " ".repeat(length - GOOD_JSON.len()));
    let stub = Stub::start(vec![response("200 OK", padded(MAX_BODY).as_bytes())]).await;
    assert!(ask_supercar(&stub.url()).await.0.is_ok());
    let above = padded(MAX_BODY + 1);
    let expected = (ErrorCode::BodyTooLarge, Some(200));
    assert_eq!(code(vec![response("200 OK", above.as_bytes())]).await, expected);
    let until_close = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{above}");
    assert_eq!(code(vec![send(&until_close), Act::Close]).await, expected);
}

#[tokio::test]
async fn an_endless_body_is_given_up_at_the_limit() {
    let head = send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).into_bytes();
    let expected = (ErrorCode::BodyTooLarge, Some(200));
    assert_eq!(code(vec![head, Act::Flood(chunk)]).await, expected);
}

#[tokio::test]
async fn a_length_above_the_limit_is_refused_before_a_byte_of_the_body_comes() {
    for length in ["65537", "99999999999", "18446744073709551615"] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let (code, _) = code(vec![send(&head), Act::Hang]).await;
        // The largest number is no length to the HTTP library.
        let protocol = length.len() == 20 && code == ErrorCode::Protocol;
        assert!(protocol || code == ErrorCode::BodyTooLarge, "{length}: {code}");
    }
}

#[tokio::test]
async fn a_length_that_lies_is_never_a_quote() {
    // Too long: the rest never comes. Too short: the rest of the body is not JSON.
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{GOOD_JSON}");
    assert_eq!(code(vec![send(&long), Act::Close]).await, (ErrorCode::Reset, Some(200)));
    let short = format!("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{GOOD_JSON}");
    assert_eq!(code(vec![send(&short)]).await, (ErrorCode::Unusable, Some(200)));
    let two =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 9\r\n\r\n{GOOD_JSON}");
    assert_eq!(code(vec![send(&two)]).await.0, ErrorCode::Protocol);
}

#[tokio::test]
async fn what_is_not_http_is_protocol() {
    for bytes in ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        assert_eq!(code(vec![send(bytes), Act::Close]).await.0, ErrorCode::Protocol, "{bytes:?}");
    }
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n";
    assert_eq!(code(vec![send(chunks), Act::Hang]).await, (ErrorCode::Protocol, Some(200)));
}

#[tokio::test]
async fn a_head_without_end_is_protocol() {
    let begin = send("HTTP/1.1 200 OK\r\n");
    let field =
        Act::Flood(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".to_vec());
    assert_eq!(code(vec![begin, field]).await, (ErrorCode::Protocol, None));
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked_and_said_to_be_compressed() {
    // `gzip` of an empty text; as good as any, since it is never looked into.
    let gzip = [31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for coding in ["content-encoding: gzip\r\n", "content-encoding: br\r\n", ""] {
        let head = format!("HTTP/1.1 200 OK\r\n{coding}content-length: 20\r\n\r\n");
        let stub = Stub::start(vec![Act::Send([head.as_bytes(), &gzip].concat())]).await;
        let (_, call) = ask_supercar(&stub.url()).await;
        let (code, message) = call.error.unwrap();
        assert_eq!((code, call.response_code), (ErrorCode::Unusable, Some(200)), "{coding}");
        assert_eq!(message, "the body is compressed, which was not asked for", "{coding}");
        assert!(!stub.heads()[0].to_lowercase().contains("accept-encoding"), "{:?}", stub.heads());
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: {}\r\n\r\n{GOOD_JSON}",
        GOOD_JSON.len()
    );
    let stub = Stub::start(vec![send(&head)]).await;
    assert!(ask_supercar(&stub.url()).await.0.is_ok());
}

#[tokio::test]
async fn a_second_answer_in_the_packet_answers_nothing() {
    let other = r#"{"valuation":{"lowerValue":1,"upperValue":2}}"#;
    let both = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{GOOD_JSON}\
         HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{other}",
        GOOD_JSON.len(),
        other.len()
    );
    let stub = Stub::start(vec![send(&both)]).await;
    let mut service = supercar(&stub.url(), AMPLE);
    for _ in 0..5 {
        let (result, _) = ask(&mut service, "AA99BCD").await;
        assert_eq!(result.unwrap().lowest().to_string(), "22350");
    }
    assert_eq!(stub.connections(), 5);
}

#[tokio::test]
async fn dropping_a_call_closes_its_connection() {
    use tokio::io::AsyncReadExt;
    use tower::Service;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut service = supercar(&url, AMPLE);
    let call = tokio::spawn(service.call(crate::stub::request("AA99BCD")));
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4096];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    call.abort();
    // Reads on until the other end has closed, in whichever way.
    while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
}
