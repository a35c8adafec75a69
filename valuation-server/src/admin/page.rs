//! The operator's page, its files and its updates.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use super::Operated;
use super::answers::{Answer, Problem, answer, text};
use crate::web::assets::{Asset, is_known, tag};
use crate::web::operator::{self, Overview};
use crate::web::report;

/// The page. A session can be ended on it.
pub(super) async fn page(operated: &dyn Operated, has_session: bool) -> Answer {
    let overview = Overview { has_session, ..operated.overview().await };
    let page = operator::page(&overview, &operated.history().await);
    answer("text/html; charset=utf-8", page)
}

/// A file of the pages.
pub(super) fn asset(name: &str, request: &HeaderMap) -> Result<Answer, Problem> {
    let asset = Asset::find(operator::ASSETS, name)
        .or_else(|| Asset::find(report::ASSETS, name))
        .ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "there is no such file of the page")
    })?;
    Ok(asset.answer(request))
}

/// What has changed in the last second.
pub(super) async fn now(operated: &dyn Operated, request: &HeaderMap) -> Answer {
    update(operator::now(&operated.overview().await), request)
}

/// What has changed in the last ten seconds.
pub(super) async fn history(operated: &dyn Operated, request: &HeaderMap) -> Answer {
    let overview = operated.overview().await;
    update(operator::history(&overview, &operated.history().await), request)
}

/// An update with a tag of its text, or 304 for a page that shows it already.
fn update(body: String, request: &HeaderMap) -> Answer {
    let tag = tag(body.as_bytes());
    let mut answer = if is_known(request, &tag) {
        let mut answer = text(StatusCode::NOT_MODIFIED, "");
        answer.headers_mut().remove(header::CONTENT_TYPE);
        answer
    } else {
        answer("application/json", body)
    };
    answer.headers_mut().insert(header::ETAG, tag);
    answer
}
