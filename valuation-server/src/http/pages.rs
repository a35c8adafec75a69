//! The customer's page: `GET /` and `POST /` for a client that asks for HTML, and its files.
//!
//! A page has a stack of its own, so that no other answer pays for its headers and its compression.

use std::convert::Infallible;

use askama::Template as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::Limits;
use super::body::is_plain;
use super::problem::{Answer, Problem};
use crate::domain::{Mileage, Trace, Vrm};
use crate::valuer::Valuer;
use crate::web::assets::{Asset, CONTENT_SECURITY_POLICY};
use crate::web::customer::{ASSETS, Page, Trouble, normalised_mark, normalised_mileage};
use crate::web::form::{self, field};

/// Whether the headers describe the form of the page.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    is_plain(headers, form::CONTENT_TYPE)
}

/// `GET /`: the form, or the stored valuation that a deep link (`/?vrm=AB12CDE`) names. A mark without
/// a valuation is filled into the form.
pub(super) async fn show(valuer: &Valuer, limits: &Limits, query: &str) -> Answer {
    let text = field(query.as_bytes(), "vrm").map(|text| normalised_mark(&text));
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return page(StatusCode::OK, &Page::default());
    };
    let mut form = Page::form(&text, "");
    match Vrm::parse(&text) {
        Ok(vrm) => match valuer.find(&vrm).await {
            Ok(Some(valuation)) => page(StatusCode::OK, &Page::of(&valuation)),
            Ok(None) => page(StatusCode::OK, &form),
            Err(error) => refused(form, Problem::of_value(&error, &vrm), limits),
        },
        Err(error) => {
            form.vrm.error = Some(error.to_string());
            page(StatusCode::BAD_REQUEST, &form)
        }
    }
}

/// `POST /`: the valuation, or the form with what is wrong beside the field that it is about.
///
/// # Cancel safety
/// As [`Valuer::value`].
pub(super) async fn value(valuer: &Valuer, limits: &Limits, body: &[u8], trace: &Trace) -> Answer {
    let text = |name| field(body, name).unwrap_or_default();
    let (vrm, mileage) = (normalised_mark(&text("vrm")), normalised_mileage(&text("mileage")));
    let mut form = Page::form(&vrm, &mileage);
    match (Vrm::parse(&vrm), Mileage::parse(&mileage)) {
        (Ok(vrm), Ok(mileage)) => match valuer.value(vrm.clone(), mileage, trace.clone()).await {
            Ok(valuation) => page(StatusCode::OK, &Page::of(&valuation)),
            Err(error) => refused(form, Problem::of_value(&error, &vrm), limits),
        },
        (vrm, mileage) => {
            form.vrm.error = vrm.err().map(|error| error.to_string());
            form.mileage.error = mileage.err().map(|error| error.to_string());
            page(StatusCode::BAD_REQUEST, &form)
        }
    }
}

/// A file of the page.
pub(super) fn asset(name: &str, headers: &HeaderMap) -> Option<Answer> {
    Asset::find(ASSETS, name).map(|asset| asset.answer(headers))
}

/// The form, with the API's error in it. "Not found" is about the registration mark.
pub(super) fn refused(mut form: Page, problem: Problem, limits: &Limits) -> Answer {
    let status = problem.status;
    if status == StatusCode::NOT_FOUND {
        form.vrm.error = Some(problem.message.into_owned());
        return page(status, &form);
    }
    let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(limits.retry_after);
    form.trouble = Some(Trouble { message: problem.message.into_owned(), retry_after });
    let mut answer = page(status, &form);
    if let Some(time) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, time.as_secs().into());
    }
    answer
}

fn page(status: StatusCode, page: &Page) -> Answer {
    let html = page.render().expect("a text is written to memory");
    let mut answer = Response::new(Full::from(html));
    *answer.status_mut() = status;
    let fixed = HeaderValue::from_static;
    let headers: [(HeaderName, _); 3] = [
        (header::CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::VARY, fixed("accept")),
    ];
    answer.headers_mut().extend(headers);
    answer
}

/// Passes a page, or a file of one, through the layers that are for pages alone.
pub(super) async fn finish(request: &HeaderMap, answer: Answer) -> Answer {
    let set = SetResponseHeaderLayer::overriding;
    let fixed = HeaderValue::from_static;
    let layers = ServiceBuilder::new()
        .layer(set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")))
        .layer(set(header::REFERRER_POLICY, fixed("same-origin")))
        .layer(CompressionLayer::new())
        .service_fn(|_: Request<()>| {
            let answer = answer.clone();
            async { Ok::<_, Infallible>(answer) }
        });
    let mut asked = Request::new(());
    if let Some(encodings) = request.get(header::ACCEPT_ENCODING) {
        asked.headers_mut().insert(header::ACCEPT_ENCODING, encodings.clone());
    }
    let (parts, body) = match layers.oneshot(asked).await {
        Ok(answer) => answer.into_parts(),
        Err(never) => match never {},
    };
    // In memory already; only the compression could fail.
    let body = body.collect().await.map_or_else(|_| Bytes::new(), Collected::to_bytes);
    Response::from_parts(parts, Full::new(body))
}
