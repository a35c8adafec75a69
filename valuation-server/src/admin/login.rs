//! The login of browsers: a form for the token, answered with a session's cookie.

use std::net::SocketAddr;

use askama::Template as _;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::answers::{Answer, Problem, answer, text};
use super::guard::TOO_MANY;
use super::sessions::{COOKIE, LIFE};
use super::{Guard, body};
use crate::log_throttle::LogThrottle;
use crate::web::form;
use crate::web::login::LoginPage;

/// The largest form that is read, in bytes.
const LARGEST: usize = 1024;

/// Begins a session for the right token.
pub(super) async fn log_in(
    guard: &Guard,
    headers: &HeaderMap,
    body: Incoming,
    peer: SocketAddr,
    throttle: &LogThrottle,
) -> Result<Answer, Problem> {
    let sent = body::read(headers, body, form::CONTENT_TYPE, LARGEST).await?;
    let given = form::field(&sent, "token").unwrap_or_default();
    if let Some(session) = guard.log_in(given.as_bytes()) {
        let id = session.map_err(|_| {
            let message = "the system has given no random bytes for a session";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        })?;
        tracing::info!(%peer, "an operator logged in");
        let seconds = LIFE.as_secs();
        let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
        return Ok(home(Some(cookie)));
    }
    if let Some(withheld) = throttle.admit() {
        tracing::warn!(%peer, withheld, "a login failed: not the admin token");
    }
    if guard.admits_guess() {
        return Ok(page(StatusCode::UNAUTHORIZED, Some("This is not the admin token")));
    }
    let mut answer = page(StatusCode::TOO_MANY_REQUESTS, Some(TOO_MANY));
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(answer)
}

/// Ends the session, if there is one.
pub(super) fn log_out(guard: &Guard, headers: &HeaderMap) -> Answer {
    guard.sessions().end(headers);
    home(Some(format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")))
}

/// Sends a browser to the first page.
pub(super) fn home(cookie: Option<String>) -> Answer {
    let mut answer = text(StatusCode::SEE_OTHER, "");
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    let cookie = cookie.map(|cookie| HeaderValue::try_from(cookie).expect("visible ASCII"));
    answer.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    answer
}

/// The form, perhaps with what was wrong.
pub(super) fn page(status: StatusCode, error: Option<&'static str>) -> Answer {
    let page = LoginPage { error }.render().expect("writing to a String does not fail");
    let mut answer = answer("text/html; charset=utf-8", page);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}
