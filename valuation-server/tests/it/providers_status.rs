//! What each status of a provider means.

use valuation_server::domain::{ErrorCode, Provider, QuoteError};

use crate::stub::{AMPLE, GOOD_JSON, Stub, ask, ask_supercar, premium, response, send};

#[tokio::test]
async fn two_hundred_with_a_usable_body_is_a_quote() {
    let stub = Stub::start(vec![response("200 OK", GOOD_JSON.as_bytes())]).await;
    let (result, call) = ask_supercar(&stub.url()).await;
    let quote = result.unwrap();
    assert_eq!(quote.lowest().to_string(), "22350");
    assert_eq!(quote.highest().to_string(), "24750");
    assert_eq!(quote.provider(), Provider::SuperCar);
    assert_eq!((call.response_code, call.error), (Some(200), None));
    assert_eq!(call.provider, Provider::SuperCar);
    assert_eq!(call.vrm.as_str(), "AA99BCD");
}

#[tokio::test]
async fn premium_is_read_as_xml() {
    let body = "<root><ValuationPrivateSaleMinimum>11500</ValuationPrivateSaleMinimum>\
        <ValuationPrivateSaleMaximum>12750</ValuationPrivateSaleMaximum></root>";
    let stub = Stub::start(vec![response("200 OK", body.as_bytes())]).await;
    let (result, call) = ask(&mut premium(&stub.url(), AMPLE), "AA69BCD").await;
    let quote = result.unwrap();
    assert_eq!((quote.lowest().to_string(), quote.provider()), ("11500".into(), Provider::Premium));
    assert_eq!((call.provider, call.response_code), (Provider::Premium, Some(200)));
}

#[tokio::test]
async fn two_hundred_with_another_body_is_unusable() {
    for body in ["", "{}", "<root/>", "null", "[]"] {
        let stub = Stub::start(vec![response("200 OK", body.as_bytes())]).await;
        let (result, call) = ask_supercar(&stub.url()).await;
        assert!(result.unwrap_err().is_provider_failure());
        assert_eq!(call.response_code, Some(200));
        assert_eq!(call.error.unwrap().0, ErrorCode::Unusable);
    }
}

#[tokio::test]
async fn not_found_is_an_answer() {
    let stub = Stub::start(vec![response("404 Not Found", GOOD_JSON.as_bytes())]).await;
    let (result, call) = ask_supercar(&stub.url()).await;
    let error = result.unwrap_err();
    assert_eq!(error, QuoteError::NotFound);
    assert!(!error.is_provider_failure());
    assert_eq!((call.response_code, call.error.unwrap().0), (Some(404), ErrorCode::Status));
}

#[tokio::test]
async fn other_client_errors_are_refusals_and_no_failures() {
    for status in [400, 401, 403, 405, 407, 409, 410, 418, 422, 451, 499] {
        let stub = Stub::start(vec![response(&format!("{status} X"), b"")]).await;
        let (result, call) = ask_supercar(&stub.url()).await;
        let error = result.unwrap_err();
        assert_eq!(error, QuoteError::Refused(status));
        assert!(!error.is_provider_failure());
        assert_eq!((call.response_code, call.error.unwrap().0), (Some(status), ErrorCode::Status));
    }
}

#[tokio::test]
async fn every_other_status_is_a_failure() {
    for status in [201, 202, 204, 206, 300, 304, 408, 429, 500, 502, 503, 504, 599, 600, 999] {
        let head = if status == 204 || status == 304 {
            send(&format!("HTTP/1.1 {status} X\r\n\r\n"))
        } else {
            response(&format!("{status} X"), GOOD_JSON.as_bytes())
        };
        let stub = Stub::start(vec![head]).await;
        let (result, call) = ask_supercar(&stub.url()).await;
        assert!(result.unwrap_err().is_provider_failure(), "{status}");
        assert_eq!((call.response_code, call.error.unwrap().0), (Some(status), ErrorCode::Status));
    }
}

#[tokio::test]
async fn an_interim_answer_is_passed_over() {
    let interim = send("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
    let stub = Stub::start(vec![interim, response("200 OK", GOOD_JSON.as_bytes())]).await;
    assert!(ask_supercar(&stub.url()).await.0.is_ok());
}

#[tokio::test]
async fn a_switch_of_protocols_is_a_failure() {
    let switch =
        send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
    let stub = Stub::start(vec![switch]).await;
    let (result, call) = ask_supercar(&stub.url()).await;
    assert!(result.unwrap_err().is_provider_failure());
    assert!(matches!(call.error.unwrap().0, ErrorCode::Status | ErrorCode::Protocol));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let other = Stub::start(vec![response("200 OK", GOOD_JSON.as_bytes())]).await;
        let redirect = format!(
            "HTTP/1.1 {status} X\r\nlocation: {}/valuations/AA99BCD\r\ncontent-length: 0\r\n\r\n",
            other.url()
        );
        let stub = Stub::start(vec![send(&redirect)]).await;
        let (result, call) = ask_supercar(&stub.url()).await;
        assert!(result.unwrap_err().is_provider_failure());
        assert_eq!((call.response_code, call.error.unwrap().0), (Some(status), ErrorCode::Status));
        assert_eq!(other.connections(), 0, "{status}");
        assert_eq!(stub.heads().len(), 1);
    }
}

#[tokio::test]
async fn a_failing_status_carries_its_retry_after_where_that_is_whole_seconds() {
    for (value, seconds) in [
        ("7", Some(7)),
        ("0", Some(0)),
        ("4294967295", Some(4_294_967_295)),
        ("4294967296", None),
        ("+7", None),
        ("-7", None),
        ("7.5", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", None),
    ] {
        for status in [429, 503] {
            let head = format!("HTTP/1.1 {status} X\r\nretry-after: {value}\r\n");
            let stub = Stub::start(vec![send(&format!("{head}content-length: 0\r\n\r\n"))]).await;
            let error = ask_supercar(&stub.url()).await.0.unwrap_err();
            let QuoteError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
            assert_eq!(retry_after.map(|time| time.as_secs()), seconds, "{status} {value:?}");
        }
    }
}
