//! Sessions of browsers: a cookie in place of the token, which no page keeps.
//!
//! In memory, so that a restart ends them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::header::{self, HeaderMap};
use rustls::crypto::aws_lc_rs;
use subtle::{Choice, ConstantTimeEq};
use tokio::time::Instant;

/// How long a session lasts.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// The number of sessions; one more ends the oldest.
const SESSIONS: usize = 64;
/// The length of an id before its encoding, in bytes.
const ID: usize = 32;
/// The name of the cookie. Browsers send it to every port of the host, so that other servers there need
/// another name.
pub(super) const COOKIE: &str = "valuation-operator";

/// The sessions that have not ended.
#[derive(Default)]
pub(super) struct Sessions(Mutex<VecDeque<Session>>);

struct Session {
    /// As in the cookie.
    id: String,
    ends: Instant,
}

/// The system has given no random bytes.
#[derive(Debug)]
pub(super) struct NoRandomness;

impl Sessions {
    /// Begins a session and gives its id.
    pub(super) fn begin(&self) -> Result<String, NoRandomness> {
        let mut id = [0; ID];
        let random = aws_lc_rs::default_provider().secure_random;
        random.fill(&mut id).map_err(|_| NoRandomness)?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(id);
        let mut sessions = self.current();
        if sessions.len() == SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back(Session { id: id.clone(), ends: Instant::now() + LIFE });
        Ok(id)
    }

    /// Whether the request has the cookie of a session.
    pub(super) fn has(&self, headers: &HeaderMap) -> bool {
        let sessions = self.current();
        ids(headers).any(|given| {
            // Every session is compared in constant time, so that the time reveals none of them.
            let same = sessions.iter().map(|session| session.is(given));
            same.fold(Choice::from(0), |any, same| any | same).into()
        })
    }

    /// Ends the session of the request's cookie, if there is one.
    pub(super) fn end(&self, headers: &HeaderMap) {
        let mut sessions = self.current();
        for given in ids(headers) {
            sessions.retain(|session| !bool::from(session.is(given)));
        }
    }

    /// Ends all of them.
    pub(super) fn end_all(&self) {
        self.current().clear();
    }

    /// The sessions, the oldest first, without those whose time is over.
    // No panic can leave the list half-changed, so poison is ignored.
    fn current(&self) -> MutexGuard<'_, VecDeque<Session>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        sessions.retain(|session| session.ends > now);
        sessions
    }
}

impl Session {
    fn is(&self, given: &[u8]) -> Choice {
        self.id.as_bytes().ct_eq(given)
    }
}

/// The ids that the request's cookies name: several if another path or host has set one too.
fn ids(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pairs = headers.get_all(header::COOKIE).iter();
    let pairs = pairs.flat_map(|cookies| cookies.as_bytes().split(|&byte| byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"="))
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("current", &self.current().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn cookies(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(text).unwrap())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_known_by_its_cookie_until_it_ends_or_its_time_is_over() {
        let sessions = Sessions::default();
        let id = sessions.begin().unwrap();
        assert_eq!(id.len(), 43, "32 bytes");
        let other = sessions.begin().unwrap();
        assert_ne!(id, other);
        let of = |id: &str| cookies(&format!("a=b; {COOKIE}={id};c=d"));
        assert!(sessions.has(&of(&id)) && sessions.has(&of(&other)));
        assert!(sessions.has(&cookies(&format!("{COOKIE}=stale; {COOKIE}={id}"))));
        for wrong in ["", &id[1..], &format!("{id}x"), &id.to_lowercase()] {
            assert!(!sessions.has(&of(wrong)), "{wrong}");
        }
        assert!(!sessions.has(&cookies(&format!("x{COOKIE}={id}"))));
        assert!(!sessions.has(&cookies(&id)) && !sessions.has(&HeaderMap::new()));

        sessions.end(&of(&other));
        assert!(sessions.has(&of(&id)) && !sessions.has(&of(&other)));
        tokio::time::advance(LIFE - Duration::from_secs(1)).await;
        assert!(sessions.has(&of(&id)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!sessions.has(&of(&id)));
    }

    #[tokio::test]
    async fn one_session_more_than_there_is_room_for_ends_the_oldest() {
        let sessions = Sessions::default();
        let ids: Vec<_> = (0..=SESSIONS).map(|_| sessions.begin().unwrap()).collect();
        let known = |id: &String| sessions.has(&cookies(&format!("{COOKIE}={id}")));
        assert!(!known(&ids[0]) && ids[1..].iter().all(known));
    }
}
