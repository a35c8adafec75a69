//! What a client sends and asks for.

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap};

/// Whether a client asks for HTML: `Accept` names it, as all browsers do, with a quality above zero, and
/// names no JSON with a higher one. `*/*` does not: curl and most libraries send it, and get JSON or text.
#[must_use]
pub fn wants_html(headers: &HeaderMap) -> bool {
    let html = quality(headers, "text/html");
    html > 0.0 && html >= quality(headers, "application/json")
}

/// The quality of the range that is exactly this type; 0 without one.
fn quality(headers: &HeaderMap, content_type: &str) -> f32 {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let named = ranges.flat_map(|value| value.split(',')).find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().filter(|range| range.eq_ignore_ascii_case(content_type))?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        // One that is no number is as none.
        Some(quality.and_then(|q| q.parse().ok()).unwrap_or(1.0))
    });
    named.unwrap_or(0.0)
}

/// Whether `Content-Type` is this type, with any parameters.
#[must_use]
pub fn is_of_type(headers: &HeaderMap, content_type: &str) -> bool {
    let value =
        headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().split(|&b| b == b';').next());
    value.unwrap_or_default().trim_ascii().eq_ignore_ascii_case(content_type.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_browser_wants_html_and_other_clients_do_not() {
        let wants = |accept| {
            let value = HeaderValue::from_static(accept);
            wants_html(&HeaderMap::from_iter([(ACCEPT, value)]))
        };
        assert!(wants("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wants("Text/HTML;q=0.5, application/json;q=0.5"));
        for accept in [
            "*/*",
            "application/json, text/html;q=0.9",
            "text/html;q=0",
            "text/html; Q=0.0",
            "text/htmlx",
            "",
        ] {
            assert!(!wants(accept), "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
