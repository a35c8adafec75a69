//! Whether a request comes from another site's page (CSRF).

use hyper::Uri;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;

/// The host of a request: in its target, or in its only `Host` (RFC 9112, section 3.2).
#[must_use]
pub fn authority(target: &Uri, headers: &HeaderMap) -> Option<Authority> {
    if let Some(authority) = target.authority() {
        return Some(authority.clone());
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    }
}

/// Whether a browser says that another site's page sent the request. Other clients say nothing.
#[must_use]
pub fn is_cross_site(target: &Uri, headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    match site {
        // Said by the browser alone, which has compared the whole origins. Behind a proxy with TLS
        // the `Origin` has another scheme than this listener.
        Some(b"same-origin") => return false,
        Some(site) if site != b"none" => return true,
        _ => {}
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let own = authority(target, headers).map(|own| format!("http://{own}"));
    own.is_none_or(|own| !own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}
