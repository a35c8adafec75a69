//! The operator's page, its files and its updates.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use super::Operated;
use super::answers::{Answer, Problem, answer, text};
use crate::web::assets::{Asset, is_known, tag};
use crate::web::operator::{self, ASSETS};

/// The page.
pub(super) fn page(operated: &dyn Operated) -> Answer {
    let page = operator::page(&operated.overview(), &operated.history());
    answer("text/html; charset=utf-8", page)
}

/// A file of the page.
pub(super) fn asset(name: &str, request: &HeaderMap) -> Result<Answer, Problem> {
    let asset = Asset::find(ASSETS, name)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such file of the page"))?;
    Ok(asset.answer(request))
}

/// What has changed in the last second.
pub(super) fn now(operated: &dyn Operated, request: &HeaderMap) -> Answer {
    update(operator::now(&operated.overview()), request)
}

/// What has changed in the last ten seconds.
pub(super) fn history(operated: &dyn Operated, request: &HeaderMap) -> Answer {
    update(operator::history(&operated.history()), request)
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

/// Whether a client asks for HTML, as browsers do. `*/*` alone does not.
pub(super) fn is_wanted(request: &HeaderMap) -> bool {
    let ranges = request.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|range| range.eq_ignore_ascii_case("text/html"));
        let is_excluded = |part: &str| {
            part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        };
        is_html && !parts.any(is_excluded)
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_browser_wants_html_and_other_clients_do_not() {
        let wanted = |accept: &'static str| {
            let value = HeaderValue::from_static(accept);
            is_wanted(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        assert!(wanted("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wanted("application/json, Text/HTML;q=0.5"));
        for accept in
            ["*/*", "application/json", "text/html;q=0", "text/html; q=0.0", "text/htmlx", ""]
        {
            assert!(!wanted(accept), "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
