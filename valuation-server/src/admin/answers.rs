//! What operators are answered.

use std::any::Any;
use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::panics;

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer that says no, by RFC 9457.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    /// The member or setting that is wrong.
    field: Option<String>,
    /// The methods that would do.
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct Members<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), field: None, allow: None }
    }

    /// 400 for a member or a setting.
    pub(super) fn field(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// 405 with the methods that would do.
    pub(super) fn wrong_method(allow: &'static str) -> Self {
        let detail = format!("allowed here: {allow}");
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn into_answer(self) -> Answer {
        let members = Members {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        let mut answer = json(&members);
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("texts and numbers have a JSON form");
    answer("application/json", body)
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = answer("text/plain; charset=utf-8", body);
    *answer.status_mut() = status;
    answer
}

/// What is true now may be another thing soon, and no browser may take it for a page.
pub(super) fn answer(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Gives the bare 408 of the time-out a body. The connection can't be used further.
pub(super) fn explain_timeout(answer: Answer) -> Answer {
    if answer.status() != StatusCode::REQUEST_TIMEOUT {
        return answer;
    }
    let message = "the request did not come in time";
    let mut answer = Problem::new(StatusCode::REQUEST_TIMEOUT, message).into_answer();
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// 500 for a panic, whose text goes to the log alone.
#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Answer {
    tracing::error!(panicked = panics::text(&*payload), "an operator's page panicked");
    let message = "The server failed at this request";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message).into_answer()
}
