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
//! With a token the `Host` is not checked: no page has the token, and a session's cookie is sent to
//! the host alone that set it, with no request from another site (`SameSite=Strict`). A page on another
//! port of the same host is of the same site, so commands with a cookie are checked as above.
//! Orchestrators need no token for `/livez` and for `/readyz` without detail, which reveal nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use subtle::ConstantTimeEq;

use super::answers::Problem;
use super::guesses::Guesses;
use super::sessions::{NoRandomness, Sessions};
use crate::web::site::{authority, is_cross_site};

/// The answer to a wrong token beyond the budget.
pub(super) const TOO_MANY: &str = "This is not the admin token, and there were too many wrong ones";

/// The access rules of a listener, and the sessions of those who have shown its token.
///
/// Clones share them.
#[derive(Clone)]
pub struct Guard(Arc<Rules>);

struct Rules {
    bound: IpAddr,
    token: RwLock<Option<Box<[u8]>>>,
    sessions: Sessions,
    guesses: Guesses,
}

impl Guard {
    /// For the listener at `bound`. Beyond loopback it needs a token.
    #[must_use]
    pub fn new(bound: SocketAddr, token: Option<&str>) -> Self {
        Self(Arc::new(Rules {
            bound: bound.ip().to_canonical(),
            token: RwLock::new(token.map(|token| token.as_bytes().into())),
            sessions: Sessions::default(),
            guesses: Guesses::default(),
        }))
    }

    /// Replaces the token, for requests from now on. All sessions end, since they rest on the earlier one.
    pub fn set_token(&self, token: Option<&str>) {
        let mut current = self.0.token.write().unwrap_or_else(PoisonError::into_inner);
        *current = token.map(|token| token.as_bytes().into());
        // Within the lock: no session begins by the earlier token after this.
        self.0.sessions.end_all();
    }

    /// Whether there is a token, so that a browser must log in.
    pub(super) fn has_token(&self) -> bool {
        self.token().is_some()
    }

    /// Whether this is the token. The comparison takes constant time for a given length.
    pub(super) fn is_token(&self, given: &[u8]) -> bool {
        self.token().as_ref().is_some_and(|token| bool::from(given.ct_eq(token)))
    }

    /// Begins a session if this is the token; `None` if it is not.
    pub(super) fn log_in(&self, given: &[u8]) -> Option<Result<String, NoRandomness>> {
        // Held until the session is among those that end with the token.
        let token = self.token();
        let is_token = token.as_ref().is_some_and(|token| bool::from(given.ct_eq(token)));
        is_token.then(|| self.sessions().begin())
    }

    /// After a wrong token: whether it is answered 401, and not 429.
    pub(super) fn admits_guess(&self) -> bool {
        self.0.guesses.admit()
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Whether the request has the token, or the cookie of a session; or needs neither.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        !self.has_token()
            || bearer(headers).is_some_and(|given| self.is_token(given))
            || self.0.sessions.has(headers)
    }

    /// Checks a request. `open` is a resource that needs no token.
    ///
    /// # Errors
    /// 401 without the token, 429 for one wrong token of too many, 421 for another host, 403 for a command
    /// from another site's page.
    pub(super) fn admit(&self, parts: &Parts, open: bool) -> Result<(), Problem> {
        match self.has_token() {
            true if !open && !self.knows(&parts.headers) => {
                if bearer(&parts.headers).is_some() && !self.admits_guess() {
                    return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, TOO_MANY)
                        .with(header::RETRY_AFTER, "1"));
                }
                let message = "send the admin token: Authorization: Bearer ...";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, message)
                    .with(header::WWW_AUTHENTICATE, "Bearer"));
            }
            true => {}
            false if self.is_own_host(parts) => {}
            false => {
                return Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "the Host must be localhost or the address that is listened on",
                ));
            }
        }
        let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !reads && is_cross_site(&parts.uri, &parts.headers) {
            let message = "orders are not taken from another site's pages";
            return Err(Problem::new(StatusCode::FORBIDDEN, message));
        }
        Ok(())
    }

    // It is only replaced as a whole, so poisoning is ignored.
    fn token(&self) -> RwLockReadGuard<'_, Option<Box<[u8]>>> {
        self.0.token.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_own_host(&self, parts: &Parts) -> bool {
        let Some(host) = authority(&parts.uri, &parts.headers) else { return false };
        let host = host.host();
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        literal.unwrap_or(host).parse::<IpAddr>().is_ok_and(|ip| {
            let ip = ip.to_canonical();
            ip.is_loopback() || ip == self.0.bound
        })
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("bound", &self.0.bound).finish_non_exhaustive()
    }
}

/// The token that the request gives in its only `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, given) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given)
}
