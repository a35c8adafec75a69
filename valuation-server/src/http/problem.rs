//! Error answers.
//!
//! One JSON object with the older service's `statusCode`, `error` and `message`, and with the same
//! content in RFC 9457's members. It has what a client can act on, and nothing about the providers or
//! the database.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode, Uri, Version};
use serde::Serialize;

use crate::domain::Vrm;
use crate::valuer::{RecordsError, ValueError};

/// How much of a client's text is repeated to it, in characters.
const SHOWN: usize = 256;

/// An answer to a request.
pub(super) type Answer = Response<Full<Bytes>>;

/// An error answer before it is serialized.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: Cow<'static, str>,
    /// The methods that a 405 allows.
    allow: Option<&'static str>,
    /// Whether an HTTP/1 connection is closed after the answer.
    close: bool,
}

/// Announces to the client, and so to hyper, that this answer is the connection's last.
pub(super) fn announce_close(answer: &mut Answer) {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// The members. `type` is `about:blank`, so `title` is the status's own phrase (RFC 9457, 4.2.1).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    status_code: u16,
    error: &'a str,
    message: &'a str,
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), allow: None, close: false }
    }

    /// 400, with the rule that the request breaks.
    pub(super) fn bad_request(rule: impl std::error::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rule.to_string())
    }

    /// 431 with the limits.
    pub(super) fn head_too_large() -> Self {
        let message = "the head of a request must not exceed 16384 bytes and 100 headers";
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message)
    }

    /// 503. Its answer says when to try again.
    pub(super) fn unavailable(message: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 404 for an unknown path.
    pub(super) fn no_route(method: &str, target: &Uri) -> Self {
        let query = target.query().map_or(String::new(), |query| format!("?{query}"));
        let route = format!("{}:{}{query}", printable(method, 32), target.path());
        let route = printable(&route, SHOWN);
        Self::new(StatusCode::NOT_FOUND, format!("Route {route} not found"))
    }

    /// 405 with the allowed methods.
    pub(super) fn wrong_method(method: &str, allow: &'static str) -> Self {
        let method = printable(method, 32);
        let message = format!("Method {method} is not allowed here; allowed: {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// 404 for a vehicle without a valuation.
    pub(super) fn no_valuation(vrm: &Vrm) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Valuation for VRM {vrm} not found"))
    }

    /// 500 for a fault of this program.
    pub(super) fn fault() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The server failed at this request")
    }

    /// The answer to an error of the valuer.
    pub(super) fn of_value(error: &ValueError, vrm: &Vrm) -> Self {
        match error {
            ValueError::Unavailable => {
                Self::unavailable("No valuation can be obtained at present; try again later")
            }
            ValueError::Records(RecordsError::Unavailable(_)) => {
                Self::unavailable("Valuations can't be read or stored at present; try again later")
            }
            ValueError::Overloaded => {
                Self::unavailable("Too many valuations are under way; try again later")
            }
            ValueError::Stopping => Self::unavailable("The server is stopping; try again later"),
            ValueError::NotFound => Self::no_valuation(vrm),
            ValueError::Refused => Self::new(
                StatusCode::BAD_GATEWAY,
                "The request for a valuation was not accepted upstream",
            ),
            ValueError::Records(RecordsError::Corrupt(_)) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("The valuation for VRM {vrm} can't be read or stored"),
            ),
            ValueError::Panicked => Self::fault(),
        }
    }

    /// Closes the connection after the answer.
    pub(super) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// Whether the answer announces its connection's end. HTTP/2 has no header for that, and a stream can
    /// end alone.
    pub(super) fn closes(&self, version: Version) -> bool {
        self.close && version < Version::HTTP_2
    }

    /// The body of the answer to a request for the path `instance`.
    pub(super) fn body(&self, instance: Option<&str>) -> Vec<u8> {
        let phrase = self.status.canonical_reason().unwrap_or("Error");
        serde_json::to_vec(&Members {
            status_code: self.status.as_u16(),
            error: phrase,
            message: &self.message,
            r#type: "about:blank",
            title: phrase,
            status: self.status.as_u16(),
            detail: &self.message,
            // A shortened path would name another resource.
            instance: instance.filter(|path| path.len() <= SHOWN),
        })
        .expect("texts and numbers have a JSON form")
    }

    /// The answer to a request for `target`. A 503 says when to try again.
    pub(super) fn into_response(
        self,
        target: &Uri,
        version: Version,
        retry_after: Duration,
    ) -> Answer {
        let mut response = Response::new(Full::from(self.body(Some(target.path()))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let fixed = HeaderValue::from_static;
        headers.insert(header::CONTENT_TYPE, fixed("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, fixed("no-store"));
        // The message repeats the client's own text: a browser must not render it as a page.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, fixed(allow));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
        }
        if self.closes(version) {
            announce_close(&mut response);
        }
        response
    }
}

/// The text with control characters replaced, cut after `most` characters.
fn printable(text: &str, most: usize) -> String {
    let safe = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(most).map(safe).collect();
    if text.chars().nth(most).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_unprintable_text_is_shown_bounded_and_printable() {
        assert_eq!(printable("abc", 3), "abc");
        assert_eq!(printable("abcd", 3), "abc...");
        assert_eq!(printable("a\u{85}b", 9), "a\u{fffd}b");
    }
}
