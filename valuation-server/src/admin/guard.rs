//! Who may ask.
//!
//! Without a token the listener is on loopback, where all processes and users of the machine may
//! ask, and so may every page in a browser on it. A page must not:
//!
//! - it may have its own name resolved to 127.0.0.1 (DNS rebinding) and then read answers: so the
//!   `Host` must be loopback's, or the address that is listened on;
//! - it may send orders without reading answers (CSRF): so `Origin` must be our own, and
//!   `Sec-Fetch-Site`, where there is one, must not say that another site asks.
//!
//! With a token the name does not matter: no page has the token. The two that orchestrators ask
//! (`/livez` and `/readyz` without detail) need none, and tell nothing.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode};
use subtle::ConstantTimeEq;

use super::answers::Problem;

/// Who may ask on a listener.
#[derive(Clone)]
pub struct Guard {
    bound: IpAddr,
    token: Option<Box<[u8]>>,
}

impl Guard {
    /// For the listener at `bound`, beyond loopback with a token.
    #[must_use]
    pub fn new(bound: SocketAddr, token: Option<&str>) -> Self {
        Self { bound: bound.ip().to_canonical(), token: token.map(|token| token.as_bytes().into()) }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// 401 without the token, 421 where the request is meant for another host, 403 where another
    /// site's page makes it.
    pub(super) fn admit(&self, parts: &Parts, open: bool) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !open && !bears(&parts.headers, token) => {
                let message = "send the admin token: Authorization: Bearer ...";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, message));
            }
            Some(_) => {}
            None if self.is_meant(parts) => {}
            None => {
                return Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "the Host must be localhost or the address that is listened on",
                ));
            }
        }
        let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !reads && comes_from_elsewhere(parts) {
            let message = "orders are not taken from another site's pages";
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        Ok(())
    }

    fn is_meant(&self, parts: &Parts) -> bool {
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

/// The host that a request names: in its target, or in the one `Host` (RFC 9112, section 3.2).
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

/// Whether the request bears the token, in a time that says nothing of where a wrong one differs.
/// Its length may be told.
fn bears(headers: &HeaderMap, token: &[u8]) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(token))
}

fn comes_from_elsewhere(parts: &Parts) -> bool {
    let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = parts.headers.get(header::ORIGIN) else { return false };
    let own = authority(parts).map(|own| format!("http://{own}"));
    own.is_none_or(|own| !own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}
