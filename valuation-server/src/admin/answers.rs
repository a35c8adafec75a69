//! Answers to operators.

use std::any::Any;
use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::panics;

pub(super) type Answer = Response<Full<Bytes>>;

/// An error answer (RFC 9457).
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    detail: Cow<'static, str>,
    /// The wrong member or setting.
    field: Option<String>,
    header: Option<(HeaderName, &'static str)>,
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
        Self { status, detail: detail.into(), field: None, header: None }
    }

    /// 400 for a member or a setting.
    pub(super) fn field(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// 405 with the allowed methods.
    pub(super) fn wrong_method(allow: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("allowed here: {allow}"))
            .with(header::ALLOW, allow)
    }

    /// Adds the one header that belongs to this status.
    pub(super) fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
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
        let content_type = (header::CONTENT_TYPE, "application/problem+json");
        for (name, value) in [Some(content_type), self.header].into_iter().flatten() {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
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

/// 204.
pub(super) fn empty() -> Answer {
    let mut answer = text(StatusCode::NO_CONTENT, "");
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

/// Not to be cached, since the state changes.
pub(super) fn answer(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    for (name, value) in [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")]
    {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Gives the bare 408 of the time-out a body. The connection can't be used further.
pub(super) fn explain_timeout(answer: Answer) -> Answer {
    if answer.status() != StatusCode::REQUEST_TIMEOUT {
        return answer;
    }
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time")
        .with(header::CONNECTION, "close")
        .into_answer()
}

/// 500 for a panic. Its text goes to the log only.
#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> Answer {
    tracing::error!(panicked = panics::text(&*payload), "an operator's page panicked");
    let message = "The server failed at this request";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message).into_answer()
}
