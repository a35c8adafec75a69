//! The handlers, one per resource and method.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use super::problem::{Answer, Problem, announce_close};
use super::router::{Resource, decode_vrm};
use super::strict::ConnectionState;
use super::{LiveOptions, Options, body, etag, pages, wire};
use crate::domain::{Trace, Valuation, Vrm};
use crate::panics;
use crate::valuer::{Valuer, request_span};
use crate::web::accept::wants_html;
use crate::web::assets::is_known;
use crate::web::customer::Page;
use crate::web::openapi::Side;
use crate::web::site::is_cross_site;

/// A cache must revalidate the answer before each use.
const REVALIDATE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");
const NOT_JSON: &str =
    "the body must be sent as Content-Type: application/json, without a Content-Encoding";

const CROSS_SITE: &str = "the form is not taken from another site's pages";
const NO_FORM: &str = "the form must be sent as Content-Type: application/x-www-form-urlencoded, \
                       without a Content-Encoding";

/// The state that the requests of a connection share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) valuer: Valuer,
    /// Those of the start.
    pub(super) options: Arc<Options>,
    pub(super) live: LiveOptions,
    pub(super) connection: ConnectionState,
}

impl Session {
    /// Answers a request, a rejected one with its error, and logs it if `access_log` says so. A panic is
    /// answered 500.
    pub(super) fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        access_log: bool,
    ) -> impl Future<Output = Result<Answer, Infallible>> + Send {
        // Taken apart outside the future, which then holds the parts alone.
        let (mut parts, body) = request.into_parts();
        let headers = std::mem::take(&mut parts.headers);
        async move {
            if let Some(problem) = parts.extensions.remove() {
                return Ok(self.refuse(problem, &parts));
            }
            let exchange = self.options.watch.traffic.begin();
            let handled = self.handle(&parts, headers, body);
            let mut answer = match AssertUnwindSafe(handled).catch_unwind().await {
                Ok(Ok(answer)) => answer,
                Ok(Err(problem)) => self.refuse(problem, &parts),
                Err(payload) => {
                    request_span(trace(&parts)).in_scope(|| {
                        tracing::error!(method = %parts.method, path = parts.uri.path(),
                            panicked = panics::text(&*payload),
                            "a handler panicked: a fault of this program; the client gets a 500");
                    });
                    self.refuse(Problem::fault(), &parts)
                }
            };
            if parts.method == Method::HEAD {
                strip_body(&mut answer);
            }
            let resource = Resource::at(parts.uri.path());
            let took = exchange.end(resource, &parts.method, answer.status());
            if access_log {
                // The log writes a `u128` as text.
                let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                request_span(trace(&parts)).in_scope(|| {
                    tracing::info!(target: "access", client = %self.connection.address(),
                        method = %parts.method, path = parts.uri.path(),
                        status = answer.status().as_u16(), duration_us, "answered");
                });
            }
            Ok(answer)
        }
    }

    fn refuse(&self, problem: Problem, parts: &Parts) -> Answer {
        problem.into_response(&parts.uri, parts.version, self.options.limits.retry_after)
    }

    async fn handle(
        &self,
        parts: &Parts,
        headers: HeaderMap,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let no_body = body.is_end_stream();
        self.connection.set_unread(!no_body);
        let method = &parts.method;
        let resource = Resource::at(parts.uri.path())
            .ok_or_else(|| Problem::no_route(method.as_str(), &parts.uri))?;
        match (resource, method) {
            (Resource::Valuation(segment), &Method::GET | &Method::HEAD) => {
                self.find(&vrm(segment)?, &headers).await
            }
            (Resource::Valuation(segment), &Method::PUT) => {
                let vrm = vrm(segment)?;
                if !no_body && !body::is_json(&headers) {
                    return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, NOT_JSON));
                }
                // Frees them before the body is awaited.
                drop(headers);
                let json = self.read(body).await?;
                self.value(vrm, &json, trace(parts)).await
            }
            (Resource::Home, &Method::GET | &Method::HEAD) if wants_html(&headers) => {
                let query = parts.uri.query().unwrap_or_default();
                let page = pages::show(&self.valuer, &self.options.limits, query).await;
                Ok(pages::finish(&headers, page).await)
            }
            (Resource::Home, &Method::GET | &Method::HEAD) => {
                let mut answer = json(Bytes::from_static(br#"{"hello":"world"}"#));
                answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
                Ok(answer)
            }
            (Resource::Home, &Method::POST) => {
                let page = match self.read_form(parts, &headers, body).await {
                    Ok(form) => {
                        let limits = &self.options.limits;
                        pages::value(&self.valuer, limits, &form, trace(parts)).await
                    }
                    Err(problem) if wants_html(&headers) => {
                        let closes = problem.closes(parts.version);
                        let mut page =
                            pages::refused(Page::default(), problem, &self.options.limits);
                        if closes {
                            announce_close(&mut page);
                        }
                        page
                    }
                    Err(problem) => return Err(problem),
                };
                Ok(pages::finish(&headers, page).await)
            }
            (Resource::Asset(name), &Method::GET | &Method::HEAD) => {
                let file = pages::asset(name, &headers)
                    .ok_or_else(|| Problem::no_route(method.as_str(), &parts.uri))?;
                Ok(pages::finish(&headers, file).await)
            }
            (Resource::Description(part), &Method::GET | &Method::HEAD) => {
                Ok(pages::finish(&headers, part.answer(Side::Public, &headers)).await)
            }
            (resource, &Method::OPTIONS) => {
                let allow = [(header::ALLOW, resource.allow())];
                Ok(answer(StatusCode::NO_CONTENT, allow, Bytes::new()))
            }
            (resource, method) => Err(Problem::wrong_method(method.as_str(), resource.allow())),
        }
    }

    /// The form of the page. Another site's page must not make its visitors ask for valuations.
    async fn read_form(
        &self,
        parts: &Parts,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Vec<u8>, Problem> {
        if is_cross_site(&parts.uri, headers) {
            return Err(Problem::new(StatusCode::FORBIDDEN, CROSS_SITE));
        }
        if !pages::is_form(headers) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, NO_FORM));
        }
        self.read(body).await
    }

    async fn read(&self, body: Incoming) -> Result<Vec<u8>, Problem> {
        let read = body::read(body, &self.options.limits, &self.connection).await?;
        self.connection.set_unread(false);
        Ok(read)
    }

    /// The only JSON with a tag: a PUT's answer is not a representation of what the client sent (RFC
    /// 9110, section 9.3.4).
    async fn find(&self, vrm: &Vrm, headers: &HeaderMap) -> Result<Answer, Problem> {
        match self.valuer.find(vrm).await {
            Ok(Some(valuation)) => {
                let tag = etag::of(&valuation);
                let mut answer = if is_known(headers, &tag) {
                    answer(StatusCode::NOT_MODIFIED, [REVALIDATE], Bytes::new())
                } else {
                    found(&valuation)
                };
                answer.headers_mut().insert(header::ETAG, tag);
                Ok(answer)
            }
            Ok(None) => Err(Problem::no_valuation(vrm)),
            Err(error) => Err(Problem::of_value(&error, vrm)),
        }
    }

    async fn value(&self, vrm: Vrm, json: &[u8], trace: &Trace) -> Result<Answer, Problem> {
        let mileage = wire::parse_put(json).map_err(Problem::bad_request)?;
        let valued = self.valuer.value(vrm.clone(), mileage, trace.clone()).await;
        valued.map(|valuation| found(&valuation)).map_err(|error| Problem::of_value(&error, &vrm))
    }
}

fn trace(parts: &Parts) -> &Trace {
    parts.extensions.get().expect("`identify` is a layer of the stack")
}

fn vrm(segment: &str) -> Result<Vrm, Problem> {
    decode_vrm(segment).map_err(Problem::bad_request)
}

fn found(valuation: &Valuation) -> Answer {
    json(wire::valuation_json(valuation).into())
}

fn json(body: Bytes) -> Answer {
    answer(StatusCode::OK, [(header::CONTENT_TYPE, "application/json"), REVALIDATE], body)
}

fn answer<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, &'static str); N],
    body: Bytes,
) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Removes the body of an answer to HEAD and keeps its length. hyper does so for HTTP/1 only.
fn strip_body(answer: &mut Answer) {
    if let Some(length) = answer.body().size_hint().exact().filter(|&length| length > 0) {
        answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        *answer.body_mut() = Full::default();
    }
}
