//! Access control.
//!
//! Without a token the listener is on loopback. All processes and users of the machine have access,
//! but pages in its browsers must not:
//!
//! - a page may resolve its own name to 127.0.0.1 (DNS rebinding) and read answers: so `Host` must be
//!   loopback, or the address of the listener;
//! - it may send commands without reading answers (CSRF): so `Origin` must be our own, and
//!   `Sec-Fetch-Site`, if present, must not name another site.
//!
//! With a token the `Host` is not checked: no page has the token. Orchestrators need no token for
//! `/livez` and for `/readyz` without detail, which reveal nothing.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode};
use subtle::ConstantTimeEq;

use super::answers::Problem;

/// The access rules of a listener.
#[derive(Clone)]
pub struct Guard {
    bound: IpAddr,
    token: Option<Box<[u8]>>,
}

impl Guard {
    /// For the listener at `bound`. Beyond loopback it needs a token.
    #[must_use]
    pub fn new(bound: SocketAddr, token: Option<&str>) -> Self {
        Self { bound: bound.ip().to_canonical(), token: token.map(|token| token.as_bytes().into()) }
    }

    /// Checks a request. `open` is a resource that needs no token.
    ///
    /// # Errors
    /// 401 without the token, 421 for another host, 403 for a command from another site's page.
    pub(super) fn admit(&self, parts: &Parts, open: bool) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !open && !has_token(&parts.headers, token) => {
                let message = "send the admin token: Authorization: Bearer ...";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, message)
                    .with(header::WWW_AUTHENTICATE, "Bearer"));
            }
            Some(_) => {}
            None if self.is_own_host(parts) => {}
            None => {
                return Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "the Host must be localhost or the address that is listened on",
                ));
            }
        }
        let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !reads && is_cross_site(parts) {
            let message = "orders are not taken from another site's pages";
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        Ok(())
    }

    fn is_own_host(&self, parts: &Parts) -> bool {
        let Some(host) = authority(parts) else { return false };
        let host = host.host();
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        literal.unwrap_or(host).parse::<IpAddr>().is_ok_and(|ip| {
            let ip = ip.to_canonical();
            ip.is_loopback() || ip == self.bound
        })
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// The host of a request: in its target, or in its only `Host` (RFC 9112, section 3.2).
fn authority(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    }
}

/// Whether the request has the token. The comparison takes constant time for a given length, so that
/// it reveals nothing else of the token.
fn has_token(headers: &HeaderMap, token: &[u8]) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(token))
}

fn is_cross_site(parts: &Parts) -> bool {
    let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = parts.headers.get(header::ORIGIN) else { return false };
    let own = authority(parts).map(|own| format!("http://{own}"));
    own.is_none_or(|own| !own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}
