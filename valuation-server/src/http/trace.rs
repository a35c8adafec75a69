//! The trace and the id of a request: the headers `traceparent` and `x-request-id`, generated if
//! missing or invalid.
//!
//! `tracestate` is not read: it is other vendors' data.

use std::num::NonZeroU128;

use hyper::Request;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tower_http::request_id::{MakeRequestId, RequestId};

use crate::domain::Trace;

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The id of a request, from the client or generated.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is accepted from a client, in bytes.
const LONGEST_ID: usize = 128;
/// `sampled` and `random`. Undefined flags must not be forwarded.
const KNOWN_FLAGS: u8 = 0b11;

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Makes the request's [`Trace`] an extension, and removes an id that is not accepted.
pub(super) fn identify<B>(mut request: Request<B>) -> Request<B> {
    let headers = request.headers();
    let (id, flags) = only(headers, &TRACEPARENT)
        .and_then(|value| parse_traceparent(value.to_str().ok()?))
        .unwrap_or_else(|| (generate(), 0));
    let given = only(headers, &X_REQUEST_ID).and_then(accepted);
    let trace = Trace::new(id, flags, given.unwrap_or(&*digits(id)));
    if given.is_none() {
        request.headers_mut().remove(&X_REQUEST_ID);
    }
    request.extensions_mut().insert(trace);
    request
}

/// Takes the id from the request's [`Trace`], for a request without an accepted one.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromTrace;

impl MakeRequestId for FromTrace {
    fn make_request_id<B>(&mut self, request: &Request<B>) -> Option<RequestId> {
        let trace = request.extensions().get::<Trace>()?;
        Some(HeaderValue::from_str(trace.request_id()).ok()?.into())
    }
}

/// The value of a header that is present exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Parses `00-{trace-id}-{parent-id}-{flags}`: lower-case hexadecimal digits, neither id zero. Later
/// versions may have more fields (W3C Trace Context, section 3.2).
fn parse_traceparent(value: &str) -> Option<(NonZeroU128, u8)> {
    let mut fields = value.split('-');
    let mut field = |length| hex(fields.next()?, length);
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let is_valid = version < 0xff && (version > 0 || fields.next().is_none()) && span != 0;
    let flags = u8::try_from(flags).ok()? & KNOWN_FLAGS;
    is_valid.then_some((NonZeroU128::new(trace)?, flags))
}

fn hex(digits: &str, length: usize) -> Option<u128> {
    let is_digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let is_hex = digits.len() == length && digits.bytes().all(is_digit);
    is_hex.then(|| u128::from_str_radix(digits, 16).ok())?
}

/// A client's id, if it is safe in a log line, a header and a URL.
fn accepted(value: &HeaderValue) -> Option<&str> {
    let id = value.to_str().ok()?;
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=:@".contains(&b);
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_safe)).then_some(id)
}

/// An id must be unique, not secret.
fn generate() -> NonZeroU128 {
    NonZeroU128::new(fastrand::u128(..)).unwrap_or(NonZeroU128::MIN)
}

/// The trace's id as the request's, as [`TraceId`](crate::domain::TraceId) prints it. Without `fmt`,
/// since most requests come without an id.
fn digits(id: NonZeroU128) -> String {
    let pair = |byte: u8| [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)]);
    let digits = id.get().to_be_bytes().map(pair);
    String::from_utf8_lossy(digits.as_flattened()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TraceId;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn is_id(value: &[u8]) -> bool {
        HeaderValue::from_bytes(value).is_ok_and(|value| accepted(&value).is_some())
    }

    fn trace(text: &str) -> Option<(String, u8)> {
        parse_traceparent(text).map(|(id, flags)| (TraceId(id).to_string(), flags))
    }

    #[test]
    fn a_traceparent_is_taken_as_the_standard_says() {
        let expected = |flags| Some(("0af7651916cd43dd8448eb211c80319c".to_owned(), flags));
        assert_eq!(trace(GOOD), expected(1));
        assert_eq!(trace(&GOOD.replace("-01", "-ff")), expected(3), "unknown flags are dropped");
        assert_eq!(trace(&format!("cc{}-what-comes-later", &GOOD[2..])), expected(1));
    }

    #[test]
    fn a_traceparent_that_is_not_right_is_not_taken() {
        for wrong in [
            "",
            "00",
            &GOOD[1..],
            &GOOD.to_uppercase(),
            &format!("{GOOD}-x"),
            &format!("{GOOD} "),
            &format!("ff{}", &GOOD[2..]),
            &format!("cc{}x", &GOOD[2..]),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("-01", "_01"),
            &GOOD.replace("-01", "-0g"),
        ] {
            assert_eq!(trace(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_id_of_a_client_is_bounded_and_plain() {
        assert!(is_id(b"3f2504e0-4f89.41d3_9A0C~0305+/=:@"));
        assert!(is_id(&[b'a'; LONGEST_ID]));
        for wrong in [&b""[..], &[b'a'; LONGEST_ID + 1], b"a b", b"a\"b", b"a\xff", b"a\x1b[31m"] {
            assert!(!is_id(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn two_requests_without_ids_get_two() {
        let trace = || identify(Request::new(())).extensions().get::<Trace>().unwrap().clone();
        let (one, other) = (trace(), trace());
        assert_ne!(one.id(), other.id());
        assert_ne!(one.request_id(), other.request_id());
        assert_eq!(one.request_id(), one.id().to_string());
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_traceparent(&String::from_utf8_lossy(&value));
            let _ = is_id(&value);
        }
    }
}
